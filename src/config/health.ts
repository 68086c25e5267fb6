import { isTable, listOf, matching, optional, tableOf, trueOrFalse, wholeNumber, withDefault, type Check, type TableCheck, type ValuesOf } from './check.js'
import { durationBetween, formatDuration } from './duration.js'
import { hookCommand } from './hooks.js'
import { quote } from './quote.js'

/** The path of a request, such as `/healthz?deep=1`. */
const requestPath = matching(/^\/[\x21-\x7e]{0,999}$/, 'a path such as "/healthz"')

const status = wholeNumber(100, 599)
const statusList = listOf(status, 'status = [200, 204]')

/** One status, or several. */
const statuses: Check<number[]> = (value, site) => {
  if (!Array.isArray(value)) {
    const one = status(value, site)
    return one === undefined ? undefined : [one]
  }
  return value.length === 0 ? site.report('no status would be good: write status = [200, 204], or remove it') : statusList(value, site)
}

const shape = {
  path: optional(requestPath),
  status: optional(statuses),
  host: withDefault(matching(/^[\x21-\x7e]{1,255}$/, 'the name of a host such as "shop.example"'), 'localhost'),
  tls: withDefault(trueOrFalse, false),
  command: optional(hookCommand('command', './check.sh')),
  interval: withDefault(durationBetween('10ms', '10min'), '1s'),
  timeout: withDefault(durationBetween('10ms', '10min'), '5s'),
  successes: withDefault(wholeNumber(1, 1000), 1),
  deadline: withDefault(durationBetween('100ms', '24h'), '60s'),
}

/** Keys that say how the request is made, or what is a good answer to it. */
const aboutRequests = ['path', 'status', 'host', 'tls'] as const

const table = tableOf(shape)

/** `[health]`: one of `path` and `command`, asked so often that its deadline can be met. */
export const healthTable: TableCheck<typeof shape> = Object.assign(
  ((value, site) => {
    const health = table(value, site)
    if (health === undefined || !isTable(value)) return undefined
    const before = site.problems.length
    if (health.command === undefined && health.path === undefined) return site.report('asks nothing: add path = "/healthz", or a command')
    if (health.command !== undefined) {
      for (const key of aboutRequests.filter((one) => Object.hasOwn(value, one))) {
        site.at(key).report('is about a request, and `command` asks in its place: remove one of them')
      }
    }
    const leastMs = (health.successes - 1) * health.interval
    if (leastMs >= health.deadline) {
      site.at('successes').report(
        `${quote(health.successes)} in a row, ${formatDuration(health.interval)} apart, take ${formatDuration(leastMs)}, and \`deadline\` is ${formatDuration(health.deadline)}: no release could pass; write a longer \`deadline\`, or fewer`,
      )
    }
    return site.problems.length === before ? health : undefined
  }) satisfies Check<ValuesOf<typeof shape>>,
  { shape },
)
