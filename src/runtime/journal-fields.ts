/** Of one value in the journal, in characters: whoever logs a whole upload shall not fill the disk with it. */
export const maxValueLength = 256 * 1024

/**
 * Of the fields that one call gives: journald takes at most 1024 in an entry, and sd_journal_sendv(3)
 * aborts the process at some 50,000, as when a list is given in place of an object.
 */
export const maxFields = 256

/** Names that say what an entry is; a field of the app's own with such a name is kept as `FIELD_<NAME>`. */
const reservedNames = /^(MESSAGE|PRIORITY|SYSLOG_IDENTIFIER|SYSLOG_PID|HOLDFAST_.*)$/

/**
 * The name of a field as systemd.journal-fields(7) allows it: capital letters, digits and underscores, no leading digit or
 * underscore, at most 64 characters. `requestId` becomes `REQUEST_ID`. Undefined when nothing is left of it.
 */
export function fieldName(key: string): string | undefined {
  const name = key
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replace(/([A-Z])([A-Z][a-z])/g, '$1_$2')
    .toUpperCase()
    .replace(/[^A-Z0-9]+/g, '_')
    .replace(/^_+|_+$/g, '')
  if (name === '') return undefined
  return (/^[0-9]/.test(name) ? `F_${name}` : name).slice(0, 64)
}

/** A value as text, for any value at all. NUL characters are removed: the native package would copy heap bytes after one. */
export function fieldValue(value: unknown): string {
  let text: string
  try {
    text = describe(value)
  } catch {
    text = '[unprintable]'
  }
  const surplus = text.length - maxValueLength
  // oxlint-disable-next-line no-control-regex -- NUL is exactly what must go
  const clean = text.slice(0, maxValueLength).replace(/\u0000/g, '')
  return surplus > 0 ? `${clean}… (${surplus} more characters)` : clean
}

/**
 * The fields of an app's log call, ready for the journal. Undefined values are left out; an Error gives three fields: itself,
 * `<NAME>_STACK` and, where it has one, `<NAME>_CODE`. Never throws.
 */
export function journalFields(fields: unknown): Record<string, string> {
  const result: Record<string, string> = {}
  if (typeof fields !== 'object' || fields === null) return result
  const keys = readableKeys(fields)
  if (keys.length > maxFields) result.FIELDS_OMITTED = String(keys.length - maxFields)
  for (const key of keys.slice(0, maxFields)) {
    let name = fieldName(key)
    if (name === undefined) continue
    if (reservedNames.test(name)) name = `FIELD_${name}`.slice(0, 64)
    let value: unknown
    try {
      value = (fields as Record<string, unknown>)[key]
    } catch {
      value = '[unreadable]'
    }
    if (value === undefined) continue
    result[name] = fieldValue(value)
    if (value instanceof Error) Object.assign(result, errorFields(name, value))
  }
  return result
}

/** What an Error adds to the entry that it is part of. */
export function errorFields(name: string, error: Error): Record<string, string> {
  const result: Record<string, string> = {}
  try {
    if (error.stack !== undefined) result[`${name.slice(0, 58)}_STACK`] = fieldValue(error.stack)
    const code = (error as { code?: unknown }).code
    if (code !== undefined) result[`${name.slice(0, 59)}_CODE`] = fieldValue(code)
  } catch {
    // a getter that throws: the message alone has to do
  }
  return result
}

/** Fields as ` key=value` text, for where there is no structure; values with blanks are quoted. */
export function formatFields(fields: Record<string, string>): string {
  return Object.entries(fields)
    .map(([name, value]) => ` ${name.toLowerCase()}=${/^[^\s"=]+$/.test(value) ? value : JSON.stringify(value)}`)
    .join('')
}

function readableKeys(fields: object): string[] {
  try {
    return Object.keys(fields)
  } catch {
    return []
  }
}

function describe(value: unknown): string {
  if (typeof value === 'string') return value
  if (value instanceof Error) return `${value.name}: ${value.message}`
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString()
  if (ArrayBuffer.isView(value)) return hex(value)
  if (typeof value === 'object' && value !== null) return stringify(value)
  if (typeof value === 'function') return `[function ${value.name || 'anonymous'}]`
  return String(value)
}

/** JSON that survives what JSON.stringify throws on or forgets: circles, bigints, Map, Set, Error, bytes. */
function stringify(value: object): string {
  const ancestors: object[] = []
  return JSON.stringify(value, function replace(this: unknown, key: string, item: unknown) {
    const raw = typeof this === 'object' && this !== null ? (this as Record<string, unknown>)[key] : item
    if (ArrayBuffer.isView(raw)) return hex(raw)
    if (typeof item === 'bigint') return String(item)
    if (item instanceof Error) return `${item.name}: ${item.message}`
    let plain = item
    if (item instanceof Map) plain = Object.fromEntries([...item].map(([name, entry]) => [String(name), entry]))
    if (item instanceof Set) plain = [...item]
    if (typeof plain !== 'object' || plain === null) return plain
    while (ancestors.length > 0 && ancestors.at(-1) !== this) ancestors.pop()
    if (ancestors.includes(item as object) || ancestors.includes(plain)) return '[circular]'
    ancestors.push(plain)
    return plain
  }) ?? '[unprintable]'
}

function hex(bytes: ArrayBufferView): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}
