/** Servers for the tests of the load generator, good ones and such that lose requests; all of it is gone after each test. */
import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import { afterEach } from 'vitest'
import { makeCertificate } from '../traffic/certificate.js'
import { makeTargetServers } from '../traffic/target-servers.js'
import { startTraffic, type Traffic, type TrafficOptions } from '../traffic/traffic.js'

export type Kind = keyof NonNullable<TrafficOptions['clients']>

export const open: (() => void)[] = []
export const running: Traffic[] = []

afterEach(async () => {
  for (const traffic of running.splice(0)) await traffic.stop({ deadlineMs: 0 }).catch(() => {})
  for (const close of open.splice(0)) close()
})

export async function listen(server: net.Server, path?: string): Promise<string> {
  const sockets = new Set<net.Socket>()
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
  })
  open.push(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  if (path === undefined) server.listen(0, '127.0.0.1')
  else server.listen(path)
  await once(server, 'listening')
  return path ?? `127.0.0.1:${(server.address() as net.AddressInfo).port}`
}

export function serve(listener: http.RequestListener, path?: string) {
  return listen(http.createServer(listener), path)
}

/** A server below HTTP: calls back for each request that it has read, and counts them. */
export async function serveRaw(answer: (socket: net.Socket, nth: number, nthOfSocket: number) => void) {
  const seen = { requests: 0 }
  const address = await listen(
    net.createServer((socket) => {
      let text = ''
      let ofSocket = 0
      socket.on('data', (chunk) => {
        text += chunk.toString('latin1')
        for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
          text = text.slice(end + 4)
          answer(socket, ++seen.requests, ++ofSocket)
        }
      })
    }),
  )
  return { address, seen }
}

export const good = 'HTTP/1.1 200 OK\r\nx-release: 1\r\nContent-Length: 2\r\n\r\nhi'

export function start(address: string, clients: NonNullable<TrafficOptions['clients']>, more: Partial<TrafficOptions> = {}) {
  const traffic = startTraffic({ address, clients, ownProcess: false, thinkMs: 3, ...more })
  running.push(traffic)
  return traffic
}

/** Traffic of one kind until n requests have ended. */
export async function drive(address: string, kind: Kind, n = 20, more: Partial<TrafficOptions> = {}) {
  const traffic = start(address, { [kind]: 2 }, more)
  await traffic.until(n, { timeoutMs: 10_000 })
  return traffic.stop({ deadlineMs: 5_000 })
}

export function outcomes(ledger: { records: { outcome: string }[] }) {
  return [...new Set(ledger.records.map((record) => record.outcome))].sort()
}

/** The whole target, on ports of its own. */
export async function serveAll(options: { exportMs: number; keepAliveMs?: number }) {
  const ca = makeCertificate()
  const servers = makeTargetServers({ release: '7', generation: '3', pem: ca, exportMs: options.exportMs })
  if (options.keepAliveMs) servers.http.keepAliveTimeout = options.keepAliveMs
  const [address, https, h2c, h2] = await Promise.all([servers.http, servers.https, servers.h2c, servers.h2].map((server) => listen(server)))
  return { address: address as string, others: { https: https as string, h2c: h2c as string, h2: h2 as string, ca } }
}
