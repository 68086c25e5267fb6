import http from 'node:http'
import type { Http2Session } from 'node:http2'
import net from 'node:net'
import { deferRequests } from './closing-responses.js'
import { currentResponse, isIdle, isUpgraded, parsersAtRest, type HttpSocket } from './http-state.js'

/** Milliseconds an idle connection is left open when the server promised no time (`keepAliveTimeout = 0`). */
const unpromisedIdleMs = 60_000
/** Milliseconds on top of the promise: the client's last request may be on its way when the time is over. */
const idleMarginMs = 1000

/** What is open on a server now. */
export interface OpenWork {
  connections: number
  /** Responses in progress. */
  requests: number
  /** Connections that left HTTP, such as WebSockets. */
  upgraded: number
}

/** A server that is drained: knows its connections, closes softly, and says when the last connection has ended. */
export class TrackedServer {
  readonly #server: net.Server
  readonly #sockets = new Set<HttpSocket>()
  /** Of a TLS server: the encrypted side, where HTTP happens. */
  readonly #secure = new Set<HttpSocket>()
  readonly #sessions = new Set<Http2Session>()
  readonly #idleSince = new Map<HttpSocket, { at: number; bytesRead: number }>()
  #draining = false
  #whenEmpty: (() => void) | undefined

  constructor(server: net.Server) {
    this.#server = server
    server.on('connection', (socket: HttpSocket) => this.#track(this.#sockets, socket))
    server.on('secureConnection', (socket: HttpSocket) => this.#track(this.#secure, socket))
    server.on('session', (session: Http2Session) => {
      this.#sessions.add(session)
      session.once('close', () => this.#sessions.delete(session))
      if (this.#draining) session.close()
    })
  }

  /**
   * Stops accepting and lets everything else end by itself. Settles when the last connection has ended.
   * @param onRequest called for each HTTP/1 request that still arrives
   * @param onAppClosed called before a callback that the app gave to its own close()
   */
  async drain(onRequest: () => void, onAppClosed: () => void): Promise<void> {
    this.#draining = true
    const closed = this.#server.listening
      ? new Promise<void>((resolve) => this.#server.once('close', resolve))
      : undefined
    // Only the listener: http.Server.close() would also end connections whose clients were promised more time.
    if (closed) net.Server.prototype.close.call(this.#server)
    this.#softenClose(closed, onAppClosed)
    deferRequests(this.#server, onRequest)
    for (const session of this.#sessions) session.close()
    await (closed ?? this.#emptied())
  }

  count(): OpenWork {
    const work = { connections: this.#sockets.size, requests: 0, upgraded: 0 }
    const mayUpgrade = this.#server instanceof http.Server || this.#secure.size > 0
    for (const socket of this.#httpSockets()) {
      if (currentResponse(socket)) work.requests++
      else if (mayUpgrade && isUpgraded(socket) && this.#sessions.size === 0) work.upgraded++
    }
    return work
  }

  responses(): http.ServerResponse[] {
    return this.#httpSockets().flatMap((socket) => currentResponse(socket) ?? [])
  }

  /** Ends kept connections whose promised time is over where node does not do so itself. To be called about once a second. */
  endExpired(now: number): void {
    const promisedMs = (this.#server as Partial<http.Server>).keepAliveTimeout || unpromisedIdleMs
    const atRest = parsersAtRest(this.#server)
    for (const socket of this.#httpSockets()) {
      const seen = this.#idleSince.get(socket)
      if (!isIdle(socket, atRest)) this.#idleSince.delete(socket)
      else if (seen?.bytesRead !== socket.bytesRead) this.#idleSince.set(socket, { at: now, bytesRead: socket.bytesRead })
      else if (now - seen.at >= promisedMs + idleMarginMs) socket.destroy()
    }
  }

  /** Ends everything at once. */
  destroy(): void {
    for (const session of this.#sessions) session.destroy()
    for (const socket of [...this.#secure, ...this.#sockets]) socket.destroy()
  }

  #httpSockets(): HttpSocket[] {
    return this.#secure.size > 0 ? [...this.#secure] : [...this.#sockets]
  }

  #track(set: Set<HttpSocket>, socket: HttpSocket): void {
    set.add(socket)
    socket.once('close', () => {
      set.delete(socket)
      this.#idleSince.delete(socket)
      if (this.#sockets.size === 0) this.#whenEmpty?.()
    })
  }

  #emptied(): Promise<void> {
    if (this.#sockets.size === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#whenEmpty = resolve
    })
  }

  /** The app's own close() joins the drain: it would end idle connections, or fail because the server is closed already. */
  #softenClose(closed: Promise<void> | undefined, onAppClosed: () => void): void {
    const server = this.#server
    const ended = closed ?? this.#emptied()
    server.close = (callback?: (error?: Error) => void) => {
      const run = (): void => {
        onAppClosed()
        callback?.()
      }
      if (callback) void ended.then(() => process.nextTick(run))
      return server
    }
    Object.defineProperty(server, Symbol.asyncDispose, { value: () => ended, configurable: true })
    // Frameworks call these right after close(): Fastify with forceCloseConnections, NestJS, stoppers of all kinds.
    for (const name of ['closeIdleConnections', 'closeAllConnections']) {
      if (name in server) Object.defineProperty(server, name, { value: () => {}, configurable: true, writable: true })
    }
  }
}
