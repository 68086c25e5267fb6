import { connect } from 'node:net'
import type { AppPaths } from '../release/paths.js'
import { reportSocket } from '../release/standby.js'
import type { InstanceNumber } from '../release/stop-reason.js'
import type { Report } from '../runtime/report.js'

/** What an instance tells of itself; undefined where it has no report socket, or does not answer. */
export function readReport(paths: AppPaths, instance: InstanceNumber, { timeoutMs = 1000, signal }: { timeoutMs?: number; signal?: AbortSignal } = {}): Promise<Report | undefined> {
  return new Promise((resolve) => {
    const socket = connect(reportSocket(paths, instance))
    let text = ''
    const end = (): void => {
      socket.destroy()
      try {
        resolve(JSON.parse(text) as Report)
      } catch {
        resolve(undefined)
      }
    }
    socket.setEncoding('utf8').on('data', (piece: string) => (text += piece)).on('end', end).on('error', end)
    socket.setTimeout(timeoutMs, end)
    signal?.addEventListener('abort', end, { once: true })
  })
}
