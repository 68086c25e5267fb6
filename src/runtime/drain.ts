import cluster from 'node:cluster'
import type net from 'node:net'
import { closeAfterResponses } from './closing-responses.js'
import { aborted, Deadline } from './deadline.js'
import type { StopReason } from './environment.js'
import { ExitGate } from './exit-gate.js'
import { Farewells } from './farewells.js'
import type { Log } from './journal.js'
import { formatCut, formatLedger, Ledger, ledgerFields, type JobLedger } from './ledger.js'
import type { DrainLimits } from './limits.js'
import type { ConnectionKind, DrainingConnection } from './long-lived.js'
import { notifyExtendTimeout, notifyStatus, notifyStopping } from './notify.js'
import { Sigterm } from './sigterm.js'
import { readStopReason } from './stop-reason.js'
import { TrackedServer } from './tracked-server.js'
import { formatWaiting, type Waiting, type WaitingJob } from './waiting.js'

/** What a drain hook is told. */
export interface DrainContext {
  /** Why this instance drains. */
  reason: StopReason
  /** Milliseconds until the hard end. */
  timeoutMs: number
  /** Aborted at the hard end, just before what is left is cut. */
  signal: AbortSignal
}

/** Runs when the drain begins; the process lives until its promise settles, or until the hard end. */
export type DrainHook = (context: DrainContext) => void | Promise<void>

/** Runs for each connection of a kind, at the moment at which it would be closed, and in place of that. */
export type ConnectionHook = (connection: DrainingConnection, context: DrainContext) => void | Promise<void>

/** The jobs of a process, as a drain sees them; see jobs.ts. */
export interface DrainingJobs {
  waiting(): WaitingJob[]
  /** Settles when none lives. */
  ended(): Promise<void>
  /** The deadline nears. */
  abort(reason: Error): void
  /** The hard end; returns how many still live. */
  cut(): number
  readonly ledger: JobLedger
}

/** Milliseconds after which a connection that keeps its pipeline full is closed all the same. */
const pipelineLimitMs = 10_000
const tickMs = 1000
/** systemd's time is extended so many times before it would run out. */
const extensionsPerHang = 4
/** Of the time that is left, the part in which all clients are asked to come back: the rest is for them to go. */
const farewellPart = 0.8
/** These do not end by themselves. */
const longLived: readonly ConnectionKind[] = ['websocket', 'event-stream']

/**
 * The end of an instance's life: stops accepting, finishes what is in flight, and exits. A connection is never ended earlier
 * than its client was promised, what never ends by itself is asked to come back elsewhere, and what is left at the hard end is
 * cut, counted and logged.
 */
export class Drain {
  readonly #servers = new Map<net.Server, TrackedServer>()
  readonly #hooks: DrainHook[] = []
  readonly #startedHooks: Promise<void>[] = []
  readonly #connectionHooks = new Map<ConnectionKind, ConnectionHook[]>()
  readonly #draining = new AbortController()
  readonly #deadline = new Deadline()
  readonly #farewells = new Farewells((connection) => this.#sayFarewell(connection))
  readonly #gate = new ExitGate()
  readonly #sigterm = new Sigterm()
  readonly #ledger = new Ledger()
  readonly #log: Log
  readonly #limits: DrainLimits
  readonly #stopFile: string | undefined
  #jobs: DrainingJobs | undefined
  #reason: StopReason = 'stop'
  #startedAt = 0
  #extendedAt = -Infinity
  #pendingHooks = 0

  constructor(options: { log: Log; limits: DrainLimits; stopFile: string | undefined }) {
    this.#log = options.log
    this.#limits = options.limits
    this.#stopFile = options.stopFile
  }

  /** Aborted when the drain begins. */
  get signal(): AbortSignal {
    return this.#draining.signal
  }

  /** Makes a server part of the drain; again is no harm. */
  attach(server: net.Server): void {
    if (!this.#servers.has(server)) this.#servers.set(server, new TrackedServer(server))
  }

  /** Makes jobs part of the drain. */
  waitForJobs(jobs: DrainingJobs): void {
    this.#jobs = jobs
  }

  /** In a drain it runs at once. */
  addHook(hook: DrainHook): void {
    if (this.signal.aborted) this.#startHook(hook)
    else this.#hooks.push(hook)
  }

  addConnectionHook(kind: ConnectionKind, hook: ConnectionHook): void {
    this.#connectionHooks.set(kind, [...(this.#connectionHooks.get(kind) ?? []), hook])
  }

  /** Makes SIGTERM start the drain, before any handler of the app's own runs. */
  listenForSigterm(): void {
    this.#gate.install()
    this.#sigterm.hold(() => {
      if (!this.signal.aborted) void this.#run()
      // NestJS, for one, raises the signal again when its own shutdown is over.
      else if (!this.#sigterm.hasHandlers()) this.#gate.request()
    })
  }

  async #run(): Promise<void> {
    this.#startedAt = performance.now()
    this.#gate.shut()
    this.#reason = readStopReason(this.#stopFile)
    this.#deadline.set(this.#limits.timeoutMs)
    if (this.#reason === 'shutdown') this.#deadline.set(this.#limits.shutdownTimeoutMs)
    const served = this.#stopServing()
    this.#announce()
    this.#draining.abort()
    this.#askToMove(this.#census().filter((connection) => this.#isAsked(connection)))
    void aborted(this.#deadline.near).then(() => this.#warnOfEnd())

    const tick = setInterval(() => this.#tick(), tickMs)
    for (const hook of this.#hooks) this.#startHook(hook)
    const finished = served.then(() => this.#hooksEnded()).then(() => this.#jobs?.ended()).then(() => this.#hooksEnded())
    await Promise.race([finished, aborted(this.#deadline.over)])
    clearInterval(tick)
    this.#farewells.stop()
    // Callbacks of the app's own close() run first: they may ask to exit, with a status.
    await new Promise((resolve) => setImmediate(resolve))
    if (this.#deadline.over.aborted) this.#cut()
    this.#report()
    if (!this.#deadline.over.aborted && this.#sigterm.handledByApp()) await this.#leaveToApp()
    this.#gate.leave()
  }

  /** From here on the older clients alone are served. Settles when the last of them has gone. */
  async #stopServing(): Promise<void> {
    closeAfterResponses(() => this.#elapsedMs() > pipelineLimitMs, (response) => this.#ledger.watch(response))
    for (const server of this.#servers.values()) {
      this.#ledger.counts.connections += server.connections
      server.watch(this.#ledger)
    }
    // Whoever serves nobody may be a worker, whose own handler makes it take no new job.
    if (this.#servers.size === 0) this.#sigterm.pass()
    await Promise.all([...[...this.#servers.values()].map((server) => server.drain()), disconnectWorkers()])
  }

  #announce(): void {
    const text = formatWaiting(this.#waiting())
    notifyStopping(text)
    this.#extendTimeout()
    this.#log.info(`${text}; at most ${Math.ceil(this.#deadline.leftMs / 1000)} s`, { phase: 'drain', reason: this.#reason })
  }

  #tick(): void {
    for (const server of this.#servers.values()) server.endExpired(performance.now())
    for (const connection of this.#census()) {
      if (this.#isAsked(connection) && !this.#farewells.knows(connection)) this.#farewells.add(connection)
    }
    this.#noticeReason()
    this.#letAppHelp()
    this.#extendTimeout()
    notifyStatus(formatWaiting(this.#waiting()))
  }

  /** A drain may last for hours, and the machine goes down meanwhile; or the app is stopped for good. */
  #noticeReason(): void {
    const reason = readStopReason(this.#stopFile)
    if (reason === this.#reason || this.#reason === 'shutdown') return
    this.#reason = reason
    if (reason === 'shutdown') this.#deadline.set(this.#limits.shutdownTimeoutMs)
    this.#log.info(`the drain goes on, now because of a ${reason}; at most ${Math.ceil(this.#deadline.leftMs / 1000)} s more`, { phase: 'drain', reason })
    this.#askToMove([])
  }

  /**
   * Some of what is left only the app's own handler may bring to an end: connections of other protocols than HTTP, tunnels, and
   * the taking of new jobs. It gets the signal as soon as there is nothing else that it could cut.
   */
  #letAppHelp(): void {
    const ending = [...this.#servers.values()].reduce((sum, server) => sum + server.countEnding(server.census()), 0)
    if (ending + this.#pendingHooks > 0) return
    const jobs = this.#jobs?.waiting() ?? []
    const elapsedMs = this.#elapsedMs()
    const isNew = ({ ageMs }: WaitingJob): boolean => ageMs < elapsedMs
    if (jobs.length === 0 || jobs.some(isNew)) this.#sigterm.pass()
  }

  /** While the event loop turns, systemd waits; see EXTEND_TIMEOUT_USEC= in sd_notify(3). */
  #extendTimeout(): void {
    const { hangTimeoutMs } = this.#limits
    const now = performance.now()
    if (now - this.#extendedAt < hangTimeoutMs / extensionsPerHang) return
    this.#extendedAt = now
    notifyExtendTimeout(hangTimeoutMs)
  }

  #isAsked({ kind }: DrainingConnection): boolean {
    return longLived.includes(kind) || this.#connectionHooks.has(kind)
  }

  /** Only after a deploy is there somebody to come back to: otherwise there is no reason to spread that over time. */
  #askToMove(connections: readonly DrainingConnection[]): void {
    const { reconnectWindowMs, reconnectRate } = this.#limits
    this.#farewells.begin(connections, {
      windowMs: this.#reason === 'deploy' ? reconnectWindowMs : 0,
      perSecond: reconnectRate,
      availableMs: this.#deadline.leftMs * farewellPart,
    })
  }

  #sayFarewell(connection: DrainingConnection): void {
    this.#ledger.ask(connection)
    const hooks = this.#connectionHooks.get(connection.kind)
    if (!hooks) connection.close()
    for (const hook of hooks ?? []) void this.#runHook(() => hook(connection, this.#context()))
  }

  /** There is just time enough to save what would be cut. */
  #warnOfEnd(): void {
    this.#jobs?.abort(new Error(`the drain of this instance ends in ${(this.#deadline.leftMs / 1000).toFixed(1)} s`))
    this.#sigterm.pass()
  }

  /** The hard end. */
  #cut(): void {
    const census = this.#census()
    const countOf = (kind: ConnectionKind): number => census.filter((connection) => connection.kind === kind).length
    this.#jobs?.cut()
    this.#ledger.close()
    Object.assign(this.#ledger.counts, {
      connectionsCut: [...this.#servers.values()].reduce((sum, server) => sum + server.connections, 0),
      requestsCut: countOf('request'),
      webSocketsCut: countOf('websocket'),
      eventStreamsCut: countOf('event-stream'),
      tunnelsCut: countOf('tunnel'),
      hooksCut: this.#pendingHooks,
    })
    for (const server of this.#servers.values()) server.destroy()
  }

  #report(): void {
    const durationMs = Math.round(this.#elapsedMs())
    if (this.#jobs) this.#ledger.addJobs(this.#jobs.ledger)
    const { counts } = this.#ledger
    const fields = { ...ledgerFields(counts), durationMs, reason: this.#reason }
    const text = formatLedger(counts, durationMs)
    if (formatCut(counts) === '') this.#log.info(text, { phase: 'drained', ...fields })
    else this.#log.warn(`the time of this drain was over. It ${text}`, { phase: 'drain-cut', ...fields })
  }

  /**
   * An app with a SIGTERM handler has more to do, such as closing a database, and says itself when it is done: by exit(), by
   * the signal, or by letting the event loop run empty.
   */
  async #leaveToApp(): Promise<void> {
    notifyStatus("drained; waiting for the app's own SIGTERM handler to exit")
    this.#gate.open()
    this.#deadline.unref()
    this.#sigterm.release()
    const alive = setInterval(() => this.#extendTimeout(), tickMs).unref()
    await aborted(this.#deadline.over)
    clearInterval(alive)
    this.#log.warn("drained, but the app's own SIGTERM handler did not end the process in time", { phase: 'drain-cut' })
  }

  #startHook(hook: DrainHook): void {
    this.#startedHooks.push(this.#runHook(() => hook(this.#context())))
  }

  /** Also of those that are added meanwhile. */
  async #hooksEnded(): Promise<void> {
    for (const hook of this.#startedHooks) await hook
  }

  async #runHook(hook: () => void | Promise<void>): Promise<void> {
    this.#pendingHooks++
    try {
      await hook()
    } catch (error) {
      this.#log.error(error, { phase: 'drain-hook' })
    } finally {
      this.#pendingHooks--
    }
  }

  #context(): DrainContext {
    return { reason: this.#reason, timeoutMs: Math.round(this.#deadline.leftMs), signal: this.#deadline.over }
  }

  #census(): DrainingConnection[] {
    return [...this.#servers.values()].flatMap((server) => server.census())
  }

  #waiting(): Waiting {
    const kinds = { websocket: 0, 'event-stream': 0, tunnel: 0, request: 0 }
    let connections = 0
    for (const server of this.#servers.values()) {
      const census = server.census()
      for (const { kind } of census) kinds[kind]++
      connections += server.countIdle(census)
    }
    return {
      requests: kinds.request,
      jobs: this.#jobs?.waiting() ?? [],
      webSockets: kinds.websocket,
      eventStreams: kinds['event-stream'],
      tunnels: kinds.tunnel,
      connections,
      hooks: this.#pendingHooks,
    }
  }

  #elapsedMs(): number {
    return performance.now() - this.#startedAt
  }
}

/** The workers of node:cluster hold the connections: they close them in node's own way, and the primary waits for that. */
async function disconnectWorkers(): Promise<void> {
  const workers = cluster.isPrimary ? Object.keys(cluster.workers ?? {}).length : 0
  if (workers > 0) await new Promise<void>((resolve) => cluster.disconnect(resolve))
}
