import { connect } from 'node:net'
import type { AppPaths } from '../release/paths.js'
import { reportSocket } from '../release/standby.js'
import type { InstanceNumber } from '../release/stop-reason.js'
import type { Report } from '../runtime/report.js'

/** Far longer than any report, in bytes. */
const longest = 64 * 1024

/** What an instance tells of itself; undefined where it has no report socket, or does not answer on it. */
export function readReport(paths: AppPaths, instance: InstanceNumber, { timeoutMs = 500, signal }: { timeoutMs?: number; signal?: AbortSignal } = {}): Promise<Report | undefined> {
  return new Promise((resolve) => {
    let text = ''
    const socket = connect(reportSocket(paths, instance))
    const end = (): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(parseReport(text))
    }
    const timer = setTimeout(end, timeoutMs)
    signal?.addEventListener('abort', end, { once: true })
    socket.setEncoding('utf8')
    socket.on('data', (part: string) => {
      text += part
      if (text.includes('\n') || text.length > longest) end()
    })
    socket.on('error', end)
    socket.on('close', end)
  })
}

function parseReport(text: string): Report | undefined {
  try {
    const report = JSON.parse(text) as Report | null
    return report?.version === 1 ? report : undefined
  } catch {
    return undefined
  }
}
