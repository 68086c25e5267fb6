/** Within what a number of connections is to be closed. */
export interface SpreadLimits {
  /** Milliseconds over which they are spread. */
  windowMs: number
  /** At most so many per second; a longer window follows from it where needed. */
  perSecond: number
  /** Milliseconds until all must be closed, whatever the rate. */
  availableMs: number
}

/**
 * The moments, in milliseconds from now and ascending, at which connections are closed. Each has a slot of equal length and a
 * random place in it, but never closer to the next than the rate allows: independent random moments would have peaks.
 */
export function spreadMoments(count: number, { windowMs, perSecond, availableMs }: SpreadLimits, random = Math.random): number[] {
  const gapMs = 1000 / perSecond
  const slotMs = Math.min(Math.max(windowMs / count, gapMs), availableMs / count)
  return Array.from({ length: count }, (_, index) => index * slotMs + random() * Math.max(0, slotMs - gapMs))
}

/** Whether there is too little time for the rate. */
export function exceedsRate(count: number, { perSecond, availableMs }: SpreadLimits): boolean {
  return (count / perSecond) * 1000 > availableMs
}

/** The items in random order: Fisher and Yates. */
export function shuffle<T>(items: readonly T[], random = Math.random): T[] {
  const shuffled = [...items]
  for (let last = shuffled.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1))
    ;[shuffled[last], shuffled[other]] = [shuffled[other] as T, shuffled[last] as T]
  }
  return shuffled
}
