/** A span of time in the two largest units that say something: `12 s`, `3 min`, `2 h 5 min`, `4 d 3 h`. */
export function spanWords(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} min`
  const hours = Math.floor(minutes / 60)
  if (hours < 24) return joinSpan(hours, 'h', minutes % 60, 'min')
  return joinSpan(Math.floor(hours / 24), 'd', hours % 24, 'h')
}

/** Two units; the smaller one is left out where it is 0. */
export const joinSpan = (large: number, largeUnit: string, small: number, smallUnit: string): string =>
  small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`
