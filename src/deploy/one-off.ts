import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { HoldfastError } from '../errors.js'
import { instanceFolder } from '../release/instance.js'
import type { AppPaths, Scope } from '../release/paths.js'
import { readState } from '../release/state.js'
import type { InstanceEnvironment } from '../runtime/environment.js'
import type { Systemd } from '../systemd/systemd.js'
import { instanceUnit } from '../units/names.js'
import { expandSpecifiers, parseUnitText } from './unit-settings.js'

/** A command that runs once as an instance of the live release would: its code, environment, user and sandbox. */
export interface OneOff {
  /** `holdfast-run-<app>-<random>.service`; no app may be called holdfast-…. */
  unit: string
  /** Arguments of systemd-run(1). */
  args: string[]
}

/** Settings that make a unit an instance, or that systemd-run sets itself; all others hold for a one-off command too. */
const instanceSettings =
  /^(Type|NotifyAccess|Sockets|Exec\w+|Restart\w*|Timeout\w+|RuntimeMaxSec|Watchdog\w+|Kill\w+|FinalKillSignal|SendSIG\w+|RemainAfterExit|SuccessExitStatus|SyslogIdentifier|Standard(Input|Output|Error)|TTY\w+)$/

/** What would make the runtime in the command take itself for an instance. Kept complete by the type. */
const instanceVariables: Record<Exclude<keyof InstanceEnvironment, 'HOLDFAST_APP' | 'HOLDFAST_RELEASE'>, true> = {
  HOLDFAST_GENERATION: true,
  HOLDFAST_INSTANCE: true,
  HOLDFAST_LISTEN: true,
  HOLDFAST_DRAIN_TIMEOUT_MS: true,
  HOLDFAST_SHUTDOWN_TIMEOUT_MS: true,
  HOLDFAST_HANG_TIMEOUT_MS: true,
  HOLDFAST_RECONNECT_WINDOW_MS: true,
  HOLDFAST_RECONNECT_RATE: true,
  HOLDFAST_STOP_FILE: true,
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
      hint: `holdfast ${paths.scope === 'user' ? '--user ' : ''}status ${paths.app}`,
    })
  }
  const model = instanceUnit(paths.app, live.generation, 1)
  const missing = [`${instanceFolder(paths, live.generation, 1)}/release`].find((path) => !existsSync(path))
  if (missing !== undefined) {
    throw new HoldfastError('usage', `${missing} of the live generation is gone`, { hint: `holdfast ${paths.scope === 'user' ? '--user ' : ''}status ${paths.app}` })
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
      `--property=UnsetEnvironment=${Object.keys(instanceVariables).join(' ')}`,
      '--',
      ...words,
    ],
  }
}

/** The settings of an instance's unit that a one-off command shares, as systemd-run(1) takes them: without specifiers. */
export function settingsOf(unitText: string, paths: AppPaths, unit: string): string[] {
  const values = specifiersOf(paths, unit)
  return parseUnitText(unitText)
    .filter(({ section, name }) => section === 'Service' && !instanceSettings.test(name))
    .map(({ name, value }) => {
      const expanded = expandSpecifiers(value, values)
      if (expanded === undefined) {
        throw new HoldfastError('usage', `${name}=${value} of ${unit} has a specifier that cannot be carried over to a command`, {
          hint: `Write it without: systemctl ${paths.scope === 'user' ? '--user ' : ''}edit ${paths.app}@.service`,
        })
      }
      return `${name}=${expanded}`
    })
}

/** Those of systemd.unit(5), "Specifiers", that tell where things are and which unit it is. */
function specifiersOf(paths: AppPaths, unit: string): Record<string, string> {
  const instance = unit.slice(paths.app.length + 1, -'.service'.length)
  return {
    i: instance, I: instance.replaceAll('-', '/'), j: paths.app.split('-').at(-1) as string, p: paths.app, P: paths.app.replaceAll('-', '/'),
    n: unit, N: unit.slice(0, -'.service'.length),
    ...foldersOf(paths.scope),
  }
}

function foldersOf(scope: Scope): Record<string, string> {
  if (scope === 'system') return { t: '/run', S: '/var/lib', C: '/var/cache', L: '/var/log', E: '/etc', T: '/tmp', V: '/var/tmp', h: '/root', u: 'root', U: '0' }
  return { h: homedir(), T: '/tmp', V: '/var/tmp' }
}
