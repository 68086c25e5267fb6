/** Numbers of a live view, as short as its columns. */

/** A span of time in one unit: `12 s`, `45 min`, `30 h`, `12 d`. */
export function shortSpan(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 100) return `${seconds} s`
  if (seconds < 100 * 60) return `${Math.floor(seconds / 60)} min`
  const hours = Math.floor(seconds / 3600)
  return hours < 100 ? `${hours} h` : `${Math.floor(hours / 24)} d`
}

/** Per second: `0`, `0.2`, `8.5`, `1234`; `-` for what is not known. */
export function rateWords(perSecond: number | undefined): string {
  if (perSecond === undefined) return '-'
  if (perSecond === 0) return '0'
  if (perSecond < 0.1) return '<0.1'
  return perSecond < 9.95 ? perSecond.toFixed(1) : perSecond.toFixed(0)
}

/** How long a request took: `0.4 ms`, `12 ms`, `1.2 s`. */
export function latencyWords(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return '-'
  if (ms < 9.95) return `${ms.toFixed(1)} ms`
  if (ms < 999.5) return `${ms.toFixed(0)} ms`
  return ms < 99_500 ? `${(ms / 1000).toFixed(ms < 9_950 ? 1 : 0)} s` : `${(ms / 60_000).toFixed(0)} min`
}

export const countWords = (count: number | undefined): string => (count === undefined ? '-' : String(count))

/** A time of day where the reader is: `10:31:02`; with the day, where that is another one than today. */
export function clockWords(at: number, now: number): string {
  const words = (ms: number): string[] => new Date(ms).toLocaleString('sv-SE').split(' ')
  const [day, time = ''] = words(at)
  return day === words(now)[0] ? time : `${day?.slice(5)} ${time.slice(0, 5)}`
}
