import {
  matching, oneOf, optional, required, setOf, tableOf, trueOrFalse, wholeNumber, withDefault, type Check, type ValuesOf,
} from './check.js'
import { bakeTable } from './bake.js'
import { argumentVector, commandLine } from './command.js'
import { drainTable } from './drain.js'
import { durationBetween } from './duration.js'
import { environment } from './env.js'
import { healthTable } from './health.js'
import { hooksTable } from './hooks.js'
import { address, listeners } from './listen.js'
import { appName, userName } from './names.js'
import { absolutePath, sourceFolder, writePath } from './path.js'
import { quote } from './quote.js'
import { sizeBetween } from './size.js'
import { sourceTable } from './source.js'

const description: Check<string> = (value, site) =>
  typeof value === 'string' && value !== '' && value.length <= 80 && !/[\p{Cc}\p{Zl}\p{Zp}]/u.test(value)
    ? value
    : site.report(`expected one line of at most 80 characters, got ${quote(value)}`)

const tellExample = 'command = ["/usr/local/bin/tell-chat"]'

/** Every key of holdfast.toml, with what it takes and what stands in its place when it is absent. */
export const schema = tableOf({
  app: required(appName, 'add app = "shop", the prefix of every unit name'),
  description: optional(description),
  command: required(commandLine, 'add command = ["node", "server.js"]'),
  user: optional(userName),
  directory: optional(sourceFolder),
  snapshot: withDefault(trueOrFalse, true),
  processes: withDefault(wholeNumber(1, 256), 1),
  strategy: withDefault(oneOf('all', 'rolling'), 'all'),
  env: withDefault(environment, {}),
  env_file: optional(absolutePath),
  data: withDefault(trueOrFalse, false),
  watchdog: optional(durationBetween('1s', '1h')),
  // None: a worker, which takes its work from a queue.
  listen: withDefault(listeners, {}),
  start: withDefault(
    tableOf({
      timeout: withDefault(durationBetween('100ms', '24h'), '60s'),
      settle: withDefault(durationBetween('0s', '10min'), '2s'),
      standby: optional(trueOrFalse),
    }),
    {},
  ),
  drain: withDefault(drainTable, {}),
  limits: withDefault(
    tableOf({
      memory: optional(sizeBetween('16M', '64T')),
      tasks: optional(wholeNumber(1, 4_194_304)),
    }),
    {},
  ),
  hooks: withDefault(hooksTable, {}),
  source: withDefault(sourceTable, {}),
  health: optional(healthTable),
  bake: withDefault(bakeTable, {}),
  preview: withDefault(
    tableOf({
      address: optional(address),
      expire: optional(durationBetween('1s', '8760h')),
    }),
    {},
  ),
  admission: withDefault(
    tableOf({
      memory: withDefault(trueOrFalse, true),
      reserve: withDefault(sizeBetween('1M', '64T'), '64M'),
      max_draining: withDefault(wholeNumber(1, 10_000), 32),
      max_drain_age: optional(durationBetween('1s', '8760h')),
    }),
    {},
  ),
  notify: optional(
    tableOf({
      command: required(argumentVector('command', tellExample), `add ${tellExample}`),
      timeout: withDefault(durationBetween('100ms', '10min'), '10s'),
    }),
  ),
  sandbox: withDefault(
    tableOf({
      write_paths: withDefault(setOf(writePath, '["/srv/shop/uploads"]'), []),
      home: withDefault(oneOf('hidden', 'read-only', 'visible'), 'hidden'),
      devices: withDefault(trueOrFalse, false),
      processes: withDefault(trueOrFalse, false),
      namespaces: withDefault(trueOrFalse, false),
      setuid: withDefault(trueOrFalse, false),
      capabilities: withDefault(setOf(matching(/^CAP_[A-Z][A-Z_]{0,40}$/, 'a capability such as "CAP_NET_RAW"'), '["CAP_NET_RAW"]'), []),
      address_families: withDefault(setOf(matching(/^AF_[A-Z0-9]{1,20}$/, 'an address family such as "AF_PACKET"'), '["AF_PACKET"]'), []),
      system_calls: withDefault(
        setOf(matching(/^@?[a-z0-9_][a-z0-9_-]{0,40}$/, 'a system call or a group such as "@resources"'), '["@resources"]'),
        [],
      ),
    }),
    {},
  ),
})

/** What the schema makes of a file that is in order. */
export type Checked = ValuesOf<typeof schema.shape>

