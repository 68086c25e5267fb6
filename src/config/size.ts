import type { Check } from './check.js'
import { quote } from './quote.js'

const unitsBytes = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 } as const
type Unit = keyof typeof unitsBytes

/** Reads `512M` or `1.5G` (powers of 1024, as systemd does) as bytes; undefined when it is none. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d{1,15}(?:\.\d{1,6})?)([KMGT])$/.exec(text)
  return match ? Math.round(Number(match[1]) * unitsBytes[match[2] as Unit]) : undefined
}

/** Writes bytes as `512M`, with the largest unit that needs no fraction. */
export function formatSize(bytes: number): string {
  for (const unit of ['T', 'G', 'M', 'K'] as const) {
    if (bytes >= unitsBytes[unit] && bytes % unitsBytes[unit] === 0) return `${bytes / unitsBytes[unit]}${unit}`
  }
  return String(bytes)
}

/** A size between two bounds, both allowed and given as they would be written. */
export function sizeBetween(lowest: string, highest: string): Check<number> {
  const lowestBytes = parseSize(lowest) ?? 0
  const highestBytes = parseSize(highest) ?? Infinity
  return (value, site) => {
    if (typeof value === 'number') return site.report(`${value} has no unit: write "${value}M" or "${value}G"`)
    const bytes = typeof value === 'string' ? parseSize(value) : undefined
    if (bytes === undefined) return site.report(`expected a size such as "512M" or "1G", got ${quote(value)}${mendSize(value)}`)
    if (bytes < lowestBytes) return site.report(`${quote(value)} is too small: the least is "${lowest}"`)
    if (bytes > highestBytes) return site.report(`${quote(value)} is too large: the most is "${highest}"`)
    return bytes
  }
}

function mendSize(value: unknown): string {
  if (typeof value !== 'string' || value.length > 20) return ''
  const near = /^(\d+(?:\.\d+)?)\s*([kmgt])(?:i?b)?$/i.exec(value)
  if (near) return `: write "${near[1]}${near[2]?.toUpperCase()}"`
  if (/^\d+$/.test(value)) return `: add a unit, "${value}M"`
  if (value.endsWith('%')) return ': a share of the machine is not supported'
  return ''
}
