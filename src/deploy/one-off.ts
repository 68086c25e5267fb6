import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { HoldfastError } from '../errors.js'
import { holdfastCommand } from '../release/command-words.js'
import { instanceFolder } from '../release/instance.js'
import type { AppPaths } from '../release/paths.js'
import { readState } from '../release/state.js'
import type { Systemd } from '../systemd/systemd.js'
import { instanceUnit } from '../units/names.js'
import { instanceVariables, settingsOf } from './instance-settings.js'

/** A command that runs once as an instance of the live release would: its code, environment, user and sandbox. */
export interface OneOff {
  /** `holdfast-run-<app>-<random>.service`; no app may be called holdfast-…. */
  unit: string
  /** Arguments of systemd-run(1). */
  args: string[]
}

/**
 * The main process: as a shell does, it looks the command up in the app's own PATH and tells the
 * signal that ended it by 128 + its number, where systemd would take a SIGTERM for success.
 */
const script = 'trap : HUP INT TERM; "$@"; exit $?'

/**
 * Plans a one-off command beside the live generation. The settings are those in force for its unit,
 * the admin's drop-ins included.
 * @throws HoldfastError `usage` when no release is live
 */
export async function planOneOff(paths: AppPaths, systemd: Systemd, command: readonly string[], options: { terminal: boolean }): Promise<OneOff> {
  const { live } = readState(paths)
  if (live === undefined) {
    throw new HoldfastError('usage', `${paths.app} has no live release yet, and a command runs with the live release's code`, {
      hint: `${holdfastCommand(paths)} status ${paths.app}`,
    })
  }
  const model = instanceUnit(paths.app, live.generation, 1)
  const missing = [`${instanceFolder(paths, live.generation, 1)}/release`].find((path) => !existsSync(path))
  if (missing !== undefined) {
    throw new HoldfastError('usage', `${missing} of the live generation is gone`, { hint: `${holdfastCommand(paths)} status ${paths.app}` })
  }
  const unit = `holdfast-run-${paths.app}-${randomBytes(4).toString('hex')}.service`
  // systemd-run takes % as it is, but systemd expands $VARIABLE: systemd.service(5), "Command lines".
  const words = ['/bin/sh', '-c', script, 'holdfast', ...command].map((word) => word.replaceAll('$', '$$$$'))
  return {
    unit,
    args: [
      ...(paths.scope === 'user' ? ['--user'] : []),
      '--quiet',
      '--collect',
      '--wait',
      options.terminal ? '--pty' : '--pipe',
      `--unit=${unit}`,
      `--description=A command with release ${live.release} of ${paths.app}`,
      ...settingsOf(await systemd.cat(model), paths, model).map((setting) => `--property=${setting}`),
      `--property=UnsetEnvironment=${instanceVariables.join(' ')}`,
      '--',
      ...words,
    ],
  }
}
