import { HoldfastError } from '../../errors.js'
import type { Readers } from '../../release/readers.js'
import { runProgram } from '../../run-program.js'
import type { InstalledApp } from '../app.js'

/** Who must be able to read the code of an app's releases, which is root's own. */
export async function readersOf({ config: { user }, paths }: Pick<InstalledApp, 'config' | 'paths'>): Promise<Readers> {
  // In a user's own manager, who seals is who runs.
  if (paths.scope === 'user') return {}
  if (user === undefined) return { everyone: true }
  const { status, stdout } = await runProgram('id', ['-g', '--', user])
  if (status !== 0) {
    throw new HoldfastError('machine-unfit', `user = ${JSON.stringify(user)}: there is no such account`, { hint: `adduser --system --group ${user}` })
  }
  return { group: Number(stdout) }
}
