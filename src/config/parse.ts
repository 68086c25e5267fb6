import { parse, TomlError } from 'smol-toml'
import { HoldfastError } from '../errors.js'
import { addressesClash, formatAddress } from './address.js'
import { Site, type CheckContext, type Problem } from './check.js'
import type { Config } from './model.js'
import { appNamePattern } from './names.js'
import { hasPreload } from './preload.js'
import { escapeControl } from './quote.js'
import { schema, type Checked } from './schema.js'
import { findSourceLines } from './source-lines.js'

/** More problems than this help nobody. */
const mostProblems = 25

export interface ParseOptions {
  /** How messages name the file. */
  file: string
  /** Relative folders are resolved against it; absent: they are refused. */
  folder?: string
  /** `scripts` of the package.json beside the file, for better suggestions. */
  scripts?: Record<string, string>
  /**
   * false for a file that somebody else than its reader may have put there: until it names an app as a holdfast.toml
   * does, no message quotes from it. Default true.
   */
  trusted?: boolean
  /** Set for a release's own file: the installed app, which it must name. */
  app?: string
}

/** Reads a configuration's text. Throws `config-invalid` with every problem on a line of its own. */
export function parseConfig(text: string, options: ParseOptions): Config {
  const document = parseDocument(text, options)
  checkIdentity(document, options)
  const context: CheckContext = { folder: options.folder, scripts: options.scripts ?? {} }
  const problems: Problem[] = []
  const checked = schema(document, new Site([], context, problems))
  if (checked !== undefined) checkTogether(checked, new Site([], context, problems))
  if (checked === undefined || problems.length > 0) throw invalid(listProblems(problems, text, options.file), options)
  return toConfig(checked)
}

function parseDocument(text: string, options: ParseOptions): Record<string, unknown> {
  try {
    return parse(text, { maxDepth: 32 })
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const cause = error.message.split('\n')[0]?.replace(/^Invalid TOML document: /, '') ?? ''
    const where = `${options.file}:${error.line}: not valid TOML at column ${error.column}: ${cause}${mendSyntax(cause)}`
    throw invalid([options.trusted === false ? where : `${where}${excerpt(text, error.line, error.column)}`], options)
  }
}

function mendSyntax(cause: string): string {
  if (/invalid value|illegal character in numeric|leading zero|malformed|unfinished numeric/.test(cause)) return '; a string needs quotes around it'
  if (/redefine/.test(cause)) return '; the same key or table stands further up: keep one of the two'
  if (/end-of-line/.test(cause)) return '; write one key per line, and quotes around strings'
  if (/find end of key/.test(cause)) return '; write key = value'
  if (/comma or end of structure/.test(cause)) return '; put commas between the elements, and close a list with ], an inline table with }'
  if (/unfinished array/.test(cause)) return '; close it with ]'
  if (/unfinished table/.test(cause)) return '; close it with }'
  return ''
}

function excerpt(text: string, line: number, column: number): string {
  const written = (text.split(/\r?\n/)[line - 1] ?? '').replaceAll('\t', ' ')
  const start = Math.max(0, column - 60)
  const shown = written.slice(start, start + 100).replace(/[\p{Cc}\p{Cf}]/gu, '\ufffd')
  return `\n    ${shown}\n    ${' '.repeat(Math.max(0, column - 1 - start))}^`
}

/** A release cannot take another app's place; and what does not name an app may be any file, not to be quoted from. */
function checkIdentity(document: Record<string, unknown>, { file, app, trusted = true }: ParseOptions): void {
  const named = document['app']
  const isName = typeof named === 'string' && appNamePattern.test(named)
  if (app !== undefined && named !== app) {
    const found = isName ? `"${named}" in the release, and "${app}" installed: a release cannot rename its app` : `expected "${app}", the name of the installed app`
    throw new HoldfastError('config-invalid', `${file}: app: ${found}`, {
      hint: `write app = "${app}" into the release's holdfast.toml; or, for an app of its own, run \`holdfast install\` with it`,
    })
  }
  if (!trusted && !isName) {
    throw new HoldfastError('config-invalid', `${file}: it does not begin as a holdfast.toml does: there is no app = "…" with a name in it`, {
      hint: `look at it: ls -l ${file}`,
    })
  }
}

function checkTogether(checked: Checked, site: Site): void {
  if (!checked.snapshot && checked.directory === undefined) {
    site.at('snapshot').report('false is about a source folder, and there is none: add `directory`, or remove it')
  }
  const { address } = checked.preview
  const taken = address && checked.listen.find((listener) => addressesClash(listener.address, address))
  if (address !== undefined && taken !== undefined) {
    site.at('preview').at('address').report(`${formatAddress(address)} cannot be had beside ${formatAddress(taken.address)}, the address of the listener \`${taken.name}\`: clients would see what is held: give it a port of its own`)
  }
}

function listProblems(problems: readonly Problem[], text: string, file: string): string[] {
  const lines = findSourceLines(text)
  const placed = problems.map(({ path, message }) => ({ path, message, line: lines.find(path)?.line }))
  placed.sort((one, other) => (one.line ?? 0) - (other.line ?? 0))
  return placed.map(({ path, message, line }) => {
    const where = line === undefined ? file : `${file}:${line}`
    return path.length === 0 ? `${where}: ${message}` : `${where}: ${showPath(path)}: ${message}`
  })
}

function showPath(path: Problem['path']): string {
  return path
    .map((part, index) => {
      if (typeof part === 'number') return `[${part}]`
      const key = /^[A-Za-z0-9_-]{1,60}$/.test(part) ? part : escapeControl(JSON.stringify(part.slice(0, 60)))
      return index === 0 ? key : `.${key}`
    })
    .join('')
}

function invalid(lines: readonly string[], { file, app }: ParseOptions): HoldfastError {
  const shown = lines.slice(0, mostProblems)
  if (lines.length > mostProblems) shown.push(`${file}: … and ${lines.length - mostProblems} more`)
  return new HoldfastError('config-invalid', shown.join('\n'), {
    hint: app !== undefined ? `correct the release's holdfast.toml (\`holdfast check\` tells when it is right), and deploy again` : `correct it, then run: holdfast check ${file}`,
  })
}

function toConfig(checked: Checked): Config {
  const { sandbox, limits, hooks, source } = checked
  return {
    app: checked.app,
    ...present('description', checked.description),
    command: checked.command,
    ...present('user', checked.user),
    ...present('directory', checked.directory),
    snapshot: checked.snapshot,
    processes: checked.processes,
    env: checked.env,
    ...present('envFile', checked.env_file),
    data: checked.data,
    ...present('watchdogMs', checked.watchdog),
    listen: checked.listen,
    strategy: checked.strategy,
    start: { timeoutMs: checked.start.timeout, settleMs: checked.start.settle, standby: checked.start.standby ?? hasPreload(checked) },
    drain: {
      timeoutMs: checked.drain.timeout,
      shutdownTimeoutMs: checked.drain.shutdown_timeout,
      hangTimeoutMs: checked.drain.hang_timeout,
      reconnectWindowMs: checked.drain.reconnect_window,
      reconnectRate: checked.drain.reconnect_rate,
    },
    limits: { ...present('memoryBytes', limits.memory), ...present('tasks', limits.tasks) },
    hooks: {
      ...present('install', hooks.install),
      ...present('migrate', hooks.migrate),
      ...present('afterDrain', hooks.after_drain),
      timeoutMs: hooks.timeout,
    },
    source: {
      ...present('url', source.url),
      ...present('checksumUrl', source.checksum),
      ...present('versionFile', source.version_file),
      maxBytes: source.max_size,
      maxFiles: source.max_files,
    },
    ...present('health', checked.health && toHealth(checked.health)),
    bake: {
      ...present('forMs', checked.bake.for),
      maxErrors: checked.bake.max_errors,
      maxSlowdown: checked.bake.max_slowdown,
      minRequests: checked.bake.min_requests,
    },
    preview: { ...present('address', checked.preview.address), ...present('expireMs', checked.preview.expire) },
    admission: {
      memory: checked.admission.memory,
      reserveBytes: checked.admission.reserve,
      maxDraining: checked.admission.max_draining,
      ...present('maxDrainAgeMs', checked.admission.max_drain_age),
    },
    ...present('notify', checked.notify && { command: checked.notify.command, timeoutMs: checked.notify.timeout }),
    sandbox: {
      writePaths: sandbox.write_paths,
      home: sandbox.home,
      devices: sandbox.devices,
      processes: sandbox.processes,
      namespaces: sandbox.namespaces,
      setuid: sandbox.setuid,
      capabilities: sandbox.capabilities,
      addressFamilies: sandbox.address_families,
      systemCalls: sandbox.system_calls,
    },
  }
}

function toHealth(health: NonNullable<Checked['health']>): NonNullable<Config['health']> {
  const { path = '/', status, host, tls, command } = health
  return {
    probe: command === undefined ? { kind: 'http', path, ...present('status', status), host, tls } : { kind: 'command', command },
    intervalMs: health.interval,
    timeoutMs: health.timeout,
    successes: health.successes,
    deadlineMs: health.deadline,
  }
}

/** A key that is absent is not there, rather than there and undefined. */
function present<K extends string, T>(key: K, value: T | undefined): { [P in K]?: T } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]: T })
}
