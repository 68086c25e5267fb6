/** Servers on the private sockets of instances that there are not. */
import { mkdirSync } from 'node:fs'
import { createServer as createHttpServer, type RequestListener, type Server as HttpServer } from 'node:http'
import { createServer, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'
import { onTestFinished } from 'vitest'
import type { AppPaths } from '../../../src/release/paths.js'
import { privateSocket, reportSocket } from '../../../src/release/standby.js'
import type { InstanceNumber } from '../../../src/release/stop-reason.js'
import { latencyBoundsMs, type Report } from '../../../src/runtime/report.js'

/** A report of an instance that serves and has answered nothing. */
export function report(over: Partial<Report> = {}): Report {
  return {
    version: 1, pid: 100, startedAt: '2026-01-01T00:00:00.000Z', accepting: true, draining: false, connections: 0, inFlight: 0, webSockets: 0, eventStreams: 0, jobs: 0,
    requests: 0, errors: 0, latency: latency({}), ...over,
  }
}

/** How many answers took how long: the bound that each falls below, in milliseconds, to their number. */
export function latency(counts: Record<number, number>): number[] {
  const all = latencyBoundsMs.map(() => 0).concat(0)
  for (const [ms, count] of Object.entries(counts)) {
    const i = latencyBoundsMs.findIndex((bound) => Number(ms) <= bound)
    all[i < 0 ? latencyBoundsMs.length : i] = count
  }
  return all
}

/** So many requests, all of them answered in that time. */
export const answered = (requests: number, errors = 0, ms = 10): Pick<Report, 'requests' | 'errors' | 'latency'> => ({ requests, errors, latency: latency({ [ms]: requests }) })

/** Serves the report socket of an instance; `tell` says what each connection reads, or answers it itself. */
export async function serveReports(paths: AppPaths, instance: InstanceNumber, tell: (socket: Socket) => Report | string | Buffer | undefined): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('error', () => {}) // the reader may leave early
    const said = tell(socket)
    if (said !== undefined) socket.end(typeof said === 'string' || Buffer.isBuffer(said) ? said : `${JSON.stringify(said)}\n`)
  })
  return listen(server, reportSocket(paths, instance))
}

/** Serves the private socket of an instance by HTTP. */
export const serveHttp = (paths: AppPaths, instance: InstanceNumber, answer: RequestListener): Promise<HttpServer> => listen(createHttpServer(answer), privateSocket(paths, instance))

export async function listen<S extends Server>(server: S, path: string): Promise<S> {
  mkdirSync(dirname(path), { recursive: true })
  const open = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    open.add(socket)
    socket.on('close', () => open.delete(socket))
  })
  await new Promise<void>((resolve, reject) => server.listen(path, resolve).on('error', reject))
  onTestFinished(async () => {
    for (const socket of open) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  })
  return server
}
