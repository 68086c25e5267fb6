import { homedir } from 'node:os'
import { HoldfastError } from '../errors.js'
import { systemctlCommand } from '../release/command-words.js'
import type { AppPaths, Scope } from '../release/paths.js'
import type { InstanceEnvironment } from '../runtime/environment.js'
import { expandSpecifiers, parseUnitText } from './unit-settings.js'

/** Settings that make a unit an instance, or that systemd-run sets itself; all others hold for a one-off command or a hook too. */
const instanceSettings =
  /^(Type|NotifyAccess|Sockets|NonBlocking|Exec\w+|Restart\w*|Timeout\w+|RuntimeMaxSec|Watchdog\w+|Kill\w+|FinalKillSignal|SendSIG\w+|RemainAfterExit|SuccessExitStatus|SyslogIdentifier|Standard(Input|Output|Error)|TTY\w+)$/

/** What would make the runtime in the command take itself for an instance. Kept complete by the type. */
const variables: Record<Exclude<keyof InstanceEnvironment, 'HOLDFAST_APP' | 'HOLDFAST_RELEASE'>, true> = {
  HOLDFAST_GENERATION: true,
  HOLDFAST_INSTANCE: true,
  HOLDFAST_LISTEN: true,
  HOLDFAST_DRAIN_TIMEOUT_MS: true,
  HOLDFAST_SHUTDOWN_TIMEOUT_MS: true,
  HOLDFAST_HANG_TIMEOUT_MS: true,
  HOLDFAST_RECONNECT_WINDOW_MS: true,
  HOLDFAST_RECONNECT_RATE: true,
  HOLDFAST_HOLD_FILE: true,
  HOLDFAST_PRIVATE_SOCKET: true,
  HOLDFAST_PRIVATE_LISTENER: true,
  HOLDFAST_REPORT_SOCKET: true,
  HOLDFAST_STOP_FILE: true,
}

/** Names of variables that an instance alone has. */
export const instanceVariables: readonly string[] = Object.keys(variables)

/** The settings of an instance's unit that a one-off command or a hook shares, as systemd-run(1) takes them: without specifiers. */
export function settingsOf(unitText: string, paths: AppPaths, unit: string): string[] {
  const values = specifiersOf(paths, unit)
  return parseUnitText(unitText)
    .filter(({ section, name }) => section === 'Service' && !instanceSettings.test(name))
    .map(({ name, value }) => {
      const expanded = expandSpecifiers(value, values)
      if (expanded === undefined) {
        throw new HoldfastError('usage', `${name}=${value} of ${unit} has a specifier that cannot be carried over to a command`, {
          hint: `Write it without: ${systemctlCommand(paths)} edit ${paths.app}@.service`,
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
