import { join } from 'node:path'
import { formatAddress } from './address.js'
import { formatDuration } from './duration.js'
import type { Config } from './model.js'
import { parseConfig } from './parse.js'
import { quote } from './quote.js'
import { readConfigFile } from './read-file.js'
import { formatSize } from './size.js'
import { shellWord } from './shell.js'
import { showAddress } from './web-address.js'

/** The configuration that a generation of a release runs with. */
export interface ReleaseConfig {
  config: Config
  /** One sentence for each key of the release that is not in force, with what would put it there. */
  notes: string[]
}

/** Keys that a release sets for itself: pushing code changes them. Kept complete by a test. */
export const releaseKeys = [
  'command', 'processes', 'strategy', 'env', 'start.timeout', 'start.settle', 'start.standby', 'drain.timeout', 'drain.shutdown_timeout', 'drain.hang_timeout',
  'drain.reconnect_window', 'drain.reconnect_rate', 'hooks.install', 'hooks.migrate', 'hooks.after_drain', 'hooks.timeout',
  'health.path', 'health.status', 'health.host', 'health.tls', 'health.command', 'health.interval', 'health.timeout', 'health.successes', 'health.deadline',
  'bake.for', 'bake.max_errors', 'bake.max_slowdown', 'bake.min_requests',
] as const

/** Keys that come from the installed file alone, each as people would write it. */
export const installedKeys: Record<string, (config: Config) => string> = {
  description: ({ description }) => show(description),
  user: ({ user }) => show(user),
  directory: ({ directory }) => show(directory),
  snapshot: ({ snapshot }) => String(snapshot),
  env_file: ({ envFile }) => show(envFile),
  data: ({ data }) => String(data),
  watchdog: ({ watchdogMs }) => (watchdogMs === undefined ? 'absent' : formatDuration(watchdogMs)),
  'limits.memory': ({ limits }) => (limits.memoryBytes === undefined ? 'absent' : formatSize(limits.memoryBytes)),
  'limits.tasks': ({ limits }) => String(limits.tasks ?? 'absent'),
  'source.url': ({ source }) => showUrl(source.url),
  'source.checksum': ({ source }) => showUrl(source.checksumUrl),
  'source.version_file': ({ source }) => show(source.versionFile),
  'source.max_size': ({ source }) => formatSize(source.maxBytes),
  'source.max_files': ({ source }) => String(source.maxFiles),
  'preview.address': ({ preview }) => (preview.address === undefined ? 'absent' : formatAddress(preview.address)),
  'preview.expire': ({ preview }) => (preview.expireMs === undefined ? 'absent' : formatDuration(preview.expireMs)),
  'admission.memory': ({ admission }) => String(admission.memory),
  'admission.reserve': ({ admission }) => formatSize(admission.reserveBytes),
  'admission.max_draining': ({ admission }) => String(admission.maxDraining),
  'admission.max_drain_age': ({ admission }) => (admission.maxDrainAgeMs === undefined ? 'absent' : formatDuration(admission.maxDrainAgeMs)),
  'notify.command': ({ notify }) => (notify === undefined ? 'absent' : showList(notify.command)),
  'notify.timeout': ({ notify }) => (notify === undefined ? 'absent' : formatDuration(notify.timeoutMs)),
  'sandbox.write_paths': ({ sandbox }) => showList(sandbox.writePaths),
  'sandbox.home': ({ sandbox }) => quote(sandbox.home),
  'sandbox.devices': ({ sandbox }) => String(sandbox.devices),
  'sandbox.processes': ({ sandbox }) => String(sandbox.processes),
  'sandbox.namespaces': ({ sandbox }) => String(sandbox.namespaces),
  'sandbox.setuid': ({ sandbox }) => String(sandbox.setuid),
  'sandbox.capabilities': ({ sandbox }) => showList(sandbox.capabilities),
  'sandbox.address_families': ({ sandbox }) => showList(sandbox.addressFamilies),
  'sandbox.system_calls': ({ sandbox }) => showList(sandbox.systemCalls),
}

/**
 * Lays a release's own holdfast.toml over the installed configuration: what a release may say is taken, the rest is
 * checked and noted, with the file to install (`installFile`; default: that of the source folder, else the release's own). Without a text the installed configuration applies. A release may shorten the times; a longer
 * one is cut to the installed one, as systemd's own limits stand in the units. Throws `config-invalid`.
 */
export function mergeRelease(installed: Config, releaseText: string | undefined, options: { file?: string; installFile?: string } = {}): ReleaseConfig {
  if (releaseText === undefined) return { config: installed, notes: [] }
  const file = options.file ?? 'holdfast.toml'
  const release = parseConfig(releaseText, {
    file,
    trusted: false,
    app: installed.app,
    // What is relative in the project's file is relative to the source folder, not to the copy of it. Where none is
    // installed the key is not in force anyway, and only has to pass.
    folder: installed.directory ?? `/srv/${installed.app}`,
  })
  const installFile = options.installFile ?? (installed.directory === undefined ? file : join(installed.directory, 'holdfast.toml'))
  const mend = `run \`holdfast install ${shellWord(installFile)}\``
  const notes = listDifferences(installed, release).map((difference) => `${difference}: ${mend}`)
  const shorten = (key: string, ownMs: number, installedMs: number): number => {
    if (ownMs <= installedMs) return ownMs
    const [own, limit] = [formatDuration(ownMs), formatDuration(installedMs)]
    notes.push(`${showKey(key)} is ${own} in the release and ${limit} installed; a release can only shorten it, so ${limit} is in force: ${mend}`)
    return installedMs
  }
  const drainMs = shorten('drain.timeout', release.drain.timeoutMs, installed.drain.timeoutMs)
  const config: Config = {
    ...installed,
    command: release.command,
    processes: release.processes,
    strategy: release.strategy,
    env: release.env,
    start: {
      timeoutMs: shorten('start.timeout', release.start.timeoutMs, installed.start.timeoutMs),
      settleMs: shorten('start.settle', release.start.settleMs, installed.start.settleMs),
      standby: release.start.standby,
    },
    drain: {
      timeoutMs: drainMs,
      shutdownTimeoutMs: shorten('drain.shutdown_timeout', release.drain.shutdownTimeoutMs, installed.drain.shutdownTimeoutMs),
      hangTimeoutMs: shorten('drain.hang_timeout', release.drain.hangTimeoutMs, installed.drain.hangTimeoutMs),
      // How clients are asked to come back is the release's own matter.
      reconnectWindowMs: Math.min(release.drain.reconnectWindowMs, drainMs),
      reconnectRate: release.drain.reconnectRate,
    },
    // How it is looked at before anybody depends on it: changed by saying something else, never by leaving it out.
    ...(release.health === undefined ? {} : { health: release.health }),
    bake: release.bake.forMs === undefined ? installed.bake : release.bake,
    hooks: { ...release.hooks, timeoutMs: shorten('hooks.timeout', release.hooks.timeoutMs, installed.hooks.timeoutMs) },
  }
  return { config, notes }
}

/**
 * Reads the holdfast.toml of a release's folder, if there is one, and lays it over the installed configuration.
 * The reader may be root and the file anybody's: links are not followed, see `readConfigFile`.
 */
export function loadReleaseConfig(installed: Config, releaseFolder: string, options: { installFile?: string } = {}): ReleaseConfig {
  const file = join(releaseFolder, 'holdfast.toml')
  return mergeRelease(installed, readConfigFile(file, { trusted: false }), { file, ...options })
}

function listDifferences(installed: Config, release: Config): string[] {
  const listed = Object.entries(installedKeys)
    // A release that comes another way has no source folder, and means nothing by it.
    .filter(([key]) => key !== 'directory' || release.directory !== undefined)
    .map(([key, showValue]) => compare(showKey(key), showValue(installed), showValue(release)))
  const names = new Set([...installed.listen, ...release.listen].map(({ name }) => name))
  for (const name of names) {
    listed.push(compare(showKey(`listen.${name}`), showListener(installed, name), showListener(release, name)))
  }
  return listed.filter((difference) => difference !== undefined)
}

function compare(key: string, installed: string, release: string): string | undefined {
  return installed === release ? undefined : `${key} is ${release} in the release and ${installed} installed`
}

/** `[listen] http`, as it stands in the file. */
function showKey(key: string): string {
  const [table, name] = key.split('.')
  return name === undefined ? `\`${table}\`` : `\`[${table}] ${name}\``
}

function showListener({ listen }: Config, name: string): string {
  const listener = listen.find((one) => one.name === name)
  if (listener === undefined) return 'absent'
  const group = listener.group === undefined ? '' : ` of group ${listener.group}`
  const mode = listener.mode === undefined ? '' : ` with mode ${listener.mode.toString(8).padStart(4, '0')}`
  return `${formatAddress(listener.address)}${group}${mode}`
}

const show = (value: string | undefined): string => (value === undefined ? 'absent' : quote(value))

const showUrl = (url: string | undefined): string => show(url === undefined ? undefined : showAddress(url))

const showList = (values: readonly string[]): string => (values.length === 0 ? 'empty' : values.toSorted().map((value) => quote(value)).join(', '))
