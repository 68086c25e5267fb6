import { plainText } from '../deploy/foreign-text.js'
import { joinSpan, spanWords } from '../deploy/span-words.js'

export { bytesWords } from '../deploy/bytes-words.js'
export { spanWords } from '../deploy/span-words.js'

/** How long something took: `0.4 s`, `12.3 s`, `2 min 5 s`, then as `spanWords`. @param digits of the seconds below a minute */
export function durationWords(ms: number, digits: 0 | 1 = 1): string {
  if (ms < 59_950) return `${(Math.max(0, ms) / 1000).toFixed(digits)} s`
  const seconds = Math.round(ms / 1000)
  return seconds < 3_600 ? joinSpan(Math.floor(seconds / 60), 'min', seconds % 60, 's') : spanWords(ms)
}

/** A time of day where the reader is: `2026-11-21 02:25:10`. */
export const timeWords = (iso: string): string => new Date(iso).toLocaleString('sv-SE')

/** Columns of a table, padded but for the last. */
export function alignRows(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows.map((row) => row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0))).join('  ').trimEnd())
}

/** The status of an instance that drains: what it waits for, where it says so as the runtime does; else its own words. */
export function drainWords(status: string): string {
  const text = plainText(status)
  const waiting = /^draining: (.+)$/.exec(text)?.[1]
  if (waiting === undefined) return `"${text}"`
  return waiting === 'nothing in flight' ? waiting : `waits for ${waiting}`
}
