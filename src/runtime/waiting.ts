/** What a drain still waits for. */
export interface Waiting {
  /** HTTP/1 requests and HTTP/2 streams in flight, event streams aside. */
  requests: number
  /** Running `job()`s and `exclusive()` work, the oldest first. */
  jobs: readonly WaitingJob[]
  webSockets: number
  /** Responses of type text/event-stream. */
  eventStreams: number
  /** Connections that left HTTP for something else than a WebSocket, such as CONNECT tunnels. */
  tunnels: number
  /** Open connections on which none of the above happens: kept for their promised time, or not HTTP at all. */
  connections: number
  /** Drain hooks that have not settled. */
  hooks: number
}

export interface WaitingJob {
  name: string
  ageMs: number
}

/** The numbers of `Waiting`, as `holdfast status --json` has them. */
export type WaitingCounts = Record<keyof Waiting, number>

const nouns: Record<keyof Waiting, string> = {
  requests: 'request',
  jobs: 'job',
  webSockets: 'WebSocket',
  eventStreams: 'event stream',
  tunnels: 'tunnel',
  connections: 'idle connection',
  hooks: 'drain hook',
}
const shownJobs = 3

/** `draining: 3 requests, 1 job (nightly-report, 4 min), 12 WebSockets`, for `systemctl status`. */
export function formatWaiting(waiting: Waiting): string {
  return `draining: ${formatOpen(waiting) || 'nothing in flight'}`
}

/** The same as a list alone; empty when there is nothing. */
export function formatOpen(waiting: Waiting): string {
  return (Object.keys(nouns) as (keyof Waiting)[]).flatMap((kind) => {
    if (kind === 'jobs') return formatJobs(waiting.jobs)
    return waiting[kind] > 0 ? number(waiting[kind], nouns[kind]) : []
  }).join(', ')
}

/** Open connections of all kinds; streams of one HTTP/2 connection count as one each. */
export function countConnections({ requests, webSockets, eventStreams, tunnels, connections }: Waiting): number {
  return requests + webSockets + eventStreams + tunnels + connections
}

/** What two processes wait for. */
export function addWaiting(one: Waiting, other: Waiting): Waiting {
  return {
    requests: one.requests + other.requests,
    jobs: [...one.jobs, ...other.jobs].sort((a, b) => b.ageMs - a.ageMs),
    webSockets: one.webSockets + other.webSockets,
    eventStreams: one.eventStreams + other.eventStreams,
    tunnels: one.tunnels + other.tunnels,
    connections: one.connections + other.connections,
    hooks: one.hooks + other.hooks,
  }
}

/** As it is so many milliseconds later, if nothing else has happened. */
export function agedBy(waiting: Waiting, ms: number): Waiting {
  return { ...waiting, jobs: waiting.jobs.map(({ name, ageMs }) => ({ name, ageMs: ageMs + ms })) }
}

/** The numbers in a text of `formatWaiting`; undefined for any other text. */
export function parseWaiting(text: string): WaitingCounts | undefined {
  if (!text.startsWith('draining: ')) return undefined
  // Names of jobs stand in brackets, and may say anything.
  const list = text.slice('draining: '.length).replace(/ \([^)]*\)/g, '')
  const counts: WaitingCounts = { requests: 0, jobs: 0, webSockets: 0, eventStreams: 0, tunnels: 0, connections: 0, hooks: 0 }
  if (list === 'nothing in flight') return counts
  for (const part of list.split(', ')) {
    const [, amount, noun] = /^(\d+) (.+?)s?$/.exec(part) ?? []
    const kind = (Object.keys(nouns) as (keyof Waiting)[]).find((each) => nouns[each] === noun)
    if (kind === undefined) return undefined
    counts[kind] = Number(amount)
  }
  return counts
}

function formatJobs(jobs: readonly WaitingJob[]): string[] {
  if (jobs.length === 0) return []
  const names = jobs.slice(0, shownJobs).map(({ name, ageMs }) => `${name.replace(/[()\s]+/g, ' ').slice(0, 40)}, ${formatAge(ageMs)}`)
  const more = jobs.length > shownJobs ? [`${jobs.length - shownJobs} more`] : []
  return [`${number(jobs.length, nouns.jobs)} (${[...names, ...more].join('; ')})`]
}

/** `12 s`, `4 min`, `2 h 5 min`: as exact as a person needs it. */
function formatAge(ms: number): string {
  const seconds = Math.floor(ms / 1000)
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

/** `1 request`, `2 requests`. */
export function number(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
