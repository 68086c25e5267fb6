import { matching, optional, tableOf, wholeNumber, withDefault, type Check } from './check.js'
import { durationBetween } from './duration.js'
import { quote } from './quote.js'

/** `2%` as 0.02. */
const share: Check<number> = (value, site) => {
  const text = matching(/^(?:100|\d{1,2}(?:\.\d{1,3})?)%$/, 'a share such as "1%"')(value, site)
  return text === undefined ? undefined : Number.parseFloat(text) / 100
}

const factor: Check<number> = (value, site) =>
  typeof value === 'number' && value >= 1 && value <= 1000 ? value : site.report(`expected a number from 1 to 1000 (without quotes), got ${quote(value)}`)

/** `[bake]`: when a new generation has failed on real traffic. */
export const bakeTable = tableOf({
  for: optional(durationBetween('0s', '24h')),
  max_errors: withDefault(share, '1%'),
  max_slowdown: withDefault(factor, 3),
  min_requests: withDefault(wholeNumber(1, 1_000_000), 50),
})
