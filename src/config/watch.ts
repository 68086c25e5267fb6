import { argumentVector } from './command.js'
import { isTable, listOf, matching, optional, required, tableOf, trueOrFalse, wholeNumber, withDefault, type Check, type TableCheck, type ValuesOf } from './check.js'
import { durationBetween } from './duration.js'
import { hookCommand } from './hooks.js'
import { address } from './listen.js'
import { quote } from './quote.js'
import { sizeBetween } from './size.js'

/** The path of a request, such as `/healthz?deep=1`. */
const requestPath = matching(/^\/[\x21-\x7e]{0,999}$/, 'a path such as "/healthz"')

/** One status, or several. */
const statuses: Check<number[]> = (value, site) => {
  const one = wholeNumber(100, 599)
  return Array.isArray(value) ? listOf(one, '[200, 204]')(value, site) : [one(value, site)].filter((status) => status !== undefined)
}

/** `2%` as 0.02. */
const share: Check<number> = (value, site) => {
  const text = matching(/^(?:100|\d{1,2})(?:\.\d{1,3})?%$/, 'a share such as "1%"')(value, site)
  return text === undefined ? undefined : Math.min(1, Number.parseFloat(text) / 100)
}

const factor: Check<number> = (value, site) =>
  typeof value === 'number' && value >= 1 && value <= 1000 ? value : site.report(`expected a number from 1 to 1000 (without quotes), got ${quote(value)}`)

const healthShape = {
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

const health = tableOf(healthShape)

/** `[health]`: one of `path` and `command`. */
export const healthTable: TableCheck<typeof healthShape> = Object.assign(
  ((value, site) => {
    const checked = health(value, site)
    if (checked === undefined || !isTable(value)) return undefined
    if (checked.path === undefined && checked.command === undefined) return site.report('asks nothing: add path = "/healthz", or a command')
    if (checked.command === undefined) return checked
    const http = ['path', 'status', 'host', 'tls'].filter((key) => Object.hasOwn(value, key))
    for (const key of http) site.at(key).report('is about a request, and `command` asks in its place: remove one of them')
    return http.length === 0 ? checked : undefined
  }) satisfies Check<ValuesOf<typeof healthShape>>,
  { shape: healthShape },
)

/** `[bake]`: when a new generation has failed on real traffic. */
export const bakeTable = tableOf({
  for: optional(durationBetween('0s', '24h')),
  max_errors: withDefault(share, '1%'),
  max_slowdown: withDefault(factor, 3),
  min_requests: withDefault(wholeNumber(1, 1_000_000), 50),
})

/** `[preview]`: a way to a held generation. */
export const previewTable = tableOf({
  address: optional(address),
  expire: optional(durationBetween('1s', '8760h')),
})

/** `[admission]`: what must be there before a generation is started. */
export const admissionTable = tableOf({
  memory: withDefault(trueOrFalse, true),
  reserve: withDefault(sizeBetween('1M', '64T'), '64M'),
  max_draining: withDefault(wholeNumber(1, 10_000), 10),
  max_drain_age: optional(durationBetween('1s', '8760h')),
})

/** `[notify]`: who is told. */
export const notifyTable = tableOf({
  command: required(argumentVector('command', 'command = ["/usr/local/bin/tell-slack"]'), 'add command = ["/usr/local/bin/tell-slack"]'),
  timeout: withDefault(durationBetween('100ms', '10min'), '10s'),
})
