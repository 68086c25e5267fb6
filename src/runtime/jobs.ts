import type { Log } from './journal.js'
import type { JobLedger } from './ledger.js'
import type { WaitingJob } from './waiting.js'

/** What a job is given. */
export interface JobContext {
  /**
   * Aborted when the drain's deadline nears, so that the job can save or requeue what it has, and when the drain lets go of a
   * silent job. Its `reason` is an Error that says which. Never outside systemd.
   */
  readonly signal: AbortSignal
  /** Says that the job still works, for one with `heartbeatTimeoutMs`. Costs nothing to speak of; otherwise it does nothing. */
  heartbeat(): void
}

export interface JobOptions {
  /**
   * Milliseconds without a `heartbeat()` after which the job counts as hung. A drain does not wait for a hung job; at other
   * times it is only logged, once. Without this a job may be silent for as long as the drain lasts.
   */
  heartbeatTimeoutMs?: number
}

export type JobFunction<T> = (context: JobContext) => T | PromiseLike<T>

const shownNameLength = 100
/** setTimeout() takes no longer time, see its documentation. */
const longestTimerMs = 0x7fffffff
const defaultSaveMs = 5000
/** A timer that is later than this says that the event loop was blocked, in which time no job could say anything. */
const lateMs = 1000

/** The tracked work of one process: what runs, for how long, and what became of it in the drain. */
export class Jobs {
  /** What ended since the drain began. */
  readonly ledger: JobLedger = { finished: 0, failed: 0, letGo: 0, cut: 0 }
  readonly #live = new Set<Job>()
  /** Of the live ones, those that have to say something from time to time. */
  readonly #watched = new Set<Job>()
  readonly #log: Log
  readonly #draining: AbortSignal
  readonly #saveMs: number
  #onEmpty: (() => void)[] = []
  #abortReason: Error | undefined
  #timer: NodeJS.Timeout | undefined
  #dueAt = Infinity

  /** @param options.saveMs what a silent job gets in a drain, once its signal is aborted, to save what it has */
  constructor({ log, draining, saveMs = defaultSaveMs }: { log: Log; draining: AbortSignal; saveMs?: number }) {
    this.#saveMs = saveMs
    this.#log = log
    this.#draining = draining
    // Who was silent for too long before the drain is not waited for either.
    draining.addEventListener('abort', () => this.#judge(), { once: true })
  }

  /**
   * Runs a function at once and tracks it until its promise settles, in a drain too: it may come from a queue, out of which it
   * was taken an instant before.
   * @returns what the function returns; rejects with its error, or with a TypeError when an argument is none
   */
  async run<T>(name: string, fn: JobFunction<T>, options: JobOptions = {}): Promise<T> {
    const run = readFunction(fn)
    const job = new Job(readName(name), readHeartbeat(options))
    this.#add(job)
    let outcome: 'finished' | 'failed' = 'failed'
    try {
      const result = await run(job.context)
      outcome = 'finished'
      return result
    } finally {
      if (this.#remove(job) && this.#draining.aborted) this.ledger[outcome]++
    }
  }

  /** What lives, the oldest first. */
  waiting(): WaitingJob[] {
    const now = performance.now()
    return Array.from(this.#live, ({ name, startedAt }) => ({ name, ageMs: Math.round(now - startedAt) }))
  }

  /** Settles when none lives, nor starts as soon as another has ended. */
  async ended(): Promise<void> {
    while (this.#live.size > 0) {
      await new Promise<void>((resolve) => this.#onEmpty.push(resolve))
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  /** Asks what lives, and what still comes, to make an end. */
  abort(reason: Error): void {
    this.#abortReason ??= reason
    for (const job of this.#live) job.abort(reason)
  }

  /** The hard end: counts those that still live, and logs each. */
  cut(): number {
    this.ledger.cut = this.#live.size
    for (const { name, ageMs } of this.waiting()) {
      this.#log.warn(`job ${name} is cut after ${formatSeconds(ageMs)}: the drain's time is over`, { phase: 'drain-cut', job: name, ageMs })
    }
    return this.ledger.cut
  }

  #add(job: Job): void {
    this.#live.add(job)
    if (this.#abortReason) job.abort(this.#abortReason)
    if (job.heartbeatTimeoutMs === undefined) return
    this.#watched.add(job)
    this.#lookAt(job.silentAt)
  }

  /** False when it was let go before. */
  #remove(job: Job): boolean {
    this.#watched.delete(job)
    if (this.#watched.size === 0) this.#rest()
    const lived = this.#live.delete(job)
    if (this.#live.size === 0) for (const resolve of this.#onEmpty.splice(0)) resolve()
    return lived
  }

  /** One timer for all: it goes off when the first of them may have been silent for too long. */
  #lookAt(dueAt: number): void {
    if (dueAt >= this.#dueAt) return
    this.#rest()
    this.#dueAt = dueAt
    const ms = Math.min(Math.max(1, Math.ceil(dueAt - performance.now())), longestTimerMs)
    this.#timer = setTimeout(() => this.#judge(), ms).unref()
  }

  #rest(): void {
    clearTimeout(this.#timer)
    this.#dueAt = Infinity
  }

  #judge(): void {
    const now = performance.now()
    const wasBlocked = now - this.#dueAt > lateMs
    this.#rest()
    let next = Infinity
    for (const job of this.#watched) {
      if (wasBlocked) job.heartbeatAt = now
      if (job.leftAt <= now) this.#letGo(job)
      else if (job.leftAt < Infinity) next = Math.min(next, job.leftAt)
      else if (job.silentAt <= now) next = Math.min(next, this.#findSilent(job))
      // Before the drain there is nothing more to say about it.
      else if (this.#draining.aborted || !job.wasSilent) next = Math.min(next, job.silentAt)
    }
    if (next < Infinity) this.#lookAt(next)
  }

  /** @returns when it is to be looked at again */
  #findSilent(job: Job): number {
    const what = `job ${job.name} has sent no heartbeat for ${formatSeconds(performance.now() - job.heartbeatAt)}`
    const fields = { job: job.name, heartbeatTimeoutMs: job.heartbeatTimeoutMs }
    if (this.#draining.aborted) {
      this.#log.warn(`${what}: the drain does not wait for it any longer`, { phase: 'drain', ...fields })
      job.leftAt = performance.now() + this.#saveMs
      job.abort(new Error(`${what}, and is let go`))
      if (this.#saveMs === 0) this.#letGo(job)
    } else if (!job.wasSilent) {
      job.wasSilent = true
      this.#log.warn(`${what}: a drain would not wait for it`, fields)
    }
    return this.#watched.has(job) ? job.leftAt : Infinity
  }

  #letGo(job: Job): void {
    this.ledger.letGo++
    this.#remove(job)
  }
}

class Job {
  readonly name: string
  readonly heartbeatTimeoutMs: number | undefined
  readonly startedAt = performance.now()
  heartbeatAt = this.startedAt
  wasSilent = false
  /** When a drain leaves it to itself. */
  leftAt = Infinity
  readonly context: JobContext
  #controller: AbortController | undefined
  #reason: Error | undefined

  constructor(name: string, heartbeatTimeoutMs: number | undefined) {
    this.name = name
    this.heartbeatTimeoutMs = heartbeatTimeoutMs
    const signal = (): AbortSignal => this.#signal()
    this.context = {
      get signal() {
        return signal()
      },
      heartbeat: () => {
        this.heartbeatAt = performance.now()
      },
    }
  }

  /** When it will have been silent for too long. */
  get silentAt(): number {
    return this.heartbeatAt + (this.heartbeatTimeoutMs ?? Infinity)
  }

  abort(reason: Error): void {
    this.#reason ??= reason
    this.#controller?.abort(this.#reason)
  }

  /** Made when it is asked for: most short jobs have no use for it. */
  #signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#reason) this.#controller.abort(this.#reason)
    }
    return this.#controller.signal
  }
}

/** A name as it is shown: one line, not too long. Throws a TypeError when it is none. */
export function readName(name: unknown, what = 'a job'): string {
  if (typeof name !== 'string') throw new TypeError(`the name of ${what} must be a string, not ${name === null ? 'null' : typeof name}`)
  // oxlint-disable-next-line no-control-regex -- control characters are exactly what must go
  const line = name.replace(/[\u0000-\u0020\u007f-\u00a0\u2028\u2029]+/g, ' ').trim()
  if (line === '') throw new TypeError(`the name of ${what} must not be empty`)
  return line.length > shownNameLength ? `${line.slice(0, shownNameLength - 1)}…` : line
}

/** Throws a TypeError when it is none. */
export function readFunction<T>(fn: T, what = 'a job'): T {
  if (typeof fn !== 'function') throw new TypeError(`${what} must be a function, not ${fn === null ? 'null' : typeof fn}`)
  return fn
}

function readHeartbeat(options: JobOptions): number | undefined {
  if (typeof options !== 'object' || options === null) throw new TypeError('the options of a job must be an object')
  const ms = options.heartbeatTimeoutMs
  if (ms === undefined) return undefined
  if (typeof ms !== 'number' || !(ms > 0)) throw new TypeError(`heartbeatTimeoutMs must be a number of milliseconds above 0, not ${String(ms)}`)
  return ms
}

function formatSeconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}
