import type http from 'node:http'
import type { ServerHttp2Stream } from 'node:http2'
import net from 'node:net'
import { closeTaken, isServedByPrimary, noteTaking } from './accept-handle.js'
import { deferRequests } from './closing-responses.js'
import { Http2Sessions } from './http2-sessions.js'
import { currentResponse, isIdle, isUpgraded, parsersAtRest, type HttpSocket } from './http-state.js'
import type { Ledger } from './ledger.js'
import { exchange, stream, tunnel, webSocket, type DrainingConnection } from './long-lived.js'
import { noteUpgrades, webSocketRequest } from './upgrades.js'

/** Milliseconds an idle connection is left open when the server promised no time (`keepAliveTimeout = 0`). */
const unpromisedIdleMs = 60_000
/** Of HTTP/2, which has no promise of that kind: as long as node gives a connection of HTTP/1. */
const http2IdleMs = 5000
/** Milliseconds on top of the promise: the client's last request may be on its way when the time is over. */
const idleMarginMs = 1000

/** A server that is drained: knows its connections, closes softly, and says when the last connection has ended. */
export class TrackedServer {
  readonly #server: net.Server
  readonly #sockets = new Set<HttpSocket>()
  /** Of a TLS server: the encrypted side, where HTTP happens. */
  readonly #secure = new Set<HttpSocket>()
  /** And of those, the other side: connections to it that are not in here are still shaking hands. */
  readonly #shaken = new WeakSet<object>()
  readonly #http2: Http2Sessions
  readonly #idleSince = new Map<HttpSocket, { at: number; bytesRead: number }>()
  #accepted = 0
  #whenEmpty: (() => void) | undefined

  constructor(server: net.Server) {
    this.#server = server
    this.#http2 = new Http2Sessions(server)
    server.on('connection', (socket: HttpSocket) => {
      this.#accepted++
      this.#track(this.#sockets, socket)
    })
    server.on('secureConnection', (socket: HttpSocket) => {
      this.#track(this.#secure, socket)
      const { _parent: encrypted } = socket as { _parent?: object }
      if (encrypted) this.#shaken.add(encrypted)
    })
    noteUpgrades(server)
    noteTaking(server)
  }

  get connections(): number {
    return this.#sockets.size
  }

  /** Connections so far. */
  get accepted(): number {
    return this.#accepted
  }

  /** Has every request counted that is in flight or still arrives; HTTP/1 responses are, when their head is written. */
  watch(ledger: Ledger): void {
    for (const socket of this.#httpSockets()) {
      const response = currentResponse(socket)
      if (response) ledger.watch(response)
    }
    for (const each of this.#http2.streams()) ledger.watchStream(each)
    if (this.#http2.size > 0) this.#server.on('stream', (each: ServerHttp2Stream) => ledger.watchStream(each))
  }

  /** Stops accepting and lets everything else end by itself. Settles when the last connection has ended. */
  async drain(): Promise<void> {
    const ended = this.#stopAccepting()
    this.#softenClose(ended)
    deferRequests(this.#server)
    this.#http2.drain()
    await ended
  }

  /** Settles when there is no connection. */
  emptied(): Promise<void> {
    if (this.#sockets.size === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#whenEmpty = resolve
    })
  }

  /** Everything that is in flight or does not end by itself; what is missing of the connections waits for a request. */
  census(): DrainingConnection[] {
    const found = this.#httpSockets().flatMap((socket) => {
      const response = currentResponse(socket)
      if (response) return exchange(response, socket)
      if (webSocketRequest(socket)) return webSocket(socket)
      return this.#speaksHttp && isUpgraded(socket) ? tunnel(socket) : []
    })
    return [...found, ...this.#http2.streams().map(stream)]
  }

  /** Connections on which nothing of the census happens. */
  countIdle(census: readonly DrainingConnection[]): number {
    const busy = new Set(census.map(({ socket }) => socket))
    const idle = this.#httpSockets().filter((socket) => !busy.has(socket)).length
    return idle + this.#shaking().length - this.#http2.size + this.#http2.countIdle()
  }

  /** How many connections will end by themselves: those of HTTP, but no tunnels, and none of other protocols. */
  countEnding(census: readonly DrainingConnection[]): number {
    if (!this.#speaksHttp && this.#http2.size === 0) return 0
    return this.#sockets.size - census.filter(({ kind }) => kind === 'tunnel').length
  }

  /** Ends kept connections whose promised time is over where node does not do so itself. To be called about once a second. */
  endExpired(now: number): void {
    const { keepAliveTimeout } = this.#server as Partial<http.Server>
    this.#http2.endIdle(now, (keepAliveTimeout || http2IdleMs) + idleMarginMs)
    // Without the property it is HTTP/1 on a server of HTTP/2, which promises nothing.
    const promisedMs = keepAliveTimeout === undefined ? http2IdleMs : keepAliveTimeout || unpromisedIdleMs
    const atRest = parsersAtRest(this.#server)
    const shaking = this.#shaking()
    for (const socket of [...this.#httpSockets(), ...shaking]) {
      const seen = this.#idleSince.get(socket)
      // To node, one that never sent a byte is in the middle of a request.
      const waits = (this.#speaksHttp && socket.bytesRead === 0) || shaking.includes(socket) || isIdle(socket, atRest)
      if (!waits) this.#idleSince.delete(socket)
      else if (seen?.bytesRead !== socket.bytesRead) this.#idleSince.set(socket, { at: now, bytesRead: socket.bytesRead })
      else if (now - seen.at >= promisedMs + idleMarginMs) socket.destroy()
    }
  }

  /** Ends everything at once. */
  destroy(): void {
    this.#http2.destroy()
    for (const socket of [...this.#secure, ...this.#sockets]) socket.destroy()
  }

  /** Not by its class: node:https would have to be loaded for that. */
  get #speaksHttp(): boolean {
    return 'headersTimeout' in this.#server
  }

  /** Where HTTP happens: of a TLS server the encrypted side. */
  #httpSockets(): HttpSocket[] {
    return 'setSecureContext' in this.#server ? [...this.#secure] : [...this.#sockets]
  }

  /** Connections to a TLS server that have not shaken hands. */
  #shaking(): HttpSocket[] {
    return 'setSecureContext' in this.#server ? [...this.#sockets].filter((socket) => !this.#shaken.has(socket)) : []
  }

  #track(set: Set<HttpSocket>, socket: HttpSocket): void {
    set.add(socket)
    socket.once('close', () => {
      set.delete(socket)
      this.#idleSince.delete(socket)
      if (this.#sockets.size === 0) this.#whenEmpty?.()
    })
  }

  /** Settles when the last connection has ended. */
  async #stopAccepting(): Promise<void> {
    const server = this.#server
    // Only the listener: http.Server.close() would also end connections whose clients were promised more time.
    const close = (): void => void net.Server.prototype.close.call(server)
    closeTaken(server)
    if (isServedByPrimary(server)) {
      // What the primary has accepted still comes here. A listener does not keep a worker that it has let go.
      process.once('disconnect', close)
    } else if (server.listening) {
      const closed = new Promise<void>((resolve) => server.once('close', resolve))
      close()
      // The server says `close` before the last connection does.
      await closed
    }
    await this.emptied()
  }

  /** The app's own close() joins the drain: it would end idle connections, or fail because the server is closed already. */
  #softenClose(ended: Promise<void>): void {
    const server = this.#server
    server.close = (callback?: (error?: Error) => void) => {
      if (callback) void ended.then(() => process.nextTick(callback))
      return server
    }
    Object.defineProperty(server, Symbol.asyncDispose, { value: () => ended, configurable: true })
    // Frameworks call these right after close(): Fastify with forceCloseConnections, NestJS, stoppers of all kinds.
    for (const name of ['closeIdleConnections', 'closeAllConnections']) {
      if (name in server) Object.defineProperty(server, name, { value: () => {}, configurable: true, writable: true })
    }
  }
}
