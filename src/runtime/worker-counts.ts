import cluster, { type Worker } from 'node:cluster'
import { hear, tell, type PrimaryMessage, type WorkerCount, type WorkerMessage } from './cluster-messages.js'
import { announcePrivate } from './private-connections.js'
import { addRequestCounts, noCounts, type RequestCounts } from './request-counts.js'
import { addWaiting, type Waiting } from './waiting.js'

/** Milliseconds that the workers get to answer; one whose event loop is blocked is counted as it was when it last did. */
const answerMs = 200

/** In the primary: what the workers of node:cluster have and had, as they say when they are asked. */
export class WorkerCounts {
  readonly #known = new Map<Worker, WorkerCount>()
  readonly #pending = new Set<Worker>()
  readonly #waiters = new Set<() => void>()
  /** Of workers that are gone, as far as it is known. */
  #gone: RequestCounts = noCounts()

  /** To be called before the app forks the first one. */
  watch(): void {
    cluster.on('fork', (worker) => {
      hear<WorkerMessage>(worker.process, (message) => {
        if (message.act === 'hello') this.#known.set(worker, { open: nothingOpen(), counts: noCounts() })
        if (message.act === 'counted') this.#known.set(worker, { open: message.open, counts: message.counts })
        if (message.act === 'counted') this.#note(worker)
      })
      worker.once('disconnect', () => {
        const { counts } = this.#known.get(worker) ?? {}
        if (counts) this.#gone = addRequestCounts(this.#gone, counts)
        this.#known.delete(worker)
        this.#note(worker)
      })
    })
  }

  /** The sum over all workers and what is given. */
  async addTo(own: WorkerCount): Promise<WorkerCount> {
    if (this.#known.size > 0) await this.#ask()
    return [...this.#known.values()].reduce(
      (sum, { open, counts }) => ({ open: addWaiting(sum.open, open), counts: addRequestCounts(sum.counts, counts) }),
      { open: own.open, counts: addRequestCounts(own.counts, this.#gone) },
    )
  }

  /** See `announcePrivate`. The channel to a worker keeps the order of messages and connections. */
  announce(inode: number): void {
    for (const worker of this.#known.keys()) tell(worker.process, { act: 'private', inode })
  }

  async #ask(): Promise<void> {
    for (const worker of this.#known.keys()) {
      if (!this.#pending.has(worker)) tell(worker.process, { act: 'count' })
      this.#pending.add(worker)
    }
    await new Promise<void>((resolve) => {
      const end = (): void => {
        clearTimeout(timer)
        this.#waiters.delete(end)
        resolve()
      }
      const timer = setTimeout(end, answerMs)
      this.#waiters.add(end)
    })
  }

  #note(worker: Worker): void {
    this.#pending.delete(worker)
    if (this.#pending.size === 0) for (const end of this.#waiters) end()
  }
}

/** In a worker: answers the primary. */
export function answerCounts(count: () => WorkerCount): void {
  hear<PrimaryMessage>(process, (message) => {
    if (message.act === 'count') tell(process, { act: 'counted', ...count() })
    if (message.act === 'private') announcePrivate(message.inode)
  })
}

const nothingOpen = (): Waiting => ({ requests: 0, jobs: [], webSockets: 0, eventStreams: 0, tunnels: 0, connections: 0, hooks: 0 })
