// @ts-check
import http from 'node:http'
import https from 'node:https'
import { Pool } from 'undici'
import { parseAddress } from './address.js'
import { makeOrder, verifyDigest, verifyReceipt } from './checksum.js'
import { CurlClient } from './curl-client.js'
import { EventStreamClient } from './event-stream-client.js'
import { exchangeOverFetch, exchangeOverHttp, exchangeOverUndici } from './exchange.js'
import { Http2Client } from './http2-client.js'
import { PipelinedConnection } from './pipeline.js'
import { makeIdler, makeRude } from './raw-clients.js'
import { WebSocketClient } from './websocket-client.js'

/**
 * The kinds of clients, how many of each, and what they ask for.
 *
 * - `keepAlive` GETs on one kept connection each, with a think time: the ones that meet a server's closing of idle
 *   connections
 * - `fetch`     GETs by fetch, on connections of undici's pool
 * - `connect`   GETs on a new connection each
 * - `post`      POSTs on a kept connection, with a body whose checksum must come back
 * - `download`  a slow answer, checked by its Content-Digest; always some of them in flight
 * - `upload`    POSTs whose body takes `uploadMs` to send
 * - `pipeline`  three GETs at once on a raw connection
 * - `undici`    GETs on the one connection of an undici pool each
 * - `curl`      processes of curl, each with GETs and an upload that expects `100 Continue`, on one connection
 * - `https`     as keepAlive, over TLS
 * - `h2c`, `h2` an HTTP/2 session each, in cleartext or over TLS, with several streams at once
 * - `webSocket` echoes on a WebSocket each, which connects again when it is closed with 1001
 * - `eventSource` an EventSource each: no event may be missing
 * - `idle`      GETs on a kept connection each, which lies idle in between for up to all of the time that it was promised
 * - `rude`      half-sent requests, silence, single bytes and worse, on a new connection each
 *
 * `https`, `h2c` and `h2` go to addresses of their own, see `Others`.
 *
 * @typedef {'keepAlive' | 'fetch' | 'connect' | 'post' | 'download' | 'upload' | 'pipeline' | 'undici' | 'curl' | 'https' | 'h2c' | 'h2'
 *   | 'webSocket' | 'eventSource' | 'idle' | 'rude'} ClientKind
 */
/**
 * Where the kinds go that do not speak plain HTTP/1.1, as `address` is written, and the certificate (PEM) to trust.
 *
 * @typedef {{ https?: string, h2c?: string, h2?: string, ca?: string }} Others
 */
/** @typedef {{ get: string[], post: string, download: string, events: string }} Paths */
/** @typedef {(attempt: (signal: AbortSignal, sighting: import('./exchange.js').Sighting) => Promise<void>) => Promise<void>} Measure */
/**
 * One client: `turn` sends one request (or one batch) and measures it; `close` gives up its idle connection, and measures what
 * was still to be told.
 *
 * @typedef {{ turn: (measure: Measure) => Promise<void>, close: (measure: Measure) => void | Promise<void> }} Client
 */
/**
 * @typedef {{ target: import('./address.js').Target, paths: Paths, uploadMs: number, thinkMs: number, others: Others,
 *   dispatcher: object | undefined }} ClientOptions
 */

/** @type {Record<ClientKind, (options: ClientOptions) => Client>} */
export const makeClient = {
  keepAlive: ({ target, paths }) => makeGetter(target, paths, new http.Agent({ keepAlive: true, maxSockets: 1 })),
  connect: ({ target, paths }) => makeGetter(target, paths, false),
  fetch: ({ target, paths, dispatcher }) => ({
    turn: (measure) =>
      measure(async (signal, sighting) => {
        const exchange = { method: 'GET', path: pick(paths.get), signal, sighting }
        const { digest, body } = await exchangeOverFetch(originOf(target), dispatcher, exchange)
        verifyDigest(digest, body, { required: false })
      }),
    close: () => {},
  }),
  post: (options) => makePoster(options, undefined),
  upload: (options) => makePoster(options, options.uploadMs),
  download: ({ target, paths }) => ({
    turn: (measure) =>
      measure(async (signal, sighting) => {
        const exchange = { method: 'GET', path: paths.download, signal, sighting }
        const { digest, body } = await exchangeOverHttp(target, false, exchange)
        verifyDigest(digest, body, { required: true })
      }),
    close: () => {},
  }),
  pipeline: ({ target, paths }) => makePipeliner(target, paths),
  undici: ({ target, paths }) => makePooled(target, paths),
  curl: ({ target, paths, thinkMs }) => new CurlClient(target, { paths, thinkMs }),
  https: ({ paths, others }) =>
    makeGetter(parseOther(others, 'https'), paths, new https.Agent({ keepAlive: true, maxSockets: 1, ...(others.ca && { ca: others.ca }) })),
  h2c: ({ paths, others }) => new Http2Client(originOf(parseOther(others, 'h2c')), { paths }),
  h2: ({ paths, others }) => new Http2Client(originOf(parseOther(others, 'h2'), 'https'), { paths, ca: others.ca }),
  webSocket: ({ target }) => new WebSocketClient('socketPath' in target ? `ws+unix:${target.socketPath}:/` : originOf(target, 'ws')),
  eventSource: ({ target, paths, dispatcher }) => new EventStreamClient(originOf(target) + paths.events, dispatcher),
  idle: ({ target, paths }) => makeIdler(target, paths),
  rude: ({ target, paths }) => makeRude(target, paths),
}

/**
 * @param {import('./address.js').Target} target
 * @param {Paths} paths
 * @param {http.Agent | https.Agent | false} agent
 * @returns {Client}
 */
function makeGetter(target, paths, agent) {
  return {
    turn: (measure) =>
      measure(async (signal, sighting) => {
        const exchange = { method: 'GET', path: pick(paths.get), signal, sighting }
        const { digest, body } = await exchangeOverHttp(target, agent, exchange)
        verifyDigest(digest, body, { required: false })
      }),
    close: () => (agent ? agent.destroy() : undefined),
  }
}

/**
 * @param {ClientOptions} options
 * @param {number | undefined} bodyMs
 * @returns {Client}
 */
function makePoster({ target, paths }, bodyMs) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  return {
    turn: (measure) =>
      measure(async (signal, sighting) => {
        const body = makeOrder()
        const slowness = bodyMs === undefined ? {} : { bodyMs }
        const exchange = { method: 'POST', path: paths.post, body, signal, sighting, ...slowness }
        verifyReceipt(body, (await exchangeOverHttp(target, agent, exchange)).body)
      }),
    close: () => agent.destroy(),
  }
}

/**
 * @param {import('./address.js').Target} target
 * @param {Paths} paths
 * @returns {Client}
 */
function makePipeliner(target, paths) {
  /** @type {PipelinedConnection | undefined} */
  let connection
  return {
    async turn(measure) {
      if (connection === undefined || connection.closing) connection = new PipelinedConnection(target)
      const current = connection
      const sightings = Array.from({ length: 3 }, () => ({ release: '', generation: '' }))
      const answers = current.send(pick(paths.get), sightings)
      await Promise.all(
        answers.map((answer, index) =>
          measure(async (signal, sighting) => {
            signal.addEventListener('abort', () => current.destroy())
            try {
              const { digest, body } = await answer
              verifyDigest(digest, body, { required: false })
            } finally {
              Object.assign(sighting, sightings[index])
            }
          }),
        ),
      )
    },
    close: () => connection?.destroy(),
  }
}

/**
 * @param {import('./address.js').Target} target
 * @param {Paths} paths
 * @returns {Client}
 */
function makePooled(target, paths) {
  const pool = new Pool(originOf(target), { connections: 1, pipelining: 1, ...('socketPath' in target && { socketPath: target.socketPath }) })
  return {
    turn: (measure) =>
      measure(async (signal, sighting) => {
        const { digest, body } = await exchangeOverUndici(pool, { method: 'GET', path: pick(paths.get), signal, sighting })
        verifyDigest(digest, body, { required: false })
      }),
    close: () => pool.destroy(),
  }
}

/** @param {string[]} paths */
function pick(paths) {
  return paths[Math.floor(Math.random() * paths.length)] ?? '/'
}

/**
 * @param {import('./address.js').Target} target
 * @param {string} [scheme]
 */
function originOf(target, scheme = 'http') {
  if ('socketPath' in target) return `${scheme}://localhost`
  return `${scheme}://${target.host.includes(':') ? `[${target.host}]` : target.host}:${target.port}`
}

/**
 * @param {Others} others
 * @param {'https' | 'h2c' | 'h2'} kind
 */
function parseOther(others, kind) {
  const address = others[kind]
  if (address === undefined) throw new TypeError(`clients of the kind ${kind} need an address in others`)
  return parseAddress(address)
}

/**
 * A pool of this traffic's own. Node does not export undici's Agent, but the global dispatcher is one.
 *
 * @param {import('./address.js').Target} target
 * @returns {Promise<{ destroy: () => Promise<void> } | undefined>} undefined: this node hides it, use the global one
 */
export async function makeDispatcher(target) {
  await fetch('data:,') // loads undici
  const shared = /** @type {any} */ (globalThis)[Symbol.for('undici.globalDispatcher.1')]
  const connect = 'socketPath' in target ? { connect: { socketPath: target.socketPath } } : {}
  if (typeof shared?.constructor === 'function') return new shared.constructor(connect)
  if ('socketPath' in target) throw new Error('this version of node gives no way to fetch over a unix socket')
  return undefined
}
