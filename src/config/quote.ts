const longest = 80

/**
 * Shows a value of the file in a message: on one line, cut where it is long, and with everything escaped that a
 * terminal would act on (control characters, and the marks that turn the direction of text).
 */
export function quote(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (value instanceof Date) return 'a date'
  if (typeof value === 'object' && value !== null) return 'a table'
  if (typeof value !== 'string') return String(value)
  return escapeControl(JSON.stringify(value.length > longest ? `${value.slice(0, longest)}…` : value))
}

/** Escapes what a terminal would act on; for text that goes into a message as it is. */
export function escapeControl(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0
    return code > 0xffff ? `\\u{${code.toString(16)}}` : `\\u${code.toString(16).padStart(4, '0')}`
  })
}

/** Writes a string as TOML does; half a surrogate pair, which TOML cannot hold, becomes U+FFFD. */
export function tomlString(value: string): string {
  return JSON.stringify(value.replace(/\p{Cs}/gu, '\ufffd')).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => {
    const code = (character.codePointAt(0) ?? 0).toString(16)
    return code.length > 4 ? `\\U${code.padStart(8, '0')}` : `\\u${code.padStart(4, '0')}`
  })
}

/** Writes a list of strings as TOML does: `["node", "server.js"]`. */
export function tomlList(values: readonly string[]): string {
  return `[${values.map(tomlString).join(', ')}]`
}
