import type { Config } from '../config/model.js'
import { HoldfastError } from '../errors.js'
import { runProgram } from '../systemd/systemctl.js'

/** The group that may read what the owner of the source alone could: the app's own account's. */
export async function groupOf({ user }: Config): Promise<{ group?: number }> {
  if (user === undefined) return {}
  const { status, stdout } = await runProgram('id', ['-g', '--', user])
  if (status !== 0) {
    throw new HoldfastError('machine-unfit', `user = ${JSON.stringify(user)}: there is no such account`, { hint: `adduser --system --group ${user}` })
  }
  return { group: Number(stdout) }
}
