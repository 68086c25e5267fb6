/** The longest time between `near` and the hard end, in milliseconds. */
const longestNoticeMs = 30_000
/** And at most this part of the whole time. */
const noticePart = 0.1

/** The hard end of a drain, and the moment a little before it. May come closer, never further away. */
export class Deadline {
  readonly #near = new AbortController()
  readonly #over = new AbortController()
  #nearTimer: NodeJS.Timeout | undefined
  #overTimer: NodeJS.Timeout | undefined
  #endsAt = Infinity

  /** Aborted when there is just time enough to save what would be lost: a tenth of the time before the end, at most 30 s. */
  get near(): AbortSignal {
    return this.#near.signal
  }

  /** Aborted at the hard end. */
  get over(): AbortSignal {
    return this.#over.signal
  }

  /** Milliseconds until the hard end. */
  get leftMs(): number {
    return Math.max(0, this.#endsAt - performance.now())
  }

  /** Sets the hard end so many milliseconds from now, unless it is nearer already. */
  set(ms: number): void {
    const endsAt = performance.now() + ms
    if (endsAt >= this.#endsAt) return
    this.#endsAt = endsAt
    clearTimeout(this.#nearTimer)
    clearTimeout(this.#overTimer)
    this.#nearTimer = setTimeout(() => this.#near.abort(), ms - Math.min(ms * noticePart, longestNoticeMs))
    this.#overTimer = setTimeout(() => this.#over.abort(), ms)
  }

  /** Lets the process end before, when nothing else keeps it. */
  unref(): void {
    this.#nearTimer?.unref()
    this.#overTimer?.unref()
  }
}

/** Settles when a signal is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
