import { dirname, isAbsolute, resolve } from 'node:path'
import { parseConfig } from './parse.js'
import { tomlString } from './quote.js'
import { findSourceLines } from './source-lines.js'

/**
 * The text that `install` writes to /etc for the file it was given: the same, comments and all, but with an
 * absolute `directory` where it was relative, for the copy lies elsewhere. Throws `config-invalid`.
 */
export function installedText(text: string, file: string): string {
  const folder = dirname(resolve(file))
  const { directory } = parseConfig(text, { file, folder })
  const place = findSourceLines(text).find(['directory'])
  if (directory === undefined || place === undefined) return text
  const before = text.slice(0, place.valueStart)
  const after = text.slice(place.valueEnd)
  const changed = `${before}${tomlString(directory)}${after}`
  return isWrittenAbsolute(text.slice(place.valueStart, place.valueEnd)) ? text : changed
}

/** Whether the value, a TOML string of any kind, begins with a slash. */
function isWrittenAbsolute(written: string): boolean {
  return isAbsolute(written.replace(/^(?:"""\r?\n?|'''\r?\n?|"|')/, ''))
}
