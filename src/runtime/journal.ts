import { spawnSync } from 'node:child_process'
import { existsSync, fstatSync } from 'node:fs'
import type { Instance } from './instance.js'
import { errorFields, fieldValue, formatFields, journalFields } from './journal-fields.js'
import { JournalFlow, type Entry } from './journal-flow.js'
import { loadJournald, type Journald } from './native.js'
import { TextOutput } from './text-output.js'

/** Writes one entry. `message` may be an Error. `fields` become journal fields: `requestId` is `REQUEST_ID`. Never throws. */
export type LogFunction = (message: unknown, fields?: object) => void

/** One function per priority of syslog(3) that an app has a use for. */
export interface Log {
  debug: LogFunction
  info: LogFunction
  notice: LogFunction
  warn: LogFunction
  error: LogFunction
  critical: LogFunction
}

/** Fields of an entry under their final names; MESSAGE must be among them, PRIORITY is 0 to 7 and 6 by default. */
export type JournalEntry = { MESSAGE: string; PRIORITY?: number } & Record<string, unknown>

const journalSocket = '/run/systemd/journal/socket'
const nativeLevels = ['emerg', 'alert', 'crit', 'err', 'warning', 'notice', 'info', 'debug'] as const
const programTimeoutMs = 5000

/**
 * Writes a structured entry to the journal, whoever calls it: natively, or else by `logger --journald` of util-linux, which
 * has the structure too but costs a process. Lines are kept in MESSAGE; in other fields `logger` gets them as blanks.
 * @returns `failed` when there is no journal or neither way worked. Never throws
 */
export function writeJournal(entry: JournalEntry): 'sent' | 'failed' {
  const { MESSAGE, PRIORITY = 6, ...rest } = entry
  const fields: Record<string, string> = {}
  for (const [name, value] of Object.entries(rest)) if (value !== undefined) fields[name] = fieldValue(value)
  if (!existsSync(journalSocket)) return 'failed'
  const native = loadJournald()
  if (native && sendNatively(native, PRIORITY, fieldValue(MESSAGE), fields)) return 'sent'
  const lines = [
    ...fieldValue(MESSAGE).split('\n').map((line) => `MESSAGE=${line}`),
    `PRIORITY=${PRIORITY}`,
    ...Object.entries(fields).map(([name, value]) => `${name}=${value.replace(/\n/g, ' ')}`),
    // `logger` has ended before the journal looks up its unit; root may name another process that the entry is about,
    // and `journalctl --unit` finds it by that: systemd.journal-fields(7).
    `OBJECT_PID=${process.pid}`,
  ]
  const result = spawnSync('logger', ['--journald'], { input: `${lines.join('\n')}\n`, timeout: programTimeoutMs })
  return result.status === 0 ? 'sent' : 'failed'
}

const flows = new Set<JournalFlow>()

/** Settles when journald has read what was logged natively so far, or after a second; see `JournalFlow.read`. */
export async function untilJournalRead(): Promise<void> {
  await Promise.all([...flows].map((flow) => flow.read()))
}

/**
 * The log of an app. Under systemd each entry carries the release and generation, natively as fields; without the native
 * package as lines on standard output whose `<N>` prefix systemd reads as the priority (sd-daemon(3)), the fields as text.
 * Outside systemd it is plain console output.
 */
export function createLog(instance: Instance | undefined, env: NodeJS.ProcessEnv = process.env): Log {
  const identity: Record<string, string> = instance
    ? {
        SYSLOG_IDENTIFIER: instance.app,
        HOLDFAST_APP: instance.app,
        HOLDFAST_RELEASE: instance.release,
        HOLDFAST_GENERATION: String(instance.generation),
        HOLDFAST_INSTANCE: instance.name,
      }
    : {}
  const native = instance && existsSync(journalSocket) ? loadJournald() : undefined
  const prefixed = isJournal(env.JOURNAL_STREAM, 1)
  const outputs = { 1: new TextOutput(1), 2: new TextOutput(2) }
  let missing = 0
  const writeLines = ({ priority, message, fields }: Entry): void => {
    const format = (level: number, text: string): string => text.split('\n').map((line) => `${prefixed ? `<${level}>` : ''}${line}\n`).join('')
    const output = outputs[prefixed || priority > 4 ? 1 : 2]
    const notice = missing > 0 ? format(4, `${missing} log entries are missing here: nobody read them for too long`) : ''
    missing = output.write(`${notice}${format(priority, `${message}${formatFields(fields)}`)}`) ? 0 : missing + 1
  }
  const flow = native && new JournalFlow((entry) => {
    if (!sendNatively(native, entry.priority, entry.message, { ...entry.fields, ...identity })) writeLines(entry)
  })
  if (flow) {
    flows.add(flow)
    process.on('exit', () => flow.end().forEach(writeLines))
  }

  const write = (priority: number, message: unknown, given?: object): void => {
    try {
      const fields = { ...journalFields(given), ...(message instanceof Error ? errorFields('ERROR', message) : {}) }
      const entry = { priority, message: fieldValue(message), fields }
      if (flow) flow.send(entry)
      else writeLines(entry)
    } catch {
      // a log call is never the reason for a failure
    }
  }
  const at = (priority: number): LogFunction => (message, fields) => write(priority, message, fields)
  return { debug: at(7), info: at(6), notice: at(5), warn: at(4), error: at(3), critical: at(2) }
}

/** Whether a descriptor is the stream that systemd connected to the journal; see JOURNAL_STREAM in systemd.exec(5). */
export function isJournal(stream: string | undefined, fd: number): boolean {
  if (!stream) return false
  try {
    const { dev, ino } = fstatSync(fd)
    return stream === `${dev}:${ino}`
  } catch {
    return false
  }
}

function sendNatively(native: Journald, priority: number, message: string, fields: Record<string, string>): boolean {
  try {
    native[nativeLevels[priority] ?? 'info'](message, fields)
    return true
  } catch {
    return false
  }
}
