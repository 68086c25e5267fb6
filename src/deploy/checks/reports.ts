import { connect } from 'node:net'
import type { AppPaths } from '../../release/paths.js'
import { reportSocket } from '../../release/standby.js'
import type { InstanceNumber } from '../../release/stop-reason.js'
import { latencyBoundsMs, type Report } from '../../runtime/report.js'

/** Of the longest report, in bytes. The instance is the release's own code, which may send anything. */
const longestReport = 64 << 10

/**
 * What an instance tells of itself.
 * @param options `timeoutMs` until its end: default 1 s
 * @returns undefined where there is no report socket, it does not answer in time, or what comes is no report; also when
 * the signal aborts
 */
export async function readReport(paths: AppPaths, instance: InstanceNumber, options: { timeoutMs?: number; signal?: AbortSignal } = {}): Promise<Report | undefined> {
  const line = await readLine(reportSocket(paths, instance), options)
  return line === undefined ? undefined : parseReport(line)
}

/** The first line of what a socket sends, or all of it where that has no end of line. */
function readLine(path: string, { timeoutMs = 1000, signal }: { timeoutMs?: number; signal?: AbortSignal }): Promise<string | undefined> {
  if (signal?.aborted === true) return Promise.resolve(undefined)
  return new Promise((resolve) => {
    const socket = connect({ path })
    const chunks: Buffer[] = []
    let length = 0
    const end = (line: string | undefined): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', giveUp)
      socket.destroy()
      resolve(line)
    }
    const giveUp = (): void => end(undefined)
    const timer = setTimeout(giveUp, timeoutMs)
    signal?.addEventListener('abort', giveUp)
    socket.on('data', (chunk: Buffer) => {
      const newline = chunk.indexOf(10)
      chunks.push(newline < 0 ? chunk : chunk.subarray(0, newline))
      length += chunk.length
      if (length > longestReport) giveUp()
      else if (newline >= 0) end(Buffer.concat(chunks).toString('utf8'))
    })
    socket.on('end', () => end(Buffer.concat(chunks).toString('utf8')))
    socket.on('error', giveUp)
    socket.on('close', giveUp)
  })
}

/** A report of which every value is what it says to be; undefined for anything else. More keys are left out. */
export function parseReport(text: string): Report | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null) return undefined
  const { version, pid, startedAt, accepting, draining, connections, inFlight, webSockets, eventStreams, jobs, requests, errors, latency } = value as Record<string, unknown>
  if (version !== 1 || !isCount(pid) || pid === 0 || !isTime(startedAt)) return undefined
  if (typeof accepting !== 'boolean' || typeof draining !== 'boolean') return undefined
  if (!isCount(connections) || !isCount(inFlight) || !isCount(webSockets) || !isCount(eventStreams) || !isCount(jobs)) return undefined
  if (!isCount(requests) || !isCount(errors)) return undefined
  if (!Array.isArray(latency) || latency.length !== latencyBoundsMs.length + 1 || !latency.every(isCount)) return undefined
  return { version, pid, startedAt, accepting, draining, connections, inFlight, webSockets, eventStreams, jobs, requests, errors, latency }
}

const isCount = (value: unknown): value is number => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0

/** ISO 8601 in UTC, as `Date` writes it. */
const isTime = (value: unknown): value is string => typeof value === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z$/.test(value) && !Number.isNaN(Date.parse(value))
