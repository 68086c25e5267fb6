import type { Check } from './check.js'
import { quote } from './quote.js'

const unitsMs = { d: 86_400_000, h: 3_600_000, min: 60_000, s: 1000, ms: 1 } as const
type Unit = keyof typeof unitsMs

/** Reads `60s`, `15min`, `500ms`, `1.5s` or `2h 30min`, as systemd.time(7) does; undefined when it is none. */
export function parseDuration(text: string): number | undefined {
  if (text.length > 64 || !/^\s*(?:\d+(?:\.\d+)?\s*(?:d|h|min|s|ms)\s*)+$/.test(text)) return undefined
  let total = 0
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)\s*(min|ms|d|h|s)/g)) total += Number(amount) * unitsMs[unit as Unit]
  return Math.round(total)
}

/** Writes milliseconds as `2h 30min`, so that `parseDuration` reads the same. */
export function formatDuration(ms: number): string {
  let rest = Math.round(ms)
  const parts: string[] = []
  for (const unit of ['h', 'min', 's', 'ms'] as const) {
    const amount = Math.floor(rest / unitsMs[unit])
    if (amount > 0) parts.push(`${amount}${unit}`)
    rest -= amount * unitsMs[unit]
  }
  return parts.join(' ') || '0s'
}

/** A duration between two bounds, both allowed and given as they would be written. */
export function durationBetween(lowest: string, highest: string): Check<number> {
  const lowestMs = parseDuration(lowest) ?? 0
  const highestMs = parseDuration(highest) ?? Infinity
  return (value, site) => {
    if (typeof value === 'number') return site.report(`${value} has no unit: write "${value}s" for seconds, or use ms, min or h`)
    const ms = typeof value === 'string' ? parseDuration(value) : undefined
    if (ms === undefined) return site.report(`expected a time such as "60s", "15min", "500ms" or "2h 30min", got ${quote(value)}${mendUnit(value)}`)
    if (ms < lowestMs) return site.report(`${quote(value)} is too short: the least is "${lowest}"`)
    if (ms > highestMs) return site.report(`${quote(value)} is too long: the most is "${highest}"`)
    return ms
  }
}

function mendUnit(value: unknown): string {
  if (typeof value !== 'string' || value.length > 20) return ''
  if (/^\d+$/.test(value)) return `: add a unit, "${value}s" for seconds`
  const minutes = /^(\d+)\s*(?:m|mins|minutes?)$/i.exec(value)
  if (minutes) return `: write "${minutes[1]}min"`
  const seconds = /^(\d+)\s*(?:secs?|seconds?)$/i.exec(value)
  if (seconds) return `: write "${seconds[1]}s"`
  const hours = /^(\d+)\s*(?:hr?s?|hours?)$/i.exec(value)
  if (hours) return `: write "${hours[1]}h"`
  if (/^(?:infinity|forever|never|none)$/i.test(value)) return ': there must be an end, or one hung process would hold everything up'
  return ''
}
