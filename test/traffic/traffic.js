// @ts-check
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseAddress } from './address.js'
import { runEngine } from './engine.js'
import { Ledger } from './ledger.js'

/** @typedef {import('./engine.js').EngineOptions} EngineOptions */
/** @typedef {import('./ledger.js').RequestRecord} RequestRecord */
/** @typedef {{ do: 'start', options: EngineOptions } | { do: 'stop', deadlineMs: number }} Order */
/**
 * @typedef {Partial<Omit<EngineOptions, 'originMs' | 'paths'>> & { address: string, ownProcess?: boolean,
 *   paths?: Partial<import('./clients.js').Paths> }} TrafficOptions
 *   ownProcess: run the clients in a process of their own. Default true
 */

/** About 500 requests a second in all; light enough for two cores that also run the servers. */
export const defaultClients = { keepAlive: 5, fetch: 3, connect: 2, post: 3, download: 3 }

/**
 * Starts steady mixed traffic against an address. It ends by stop(), or at the hard limits.
 *
 * @param {TrafficOptions} options
 * @returns {Traffic}
 */
export function startTraffic({ ownProcess = true, ...given }) {
  parseAddress(given.address) // a bad one fails here, not in another process
  const options = {
    clients: defaultClients,
    others: {},
    thinkMs: 20,
    requestTimeoutMs: 10_000,
    slowTimeoutMs: 30_000,
    uploadMs: 3_000,
    maxMs: 300_000,
    maxRequests: 300_000,
    originMs: performance.timeOrigin + performance.now(),
    ...given,
    paths: { get: ['/', '/products'], post: '/orders', download: '/export', events: '/events', ...given.paths },
  }
  return new Traffic(options, ownProcess)
}

/** Traffic that runs. Its `ledger` grows as requests end. */
export class Traffic {
  ledger = new Ledger()
  /** The beginning, ms since the epoch. */
  originMs
  /** @type {ReturnType<typeof runEngine> & { pid?: number | undefined }} */
  #engine
  /** @type {Set<() => void>} */
  #watchers = new Set()
  /** @type {Promise<Ledger> | undefined} */
  #stopped
  /** @type {Error | undefined} */
  #fault

  /**
   * @param {EngineOptions} options
   * @param {boolean} ownProcess
   */
  constructor(options, ownProcess) {
    this.originMs = options.originMs
    const receive = (/** @type {RequestRecord[]} */ records) => {
      for (const record of records) this.ledger.add(record)
      this.#wake()
    }
    const fail = (/** @type {Error} */ error) => {
      this.#fault ??= error
      this.#wake()
    }
    this.#engine = ownProcess ? forkEngine(options, receive, fail) : runEngine(options, receive)
  }

  /** Of the clients' own process; undefined when they run in this one. */
  get pid() {
    return this.#engine.pid
  }

  /** Milliseconds since the traffic began: the clock of the ledger. */
  get nowMs() {
    return performance.timeOrigin + performance.now() - this.originMs
  }

  /** @param {string} label */
  mark(label) {
    this.ledger.marks.push({ label, atMs: this.nowMs })
  }

  /**
   * Runs something and notes when it began and ended, however it ended.
   *
   * @template T
   * @param {string} label
   * @param {() => Promise<T>} action
   * @returns {Promise<T>}
   */
  async during(label, action) {
    const fromMs = this.nowMs
    try {
      return await action()
    } finally {
      this.ledger.spans.push({ label, fromMs, toMs: this.nowMs })
    }
  }

  /**
   * Waits for traffic, not for time.
   *
   * @param {number | ((ledger: Ledger) => boolean)} goal that many more requests ended, or the ledger says so
   * @param {{ timeoutMs?: number }} [options] default 30 s
   */
  async until(goal, { timeoutMs = 30_000 } = {}) {
    const target = this.ledger.requests + (typeof goal === 'number' ? goal : 0)
    const reached = typeof goal === 'number' ? () => this.ledger.requests >= target : () => goal(this.ledger)
    await new Promise((resolve, reject) => {
      const settle = (/** @type {Error | undefined} */ error) => {
        clearTimeout(timer)
        this.#watchers.delete(check)
        if (error) reject(error)
        else resolve(undefined)
      }
      const check = () => {
        try {
          if (this.#fault) settle(this.#fault)
          else if (reached()) settle(undefined)
        } catch (error) {
          settle(/** @type {Error} */ (error))
        }
      }
      const timer = setTimeout(() => {
        const seen = { requests: this.ledger.requests, answered: this.ledger.byRelease(), failed: this.ledger.failuresByOutcome() }
        settle(new Error(`the traffic did not get there within ${timeoutMs} ms: ${JSON.stringify(seen)}`))
      }, timeoutMs)
      this.#watchers.add(check)
      check()
    })
  }

  /**
   * No new requests; those in flight may end by themselves until the deadline, and count as `stuck` after it.
   *
   * @param {{ deadlineMs?: number }} [options] default 15 s, enough for a download that has just begun
   * @returns {Promise<Ledger>} the same at every call
   */
  stop({ deadlineMs = 15_000 } = {}) {
    this.#stopped ??= this.#engine.stop(deadlineMs).then(() => {
      this.ledger.endMs = this.nowMs
      if (this.#fault) throw this.#fault
      return this.ledger
    })
    return this.#stopped
  }

  #wake() {
    for (const check of this.#watchers) check()
  }
}

/**
 * @param {EngineOptions} options
 * @param {(records: RequestRecord[]) => void} receive
 * @param {(error: Error) => void} fail
 * @returns {ReturnType<typeof runEngine> & { pid: number | undefined }}
 */
function forkEngine(options, receive, fail) {
  // execArgv: what the parent was started with (a test runner's loaders, --import) is not for this one.
  const child = fork(fileURLToPath(new URL('engine-process.js', import.meta.url)), [], { execArgv: [] })
  let stopped = false
  child.on('message', (/** @type {any} */ message) => {
    if (message.records) receive(message.records)
    if (message.error) fail(new Error(`the traffic's process failed: ${message.error}`))
    if (message.stopped) stopped = true
  })
  const gone = new Promise((resolve) => {
    child.on('error', (error) => {
      fail(error)
      resolve(undefined)
    })
    // `close`, not `exit`: the last records may still be in the channel.
    child.on('close', (code, signal) => {
      if (!stopped) fail(new Error(`the traffic's process ended by itself (${signal ?? `status ${code}`})`))
      resolve(undefined)
    })
  })
  send({ do: 'start', options })
  return {
    pid: child.pid,
    async stop(deadlineMs) {
      send({ do: 'stop', deadlineMs })
      const kill = setTimeout(() => child.kill('SIGKILL'), deadlineMs + 5_000)
      await gone
      clearTimeout(kill)
    },
  }

  /** @param {Order} order */
  function send(order) {
    if (child.connected) child.send(order, () => {})
  }
}
