// @ts-check
import http from 'node:http'
import { makeOrder, verifyDigest, verifyReceipt } from './checksum.js'
import { exchangeOverFetch, exchangeOverHttp } from './exchange.js'
import { PipelinedConnection } from './pipeline.js'

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
 *
 * @typedef {'keepAlive' | 'fetch' | 'connect' | 'post' | 'download' | 'upload' | 'pipeline'} ClientKind
 */
/** @typedef {{ get: string[], post: string, download: string }} Paths */
/** @typedef {(attempt: (signal: AbortSignal, sighting: import('./exchange.js').Sighting) => Promise<void>) => Promise<void>} Measure */
/**
 * One client: `turn` sends one request (or one batch) and measures it; `close` gives up its idle connection.
 *
 * @typedef {{ turn: (measure: Measure) => Promise<void>, close: () => void }} Client
 */
/** @typedef {{ target: import('./address.js').Target, paths: Paths, uploadMs: number, dispatcher: object | undefined }} ClientOptions */

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
}

/**
 * @param {import('./address.js').Target} target
 * @param {Paths} paths
 * @param {http.Agent | false} agent
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
    close: () => agent && agent.destroy(),
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

/** @param {string[]} paths */
function pick(paths) {
  return paths[Math.floor(Math.random() * paths.length)] ?? '/'
}

/** @param {import('./address.js').Target} target */
function originOf(target) {
  if ('socketPath' in target) return 'http://localhost'
  return `http://${target.host.includes(':') ? `[${target.host}]` : target.host}:${target.port}`
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
