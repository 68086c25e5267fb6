import cluster from 'node:cluster'
import type http from 'node:http'
import type net from 'node:net'
import { closeAfterResponses } from './closing-responses.js'
import { ExitGate } from './exit-gate.js'
import type { Log } from './journal.js'
import { formatLedger, formatWaiting, newLedger, number, type Ledger, type Waiting } from './ledger.js'
import { notifyStatus, notifyStopping } from './notify.js'
import { TrackedServer } from './tracked-server.js'

/** What a drain hook is told. */
export interface DrainContext {
  /** Milliseconds from the drain's beginning to its hard end. */
  timeoutMs: number
  /** Aborted at the hard end, just before what is left is cut. */
  signal: AbortSignal
}

/** Runs when the drain begins; the process lives until its promise settles, or until the hard end. */
export type DrainHook = (context: DrainContext) => void | Promise<void>

/** Milliseconds after which a connection that keeps its pipeline full is closed all the same. */
const pipelineLimitMs = 10_000
/** Milliseconds that an app gets after the drain when its own time limit for a shutdown had passed already. */
const hurriedExitMs = 5000
const tickMs = 1000

/**
 * The end of an instance's life: stops accepting, finishes what is in flight, and exits. A connection is never ended earlier
 * than its client was promised; what is left at the hard deadline is cut, counted and logged.
 */
export class Drain {
  readonly #servers = new Map<net.Server, TrackedServer>()
  readonly #hooks: DrainHook[] = []
  readonly #draining = new AbortController()
  readonly #deadline = new AbortController()
  readonly #gate = new ExitGate()
  readonly #ledger: Ledger = newLedger()
  readonly #watched = new WeakSet<http.ServerResponse>()
  readonly #log: Log
  readonly #timeoutMs: number
  #startedAt = 0
  #pendingHooks = 0
  #wasHurried = false

  constructor(options: { log: Log; timeoutMs: number }) {
    this.#log = options.log
    this.#timeoutMs = options.timeoutMs
  }

  /** Aborted when the drain begins. */
  get signal(): AbortSignal {
    return this.#draining.signal
  }

  /** Makes a server part of the drain; again is no harm. */
  attach(server: net.Server): void {
    if (!this.#servers.has(server)) this.#servers.set(server, new TrackedServer(server))
  }

  addHook(hook: DrainHook): void {
    this.#hooks.push(hook)
  }

  /** Makes SIGTERM start the drain, before any handler of the app's own runs. */
  listenForSigterm(): void {
    const onSigterm = (): void => {
      const others = process.listeners('SIGTERM').filter((listener) => listener !== onSigterm).length
      if (!this.signal.aborted) void this.#run(others > 0)
      // NestJS, for one, raises the signal again when its own shutdown is over.
      else if (others === 0) this.#gate.request()
    }
    process.prependListener('SIGTERM', onSigterm)
  }

  async #run(appExitsItself: boolean): Promise<void> {
    this.#startedAt = performance.now()
    this.#gate.shut()
    const { requests, connections } = this.#waiting()
    Object.assign(this.#ledger, { connections, requests })
    closeAfterResponses(() => this.#elapsedMs() > pipelineLimitMs, (response) => this.#watch(response))
    for (const server of this.#servers.values()) for (const response of server.responses()) this.#watch(response)
    const servers = [...this.#servers.values()].map((server) =>
      server.drain(() => this.#ledger.requests++, () => this.#onAppClosed()),
    )
    notifyStopping(formatWaiting(this.#waiting()))
    this.#log.info(`${formatWaiting(this.#waiting())}; at most ${this.#timeoutMs / 1000} s`, { phase: 'drain' })
    this.#draining.abort()
    let isCut = false
    let cutTimer: NodeJS.Timeout | undefined
    const cut = new Promise<void>((resolve) => {
      cutTimer = setTimeout(() => {
        isCut = true
        this.#cut()
        resolve()
      }, this.#timeoutMs)
    })
    const tick = setInterval(() => this.#tick(), tickMs)
    const hooks = [...this.#hooks, disconnectCluster].map((hook) => this.#runHook(hook))
    await Promise.race([Promise.all([...servers, ...hooks]), cut])
    clearInterval(tick)
    // Callbacks of the app's own close() run first: they may ask to exit, with a status.
    await new Promise((resolve) => setImmediate(resolve))
    const durationMs = Math.round(this.#elapsedMs())
    this.#log.info(formatLedger(this.#ledger, durationMs), { phase: 'drained', ...this.#ledger, durationMs })
    if (appExitsItself && !isCut) {
      cutTimer?.unref()
      await Promise.race([this.#untilAppExits(), cut])
    }
    this.#gate.leave()
  }

  /**
   * An app with a SIGTERM handler has more to do, such as closing a database, and says itself when it is done: by exit(), or by
   * letting the event loop run empty.
   */
  async #untilAppExits(): Promise<void> {
    if (this.#gate.asked) return
    notifyStatus("drained; waiting for the app's own SIGTERM handler to exit")
    const asked = this.#gate.whenAsked()
    if (!this.#wasHurried) return asked
    await Promise.race([asked, new Promise((resolve) => setTimeout(resolve, hurriedExitMs).unref())])
  }

  /** An exit() before this was the app's own time limit for its shutdown: only one that comes after it is the end. */
  #onAppClosed(): void {
    this.#wasHurried ||= this.#gate.asked
    this.#gate.forget()
  }

  /** The hard end. */
  #cut(): void {
    const waiting = this.#waiting()
    this.#deadline.abort()
    this.#ledger.cutConnections = waiting.connections
    this.#ledger.cutRequests = waiting.requests
    this.#ledger.cutHooks = waiting.hooks
    for (const server of this.#servers.values()) server.destroy()
    const { connections, requests, upgraded, hooks } = waiting
    if (connections + hooks === 0) {
      this.#log.warn("drained, but the app's own SIGTERM handler did not end the process in time", { phase: 'drain-cut' })
      return
    }
    this.#log.warn(
      `the drain's time of ${this.#timeoutMs / 1000} s is over: cut ${number(connections, 'connection')} ` +
        `(${number(requests, 'request')} in flight, ${upgraded} upgraded) and ${number(hooks, 'drain hook')}`,
      { phase: 'drain-cut', connections, requests, upgraded, hooks },
    )
  }

  #tick(): void {
    for (const server of this.#servers.values()) server.endExpired(performance.now())
    notifyStatus(formatWaiting(this.#waiting()))
  }

  /** Counts how a response ends. */
  #watch(response: http.ServerResponse): void {
    if (this.#watched.has(response)) return
    this.#watched.add(response)
    response.once('close', () => {
      if (response.writableFinished) this.#ledger.answered++
      else if (!this.#deadline.signal.aborted) this.#ledger.aborted++
    })
  }

  async #runHook(hook: DrainHook): Promise<void> {
    this.#pendingHooks++
    try {
      await hook({ timeoutMs: this.#timeoutMs, signal: this.#deadline.signal })
    } catch (error) {
      this.#log.error(error, { phase: 'drain-hook' })
    } finally {
      this.#pendingHooks--
    }
  }

  #waiting(): Waiting {
    const sum = { connections: 0, requests: 0, upgraded: 0, hooks: this.#pendingHooks }
    for (const server of this.#servers.values()) {
      const open = server.count()
      sum.connections += open.connections
      sum.requests += open.requests
      sum.upgraded += open.upgraded
    }
    return sum
  }

  #elapsedMs(): number {
    return performance.now() - this.#startedAt
  }
}

/** The workers of node:cluster hold the connections: they close them in node's own way, and the primary waits for that. */
async function disconnectCluster(): Promise<void> {
  const workers = cluster.isPrimary ? Object.keys(cluster.workers ?? {}).length : 0
  if (workers > 0) await new Promise<void>((resolve) => cluster.disconnect(resolve))
}
