import { delimiter, dirname } from 'node:path'
import type { AppPaths } from '../release/paths.js'
import { timeSpan } from '../units/escape.js'
import { systemPath } from './instances.js'

export interface NotifyUnit {
  unit: string
  event: string
  /** What it reads on standard input. */
  input: string
  /** Argument vector; the first is an absolute path. */
  command: readonly string[]
  timeoutMs: number
  /** Absolute path of node, in whose folder programs are looked up as well. */
  node: string
}

/** Variables of the notifier's own, such as the address of a webhook: read by systemd, so that root alone needs to be able to. */
export const notifyEnvironmentFile = ({ config }: Pick<AppPaths, 'config'>): string => config.replace(/\.toml$/, '.notify.env')

/**
 * The arguments of systemd-run(1) that start a notifier and wait for nothing. Its input is in the unit itself, so that
 * there is no pipe which could block and no file to remove. As PID 1 starts it with a user that exists for it alone, it
 * may read what everybody may, reach the network, and change nothing.
 */
export function notifyArguments({ unit, event, input, command, timeoutMs, node }: NotifyUnit, paths: AppPaths): string[] {
  const settings = [
    'Type=exec',
    'StandardInput=data',
    `StandardInputData=${Buffer.from(input).toString('base64')}`,
    `RuntimeMaxSec=${timeSpan(timeoutMs)}`,
    'TimeoutStopSec=1s',
    `EnvironmentFile=-${notifyEnvironmentFile(paths)}`,
    `SyslogIdentifier=${paths.app}-notify`,
    // The app goes first.
    'Nice=19',
    'CPUQuota=50%',
    'MemoryMax=256M',
    'TasksMax=64',
    ...(paths.scope === 'system' ? sandbox : []),
  ]
  const path = [...new Set([dirname(node), ...systemPath])].join(delimiter)
  return [
    '--no-block',
    '--collect',
    `--unit=${unit}`,
    `--description=Tells that ${paths.app} is ${event}`,
    ...settings.map((setting) => `--property=${setting}`),
    ...[`PATH=${path}`, `HOLDFAST_APP=${paths.app}`, `HOLDFAST_EVENT=${event}`].map((variable) => `--setenv=${variable}`),
    '--',
    // systemd-run takes % as it is, but systemd expands $VARIABLE: systemd.service(5), "Command lines".
    ...['/bin/sh', '-c', script, 'holdfast', ...command].map((word) => word.replaceAll('$', '$$$$')),
  ]
}

/**
 * Ends with the status of the notifier, whose output goes to the journal up to 8 KiB. A flood of it must not come to journald
 * at all, whose own limit drops lines only after it has read them: with 8 MiB of them in the buffer of each stream, five
 * floods of 3 s kept it busy for two minutes.
 */
const script = `exec 4>&1
status=$({
  { "$@" 3>&- 4>&-; echo "$?" >&3; } 2>&1 | {
    head -c 8192
    more=$(wc -c)
    [ "$more" -eq 0 ] || printf '\\n(%s bytes more are left out)\\n' "$more"
  } >&4 3>&-
} 3>&1)
exec 4>&-
exit "$status"`

/** On top of what DynamicUser= implies: ProtectSystem=strict, PrivateTmp=, NoNewPrivileges=, RestrictSUIDSGID=. */
const sandbox = [
  'DynamicUser=yes', 'ProtectHome=yes', 'PrivateDevices=yes', 'ProtectClock=yes', 'ProtectControlGroups=yes', 'ProtectHostname=yes', 'ProtectKernelLogs=yes',
  'ProtectKernelModules=yes', 'ProtectKernelTunables=yes', 'CapabilityBoundingSet=', 'RestrictNamespaces=yes', 'LockPersonality=yes',
]
