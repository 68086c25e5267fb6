import type net from 'node:net'
import { closeAfterResponses } from './closing-responses.js'
import { aborted, Deadline } from './deadline.js'
import { DrainHooks, type ConnectionHook, type DrainContext, type DrainHook } from './drain-hooks.js'
import { Farewells } from './farewells.js'
import type { Log } from './journal.js'
import { Ledger, type JobLedger } from './ledger.js'
import type { DrainLimits } from './limits.js'
import type { ConnectionKind, DrainingConnection } from './long-lived.js'
import type { DrainOrder, DrainProgress, Supervisor } from './supervisor.js'
import { exceedsRate } from './spread.js'
import { TrackedServers } from './tracked-servers.js'
import type { Waiting, WaitingJob } from './waiting.js'
import type { Workers } from './workers.js'

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
/** Of the time that is left, the part in which all clients are asked to come back: the rest is for them to go. */
const farewellPart = 0.8
/** These do not end by themselves. */
const longLived: readonly ConnectionKind[] = ['websocket', 'event-stream']

/**
 * The end of an instance's life: stops accepting, finishes what is in flight, and exits. A connection is never ended earlier
 * than its client was promised, what never ends by itself is asked to come back elsewhere, and what is left at the hard end is
 * cut, counted and logged. The same in each worker of node:cluster, for the primary's drain.
 */
export class Drain {
  readonly #supervisor: Supervisor
  readonly #limits: DrainLimits
  readonly #log: Log
  readonly #workers: Workers | undefined
  readonly #servers = new TrackedServers()
  readonly #hooks: DrainHooks
  readonly #draining = new AbortController()
  readonly #deadline = new Deadline()
  readonly #farewells = new Farewells((connection) => this.#sayFarewell(connection))
  readonly #ledger = new Ledger()
  #jobs: DrainingJobs | undefined
  #order: DrainOrder | undefined
  #startedAt = 0

  /** @param options.workers those of the process, where it may be a primary of node:cluster */
  constructor(options: { log: Log; limits: DrainLimits; supervisor: Supervisor; workers?: Workers | undefined }) {
    this.#supervisor = options.supervisor
    this.#limits = options.limits
    this.#log = options.log
    this.#workers = options.workers
    this.#hooks = new DrainHooks(options.log)
  }

  /** Aborted when the drain begins. */
  get signal(): AbortSignal {
    return this.#draining.signal
  }

  /** Makes a server part of the drain; again is no harm. */
  attach(server: net.Server): void {
    this.#servers.attach(server)
  }

  /** Makes jobs part of the drain. */
  waitForJobs(jobs: DrainingJobs): void {
    this.#jobs = jobs
  }

  addHook(hook: DrainHook): void {
    this.#hooks.add(hook)
  }

  addConnectionHook(kind: ConnectionKind, hook: ConnectionHook): void {
    this.#hooks.addForConnections(kind, hook)
  }

  /** What this process itself has open, in a drain or not. */
  open(): Waiting {
    return { ...this.#servers.waiting(), jobs: this.#jobs?.waiting() ?? [], hooks: this.#hooks.pending }
  }

  /** From here on the supervisor may have it drain. */
  listenForOrders(): void {
    this.#workers?.watch()
    this.#supervisor.onOrder(() => {
      if (this.#order) this.#noticeOrder(this.#order)
      else void this.#run()
    })
  }

  async #run(): Promise<void> {
    this.#startedAt = performance.now()
    this.#order = this.#supervisor.order()
    this.#deadline.set(this.#order.timeoutMs)
    const served = this.#stopServing()
    const workers = this.#workers?.drain(() => this.#orderNow())
    void this.#announce()
    this.#draining.abort()
    this.#askToMove(this.#servers.census().filter((connection) => this.#isAsked(connection)))
    void aborted(this.#deadline.near).then(() => this.#warnOfEnd())

    const tick = setInterval(() => this.#tick(), tickMs)
    this.#hooks.start(() => this.#context())
    const finished = Promise.all([served, workers]).then(() => this.#finish())
    await Promise.race([finished, aborted(this.#deadline.over)])
    clearInterval(tick)
    this.#farewells.stop()
    // Callbacks of the app's own close() run first: they may ask to exit, with a status.
    await new Promise((resolve) => setImmediate(resolve))
    if (this.#deadline.over.aborted) await this.#cut()
    this.#deadline.unref()
    // The app may take its time, and the machine goes down meanwhile.
    setInterval(() => this.#order && this.#noticeOrder(this.#order), tickMs).unref()
    const durationMs = Math.round(this.#elapsedMs())
    await this.#supervisor.end({ ...this.#progress(), ...this.#context(), durationMs, over: this.#deadline.over })
  }

  /** From here on the older clients alone are served. Settles when the last of them has gone. */
  async #stopServing(): Promise<void> {
    closeAfterResponses(() => this.#elapsedMs() > pipelineLimitMs, (response) => this.#ledger.watch(response))
    // Whoever serves nobody may be a worker, whose own handler makes it take no new job.
    if (this.#servers.size === 0 && !this.#workers?.size) this.#supervisor.passSignal()
    await this.#servers.drain(this.#ledger)
  }

  async #announce(): Promise<void> {
    if (this.#workers?.size) await this.#workers.reported()
    this.#supervisor.begin(this.#progress(), this.#orderNow())
  }

  /** The end of what began before, and of what had been on its way. */
  async #finish(): Promise<void> {
    let accepted: number
    do {
      await this.#servers.emptied()
      await this.#hooks.ended()
      await this.#jobs?.ended()
      await this.#hooks.ended()
      accepted = this.#servers.accepted
      await this.#supervisor.settled()
    } while (this.#servers.accepted > accepted)
  }

  #tick(): void {
    this.#servers.endExpired(performance.now())
    for (const connection of this.#servers.census()) {
      if (this.#isAsked(connection) && !this.#farewells.knows(connection)) this.#farewells.add(connection)
    }
    if (this.#order) this.#noticeOrder(this.#order)
    const progress = this.#progress()
    this.#letAppHelp(progress.waiting)
    this.#supervisor.report(progress)
  }

  /** A drain may last for hours, and the machine goes down meanwhile. */
  #noticeOrder(known: DrainOrder): void {
    const order = this.#supervisor.order()
    if (order.reason === known.reason || known.reason === 'shutdown') return
    this.#order = order
    this.#deadline.set(order.timeoutMs)
    this.#workers?.change()
    this.#supervisor.change(this.#orderNow())
    this.#askToMove([])
  }

  /**
   * Some of what is left only the app's own handler may bring to an end: connections of other protocols than HTTP, tunnels, and
   * the taking of new jobs. It gets the signal as soon as there is nothing else that it could cut.
   */
  #letAppHelp({ jobs, hooks }: Waiting): void {
    if (this.#servers.countEnding() + hooks > 0 || this.#workers?.areServing) return
    const elapsedMs = this.#elapsedMs()
    const isNew = ({ ageMs }: WaitingJob): boolean => ageMs < elapsedMs
    if (jobs.length === 0 || jobs.some(isNew)) this.#supervisor.passSignal()
  }

  #isAsked({ kind }: DrainingConnection): boolean {
    return longLived.includes(kind) || this.#hooks.has(kind)
  }

  /** Only after a deploy is there somebody to come back to: otherwise there is no reason to spread that over time. */
  #askToMove(connections: readonly DrainingConnection[]): void {
    const { reason, timeoutMs, reconnectRate } = this.#orderNow()
    const limits = { windowMs: reason === 'deploy' ? this.#limits.reconnectWindowMs : 0, perSecond: reconnectRate, availableMs: timeoutMs * farewellPart }
    this.#farewells.begin(connections, limits)
    const count = this.#farewells.waiting
    if (exceedsRate(count, limits)) {
      this.#log.warn(`${count} clients are asked to come back within ${Math.ceil(limits.availableMs / 1000)} s, faster than drain.reconnect_rate (${reconnectRate} per second): there is no more time`, { phase: 'drain' })
    }
  }

  #sayFarewell(connection: DrainingConnection): void {
    this.#ledger.ask(connection)
    if (this.#hooks.has(connection.kind)) return this.#hooks.runFor(connection, () => this.#context())
    try {
      connection.close()
    } catch (error) {
      this.#log.error(error, { phase: 'drain' })
    }
  }

  /** There is just time enough to save what would be cut. */
  #warnOfEnd(): void {
    this.#jobs?.abort(new Error(`the drain of this instance ends in ${(this.#deadline.leftMs / 1000).toFixed(1)} s`))
    this.#supervisor.passSignal()
  }

  /** The hard end. */
  async #cut(): Promise<void> {
    this.#jobs?.cut()
    this.#servers.cut(this.#ledger)
    this.#ledger.counts.hooksCut = this.#hooks.pending
    await this.#workers?.cut()
  }

  /** The order, with the time that is left by now. */
  #orderNow(): DrainOrder {
    const { reason, reconnectRate } = this.#order ?? this.#supervisor.order()
    return { reason, reconnectRate, timeoutMs: this.#deadline.leftMs }
  }

  #context(): DrainContext {
    const { reason, timeoutMs } = this.#orderNow()
    return { reason, timeoutMs: Math.round(timeoutMs), signal: this.#deadline.over }
  }

  #progress(): DrainProgress {
    if (this.#jobs) this.#ledger.addJobs(this.#jobs.ledger)
    const waiting = this.open()
    const { counts } = this.#ledger
    return this.#workers ? { waiting: this.#workers.addWaiting(waiting), counts: this.#workers.addCounts(counts) } : { waiting, counts }
  }

  #elapsedMs(): number {
    return performance.now() - this.#startedAt
  }
}
