import net from 'node:net'
import type { OriginalListen } from './bind.js'
import { maxBacklog } from './inherited.js'
import type { Report } from './report.js'

/** Tells whoever connects how this instance is: one line of JSON, then the end. Does not keep the process alive. */
export function serveReports(fd: number, listen: OriginalListen, report: () => Promise<Report>): void {
  const server = net.createServer((socket) => {
    socket.on('error', () => {}).resume()
    report().then((told) => socket.end(`${JSON.stringify(told)}\n`), () => socket.destroy())
  })
  server.on('error', () => {})
  listen.call(server, { fd }, maxBacklog)
  server.unref()
}
