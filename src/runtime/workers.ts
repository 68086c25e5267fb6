import cluster, { type Worker } from 'node:cluster'
import { hear, tell, withholdListens, type WorkerMessage } from './cluster-messages.js'
import type { Log } from './journal.js'
import { addCounts, type LedgerCounts } from './ledger.js'
import type { DrainOrder, DrainProgress } from './supervisor.js'
import { addWaiting, agedBy, countConnections, formatOpen, type Waiting } from './waiting.js'

/** Milliseconds that workers get at the hard end to say what they cut. */
const lastReportMs = 1000
/** And at the beginning, to say what they have: a worker whose event loop is blocked holds nothing up. */
const firstReportMs = 500

/** A worker whose runtime drains it. */
interface Member {
  /** Its last report. */
  progress: DrainProgress | undefined
  reportedAt: number
  isIdle: boolean
  hasEnded: boolean
  /** It came when the drain had begun: it never has a connection. */
  isLate: boolean
}

/** The workers of node:cluster, as the drain of their primary sees them. */
export class Workers {
  readonly #log: Log
  readonly #members = new Map<Worker, Member>()
  readonly #waiters = new Set<() => void>()
  /** Of workers that are gone. */
  readonly #gone: LedgerCounts[] = []
  /** Without a runtime of their own: closed by node. */
  readonly #others = new Set<Worker>()
  #orderNow: (() => DrainOrder) | undefined

  constructor(log: Log) {
    this.#log = log
  }

  /** To be called before the app forks the first one. */
  watch(): void {
    cluster.on('fork', (worker) => {
      // An app that replaces workers that die would otherwise do so in a circle: node takes a closed listener for a port in use.
      withholdListens(worker.process, () => this.#orderNow !== undefined, () => {
        this.#log.notice(`worker ${worker.id} (process ${worker.process.pid}) wants to listen when this instance drains: it gets no connections`)
      })
      hear<WorkerMessage>(worker.process, (message) => this.#receive(worker, message))
      // By then all that it had said has been read; it may have exited before.
      worker.once('disconnect', () => this.#lose(worker))
    })
  }

  /** Lets each worker drain, and those that are forked from now on. Settles when all have, or are gone. */
  async drain(orderNow: () => DrainOrder): Promise<void> {
    this.#orderNow = orderNow
    for (const worker of Object.values(cluster.workers ?? {})) {
      if (worker) this.#order(worker)
    }
    await this.#until(() => this.#others.size === 0 && [...this.#members.values()].every((member) => !holdsDrain(member)))
  }

  /** Tells them that the order has changed. */
  change(): void {
    for (const worker of this.#members.keys()) this.#order(worker)
  }

  get size(): number {
    return this.#members.size
  }

  /** Settles when each has said what it waits for, or a moment is over. */
  reported(): Promise<void> {
    return this.#until(() => this.#draining().every(({ progress }) => progress), firstReportMs)
  }

  /** Whether one of them has connections, or may have. */
  get areServing(): boolean {
    return this.#serving().some(({ progress }) => !progress || countConnections(progress.waiting) > 0)
  }

  /** What the primary itself waits for, and they. */
  addWaiting(own: Waiting): Waiting {
    return this.#draining().reduce((sum, { progress, reportedAt }) => (
      progress ? addWaiting(sum, agedBy(progress.waiting, performance.now() - reportedAt)) : sum
    ), own)
  }

  /** What became so far of the primary's own work, and of theirs. */
  addCounts(own: LedgerCounts): LedgerCounts {
    const reports = [...this.#members.values()].flatMap(({ progress }) => progress?.counts ?? [])
    return [...this.#gone, ...reports].reduce(addCounts, own)
  }

  /** The hard end: waits a moment for their last reports. What the others had open is taken for cut. */
  async cut(): Promise<void> {
    await this.#until(() => this.#draining().length === 0, lastReportMs)
    for (const { progress } of this.#draining()) {
      if (progress) progress.counts = addCounts(progress.counts, countsOfCut(progress.waiting))
    }
  }

  #draining(): Member[] {
    return [...this.#members.values()].filter(({ hasEnded }) => !hasEnded)
  }

  /** Those of them that may have connections. */
  #serving(): Member[] {
    return this.#draining().filter(({ isLate }) => !isLate)
  }

  #order(worker: Worker): void {
    if (!this.#orderNow) return
    if (this.#members.has(worker)) tell(worker.process, { act: 'drain', order: this.#share(this.#orderNow()) })
    // It may be about to say hello; one that listens would have.
    else if ((worker as { state?: string }).state === 'listening') this.#disconnect(worker)
  }

  /** Together they may close so many per second. */
  #share(order: DrainOrder): DrainOrder {
    return { ...order, reconnectRate: order.reconnectRate / Math.max(1, this.#serving().length) }
  }

  /** It closes in node's own way, which resets connections that wait for their next request. */
  #disconnect(worker: Worker): void {
    this.#log.warn(`worker ${worker.id} of this cluster runs without holdfast/register (execArgv?): its idle connections are cut`, { phase: 'drain' })
    this.#others.add(worker)
    worker.disconnect()
  }

  #receive(worker: Worker, message: WorkerMessage): void {
    if (message.act === 'hello') {
      this.#members.set(worker, {
        progress: undefined, reportedAt: 0, isIdle: false, hasEnded: false, isLate: this.#orderNow !== undefined,
      })
      return this.#order(worker)
    }
    const member = this.#members.get(worker)
    if (!member) return
    if (message.act === 'idle') member.isIdle = true
    else if (message.act !== 'counted') {
      member.progress = { waiting: message.waiting, counts: message.counts }
      member.reportedAt = performance.now()
      member.hasEnded = message.act === 'ended'
    }
    this.#check()
  }

  /** A worker that ends in a drain cuts what it had. */
  #lose(worker: Worker): void {
    const member = this.#members.get(worker)
    this.#members.delete(worker)
    this.#others.delete(worker)
    if (this.#orderNow && member) this.#bury(worker, member)
    this.#check()
  }

  #bury(worker: Worker, { progress, hasEnded, isLate }: Member): void {
    const who = `worker ${worker.id} (process ${worker.process.pid})`
    if (!progress) {
      if (!isLate) this.#log.warn(`${who} ended before it had said what it had: that is not counted`, { phase: 'drain' })
      return
    }
    this.#gone.push(hasEnded ? progress.counts : addCounts(progress.counts, countsOfCut(progress.waiting)))
    const open = formatOpen(progress.waiting)
    if (!hasEnded && open !== '') this.#log.warn(`${who} ended in the middle of its drain; it still had ${open}`, { phase: 'drain' })
  }

  #check(): void {
    this.#settleWhenIdle()
    for (const check of this.#waiters) check()
  }

  /**
   * What the primary has accepted goes to a worker as soon as that took the one before. So one that says `idle` gets all there is
   * before this message; if it gets something, even if that has ended by then, it has to ask again, since more may follow.
   */
  #settleWhenIdle(): void {
    const areSettled = this.#serving().every(({ isIdle }) => isIdle)
    for (const [worker, member] of this.#members) {
      if (!member.isIdle || !(areSettled || member.isLate)) continue
      member.isIdle = false
      tell(worker.process, { act: 'settled' })
    }
  }

  /** @param limitMs settles then in any case */
  #until(holds: () => boolean, limitMs?: number): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer)
        this.#waiters.delete(check)
        resolve()
      }
      const check = (): void => {
        if (holds()) end()
      }
      const timer = limitMs === undefined ? undefined : setTimeout(end, limitMs)
      this.#waiters.add(check)
      check()
    })
  }
}

/** One that came late has something only where the app itself began it: a job, a drain hook. */
function holdsDrain({ hasEnded, isLate, progress }: Member): boolean {
  return !hasEnded && (!isLate || (progress !== undefined && formatOpen(progress.waiting) !== ''))
}

/** Of a worker that did not answer any more. */
function countsOfCut(waiting: Waiting): Partial<LedgerCounts> {
  const { requests, webSockets, eventStreams, tunnels, jobs, hooks } = waiting
  return {
    connectionsCut: countConnections(waiting), requestsCut: requests, webSocketsCut: webSockets, eventStreamsCut: eventStreams,
    tunnelsCut: tunnels, jobsCut: jobs.length, hooksCut: hooks,
  }
}
