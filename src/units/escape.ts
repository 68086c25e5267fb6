import { HoldfastError } from '../errors.js'

/**
 * The one serializer of values into unit files. Whatever the value, the result is one value: it can
 * not end the line, expand a specifier (`%`), expand a variable (`$`) or become a second argument.
 * Source: systemd.syntax(7), "Quoting" in systemd.service(5), "Specifiers" in systemd.unit(5).
 */

/**
 * One word of a command line (`ExecStart=`), always in double quotes.
 * @throws HoldfastError `config-invalid` for a NUL, which no argument can hold.
 */
export function commandWord(value: string): string {
  return quote(value.replaceAll('$', '$$$$'))
}

/** One word of a list of words (`ReadWritePaths=`, `BindReadOnlyPaths=`), where `$` means nothing. */
export function listWord(value: string): string {
  return quote(value)
}

/**
 * A whole value of a setting that systemd takes as it stands, without unquoting: a description, a
 * single path, a socket's address.
 * @throws HoldfastError `config-invalid` for what such a value cannot hold: control characters, a
 *   backslash at its end (which joins lines), white space at either end, or nothing at all.
 */
export function plainValue(value: string): string {
  // eslint-disable-next-line no-control-regex -- control characters are what is refused
  if (value === '' || /[\u0000-\u001f\u007f]|^\s|\s$|\\$/.test(value)) {
    throw new HoldfastError('config-invalid', `${JSON.stringify(value)} cannot stand in a unit file`, {
      hint: 'Take out control characters, white space at the ends and a backslash at the end.',
    })
  }
  return value.replaceAll('%', '%%')
}

/** Milliseconds as a time span of systemd.time(7): `1500ms`, `60s`; longer ones stay in seconds. */
export function timeSpan(ms: number): string {
  return ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`
}

function quote(value: string): string {
  if (value.includes('\0')) {
    throw new HoldfastError('config-invalid', `${JSON.stringify(value)} holds a NUL, which no argument can`)
  }
  const escaped = value
    .replaceAll('\\', '\\\\')
    .replaceAll('"', '\\"')
    .replaceAll('%', '%%')
    // eslint-disable-next-line no-control-regex -- control characters are what is escaped
    .replace(/[\u0001-\u001f\u007f]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`)
  return `"${escaped}"`
}
