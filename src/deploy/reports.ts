import { createConnection } from 'node:net'
import type { AppPaths } from '../release/paths.js'
import { reportSocket } from '../release/standby.js'
import type { InstanceNumber } from '../release/stop-reason.js'
import type { Report } from '../runtime/report.js'

/** Far more than any report has, in bytes: the other side is an app. */
const longestReport = 65_536

/**
 * Asks an instance what it tells of itself.
 * @param options.timeoutMs default 2 s
 * @returns undefined where it has no report socket, may not be asked, or does not answer
 */
export function readReport(paths: AppPaths, instance: InstanceNumber, { timeoutMs = 2_000, signal }: { timeoutMs?: number; signal?: AbortSignal } = {}): Promise<Report | undefined> {
  return new Promise((resolve) => {
    const socket = createConnection(reportSocket(paths, instance))
    const over = signal === undefined ? AbortSignal.timeout(timeoutMs) : AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
    let text = ''
    const end = (report?: Report): void => {
      over.removeEventListener('abort', giveUp)
      socket.destroy()
      resolve(report)
    }
    const giveUp = (): void => end()
    over.addEventListener('abort', giveUp)
    if (over.aborted) return end()
    socket.setEncoding('utf8')
    socket.on('error', giveUp)
    socket.on('data', (chunk) => {
      text += chunk
      if (text.length > longestReport) end()
    })
    socket.on('end', () => end(parseReport(text)))
  })
}

function parseReport(text: string): Report | undefined {
  try {
    const report = JSON.parse(text) as Report | null
    return report?.version === 1 && isCounted(report) ? report : undefined
  } catch {
    return undefined
  }
}

/** The other side is an app: what is no number must not become one of a metric. */
function isCounted(report: Report): boolean {
  const counts = [report.connections, report.inFlight, report.webSockets, report.eventStreams, report.jobs, report.requests, report.errors]
  return counts.every(isCount) && Array.isArray(report.latency) && report.latency.every(isCount)
}

const isCount = (value: unknown): boolean => typeof value === 'number' && Number.isFinite(value) && value >= 0
