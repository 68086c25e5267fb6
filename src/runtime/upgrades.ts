import type http from 'node:http'
import type net from 'node:net'
import type { Duplex } from 'node:stream'

/** The requests by which connections became WebSockets; node keeps no way from one to the other. */
const webSockets = new WeakMap<Duplex, http.IncomingMessage>()

/** The request that made a connection a WebSocket, if it is one. */
export function webSocketRequest(socket: Duplex): http.IncomingMessage | undefined {
  return webSockets.get(socket)
}

/**
 * Notes which connections of a server become WebSockets. A listener on `upgrade` means to node that the server takes upgrades
 * at all, so there is one only while the app has one.
 */
export function noteUpgrades(server: net.Server): void {
  const note = (request: http.IncomingMessage, socket: Duplex): void => {
    if (/\bwebsocket\b/i.test(request.headers.upgrade ?? '')) webSockets.set(socket, request)
  }
  const others = (): number => server.listeners('upgrade').filter((listener) => listener !== note).length
  let isNoting = false
  const update = (count: number): void => {
    if (count > 0 === isNoting) return
    isNoting = count > 0
    if (isNoting) server.prependListener('upgrade', note)
    else server.off('upgrade', note)
  }
  update(others())
  // `newListener` comes before the listener is there, `removeListener` after it is gone.
  server.on('newListener', (event: string, listener: unknown) => {
    if (event === 'upgrade' && listener !== note) update(1)
  })
  server.on('removeListener', (event: string, listener: unknown) => {
    if (event === 'upgrade' && listener !== note) update(others())
  })
}
