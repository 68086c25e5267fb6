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
 * random place in it, so that there is no peak as there would be with independent random moments.
 */
export function spreadMoments(count: number, { windowMs, perSecond, availableMs }: SpreadLimits, random = Math.random): number[] {
  const wholeMs = Math.min(Math.max(windowMs, (count / perSecond) * 1000), availableMs)
  const slotMs = count === 0 ? 0 : wholeMs / count
  return Array.from({ length: count }, (_, index) => (index + random()) * slotMs)
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
