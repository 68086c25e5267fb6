import { isTable, type Check } from './check.js'
import { quote } from './quote.js'

/** Names that systemd or Holdfast sets for each instance, and why a value from the file would break it. */
const takenNames: readonly [pattern: RegExp, reason: string][] = [
  [/^LISTEN_/, 'it tells the app its sockets'],
  [/^NOTIFY_SOCKET$/, 'it tells the app where to say that it is ready'],
  [/^WATCHDOG_/, 'it is set by the key `watchdog`'],
  [/^HOLDFAST_/, 'Holdfast tells the instance about itself with it'],
  [/^(?:STATE|RUNTIME|CACHE|LOGS|CONFIGURATION|CREDENTIALS)_DIRECTORY$/, "it names the app's own folders"],
  [/^(?:INVOCATION_ID|JOURNAL_STREAM|MAINPID|MANAGERPID|SYSTEMD_EXEC_PID|PIDFILE|FDSTORE|REMOTE_ADDR|REMOTE_PORT)$/, 'systemd sets it'],
  [/^(?:SERVICE_RESULT|EXIT_CODE|EXIT_STATUS|(?:MONITOR|TRIGGER|MEMORY_PRESSURE|SYSTEMD)_.*)$/, 'systemd sets it'],
  [/^NODE_CHANNEL_(?:FD|SERIALIZATION_MODE)$/, 'node reads a file descriptor from it'],
  [/^__proto__$/, 'JavaScript does not take it for a name'],
]

/** Variables of the app: names that a shell takes, values that are strings of one or more lines. */
export const environment: Check<Record<string, string>> = (value, site) => {
  if (!isTable(value)) return site.report(`expected a table, got ${quote(value)}: write env = { NODE_ENV = "production" }`)
  const before = site.problems.length
  const entries: [string, string][] = []
  for (const [name, text] of Object.entries(value)) {
    const problem = checkName(name) ?? checkText(text)
    if (problem === undefined) entries.push([name, text as string])
    else site.at(name).report(problem)
  }
  // Not by assignment, which would take a name such as __proto__ for something else.
  return site.problems.length === before ? Object.fromEntries(entries) : undefined
}

/** Whether a variable is set by systemd or Holdfast, and cannot be set here. */
export function isTakenVariable(name: string): boolean {
  return takenNames.some(([pattern]) => pattern.test(name))
}

function checkName(name: string): string | undefined {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
    return `${quote(name)} cannot be the name of a variable: use A-Z, a-z, 0-9 and _, not beginning with a digit`
  }
  const taken = takenNames.find(([pattern]) => pattern.test(name))
  return taken && `${name} must not be set here, for ${taken[1]}: remove it`
}

function checkText(text: unknown): string | undefined {
  if (typeof text === 'number' || typeof text === 'boolean') return `expected a string, got ${text}: put quotes around it, "${text}"`
  if (typeof text !== 'string') return `expected a string, got ${quote(text)}`
  // oxlint-disable-next-line no-control-regex
  if (/[\0-\x08\x0b-\x1f\x7f]/.test(text)) return 'has control characters in it, of which only a tab and a line feed can be passed on: remove them'
  return undefined
}
