// @ts-check
import { setMaxListeners } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { parseAddress } from './address.js'
import { makeClient, makeDispatcher } from './clients.js'
import { RequestFailure } from './failure.js'

/** @typedef {import('./ledger.js').RequestRecord} RequestRecord */
/** @typedef {import('./clients.js').ClientKind} ClientKind */
/**
 * Everything an engine needs, plain enough to be sent to another process; `completeOptions` fills in the defaults.
 *
 * @typedef {object} EngineOptions
 * @property {string} address see parseAddress
 * @property {Partial<Record<ClientKind, number>>} clients how many of each kind
 * @property {import('./clients.js').Others} others
 * @property {import('./clients.js').Paths} paths
 * @property {number} thinkMs mean pause between a client's requests, uniform from 0 to twice as much
 * @property {number} requestTimeoutMs for everything but downloads and uploads
 * @property {number} slowTimeoutMs for downloads and uploads
 * @property {number} uploadMs
 * @property {number} maxMs hard end: no request begins later
 * @property {number} maxRequests hard end: no more requests than this
 * @property {number} originMs the traffic's beginning, ms since the epoch
 */

const maxClients = 500

/**
 * Runs the clients in this process, until stopped or at the hard end.
 *
 * @param {EngineOptions} options
 * @param {(records: RequestRecord[]) => void} report called about 20 times a second
 * @returns {{ stop: (deadlineMs: number) => Promise<void> }} stop: no new request; those in flight may end by
 *   themselves for deadlineMs, and are recorded as `stuck` after that
 */
export function runEngine(options, report) {
  const target = parseAddress(options.address)
  const nowMs = () => performance.timeOrigin + performance.now() - options.originMs
  const stopping = new AbortController()
  setMaxListeners(0, stopping.signal) // one for each client
  /** @type {Set<(why: string) => void>} */
  const inFlight = new Set()
  let budget = options.maxRequests
  /** @type {RequestRecord[]} */
  let unreported = []
  const flush = () => {
    const records = unreported
    unreported = []
    if (records.length > 0) report(records)
  }
  const flushing = setInterval(flush, 50)
  const ending = setTimeout(() => stopping.abort(), options.maxMs)

  /**
   * @param {ClientKind} kind
   * @param {(signal: AbortSignal, sighting: import('./exchange.js').Sighting) => Promise<void>} attempt
   */
  async function measure(kind, attempt) {
    budget--
    const sighting = { release: '', generation: '' }
    const aborting = new AbortController()
    /** @type {(why: string) => void} */
    let end = () => {}
    const ended = new Promise((_, reject) => {
      end = (why) => {
        reject(new RequestFailure(why)) // before the abort, whose own error would say less
        aborting.abort()
      }
    })
    const slow = kind === 'download' || kind === 'upload'
    const timer = setTimeout(() => end('timeout'), slow ? options.slowTimeoutMs : options.requestTimeoutMs)
    inFlight.add(end)
    const startMs = nowMs()
    /** @type {RequestFailure | undefined} */
    let failure
    try {
      await Promise.race([attempt(aborting.signal, sighting), ended])
    } catch (error) {
      failure = error instanceof RequestFailure ? error : new RequestFailure('other-generator', String(error))
    }
    clearTimeout(timer)
    inFlight.delete(end)
    unreported.push({
      kind,
      startMs,
      durationMs: nowMs() - startMs,
      ...sighting,
      outcome: failure === undefined ? 'ok' : failure.kind,
      ...(failure?.detail && { detail: failure.detail }),
    })
  }

  /**
   * @param {ClientKind} kind
   * @param {import('./clients.js').Client} client
   * @param {number} firstPauseMs
   */
  async function live(kind, client, firstPauseMs) {
    let pauseMs = firstPauseMs
    for (;;) {
      await delay(pauseMs, undefined, { signal: stopping.signal }).catch(() => {})
      if (stopping.signal.aborted || budget <= 0) break
      await client.turn((attempt) => measure(kind, attempt))
      pauseMs = Math.random() * 2 * options.thinkMs
    }
    await client.close((attempt) => measure(kind, attempt))
  }

  async function liveAll() {
    const wanted = /** @type {[ClientKind, number][]} */ (Object.entries(options.clients))
    const total = wanted.reduce((sum, [, count]) => sum + count, 0)
    if (total > maxClients) throw new RangeError(`${total} clients, at most ${maxClients}`)
    const dispatcher = options.clients.fetch || options.clients.eventSource ? await makeDispatcher(target) : undefined
    const lives = wanted.flatMap(([kind, count]) =>
      Array.from({ length: count }, (_, index) => {
        const client = makeClient[kind]({ ...options, target, dispatcher })
        // Slow ones begin one after the other, so that at any instant some are at every stage.
        const slow = kind === 'download' || kind === 'upload'
        return live(kind, client, slow ? (index * 5_000) / count : Math.random() * 2 * options.thinkMs)
      }),
    )
    await Promise.all(lives)
    await dispatcher?.destroy()
  }

  const living = liveAll()
  living.catch(() => {}) // reported by stop()
  return {
    async stop(deadlineMs) {
      stopping.abort()
      const giveUp = setTimeout(() => {
        for (const end of inFlight) end('stuck')
      }, deadlineMs)
      try {
        await living
      } finally {
        clearTimeout(giveUp)
        clearTimeout(ending)
        clearInterval(flushing)
        flush()
      }
    },
  }
}
