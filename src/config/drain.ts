import { isTable, tableOf, wholeNumber, withDefault, type Check, type TableCheck, type ValuesOf } from './check.js'
import { durationBetween, formatDuration } from './duration.js'

const shape = {
  timeout: withDefault(durationBetween('100ms', '24h'), '15min'),
  shutdown_timeout: withDefault(durationBetween('100ms', '24h'), '90s'),
  hang_timeout: withDefault(durationBetween('1s', '24h'), '2min'),
  reconnect_window: withDefault(durationBetween('0s', '24h'), '30s'),
  reconnect_rate: withDefault(wholeNumber(1, 1_000_000), 100),
}

type Drain = ValuesOf<typeof shape>

/** Times that lie within `timeout`, and what one above it would come to. */
const parts = {
  shutdown_timeout: 'a shutdown of the machine would wait longer than a deploy',
  hang_timeout: 'the drain is over before',
  reconnect_window: 'clients would be asked to come back after the end of the drain',
} as const

const table = tableOf(shape)

/** `[drain]`. A time that is not in the file is `timeout` at most; one that is there and is longer is an error. */
export const drainTable: TableCheck<typeof shape> = Object.assign(
  ((value, site) => {
    const drain = table(value, site)
    if (drain === undefined || !isTable(value)) return undefined
    const before = site.problems.length
    const capped: Drain = { ...drain }
    for (const key of Object.keys(parts) as (keyof typeof parts)[]) {
      if (drain[key] <= drain.timeout) continue
      if (Object.hasOwn(value, key)) {
        const timeout = formatDuration(drain.timeout)
        site.at(key).report(`${formatDuration(drain[key])} is longer than \`timeout\`, which is ${timeout}: ${parts[key]}; write "${timeout}" or less, or a longer \`timeout\``)
      }
      capped[key] = drain.timeout
    }
    return site.problems.length === before ? capped : undefined
  }) satisfies Check<Drain>,
  { shape },
)
