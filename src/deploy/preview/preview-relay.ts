import { connect, createServer, type Server, type Socket } from 'node:net'
import { refuseConnection } from './preview-refusal.js'
import type { PreviewRoute } from './preview-target.js'

/** More at once are closed as they come: each holds two descriptors and some memory. */
const mostConnections = 1_000

/**
 * Once the app has said all: how long nothing may come or go before the client counts as gone, too. That the app has closed its
 * side altogether cannot be seen; in tcp(7) the kernel has the same time for it, tcp_fin_timeout.
 */
const lingerMs = 60_000

/** A client that vanished without a word is found out after that, by keep-alive of tcp(7). */
const keepAliveMs = 60_000

/**
 * Carries the bytes of connections to the private sockets of a generation, and back, as they are: whatever the app speaks. Each
 * new connection asks where to go; those that are there stay where they are.
 */
export class PreviewRelay {
  private readonly connections = new Set<Socket>()
  private turn = 0
  private onChange: () => void = () => {}

  constructor(private readonly route: () => PreviewRoute, private readonly limit = mostConnections) {}

  /** A server whose connections are relayed; not listening yet. */
  makeServer(): Server {
    // Half open: a client that has said all it has to say still gets its answer.
    const server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: keepAliveMs }, (client) => this.take(client))
    server.maxConnections = this.limit
    return server
  }

  /** How many connections there are. */
  get open(): number {
    return this.connections.size
  }

  /** Calls back at each connection that comes or goes. */
  watch(onChange: () => void): void {
    this.onChange = onChange
  }

  /** Cuts what is left. */
  cutAll(): void {
    for (const client of this.connections) cut(client)
  }

  private take(client: Socket): void {
    // Before anything else: an error that nobody listens to would end the process.
    client.on('error', () => {})
    this.connections.add(client)
    client.once('close', () => {
      this.connections.delete(client)
      this.onChange()
    })
    this.onChange()
    const route = this.route()
    if (route.kind === 'none') refuseConnection(client, route.text)
    else this.connectAny(client, route, 0)
  }

  /** The next process whose turn it is; where that does not answer, the one after it. */
  private connectAny(client: Socket, route: PreviewRoute & { kind: 'held' }, tries: number): void {
    const { generation, sockets } = route
    if (client.destroyed) return
    if (tries === sockets.length) {
      refuseConnection(client, `Generation ${generation} is held, but does not answer just now.\n`)
      return
    }
    const upstream = connect({ path: sockets[this.turn++ % sockets.length] as string, allowHalfOpen: true })
    const next = (): void => this.connectAny(client, route, tries + 1)
    const giveUp = (): void => void upstream.destroy()
    upstream.once('error', next)
    client.once('close', giveUp)
    upstream.once('connect', () => {
      upstream.off('error', next)
      client.off('close', giveUp)
      joinSockets(client, upstream)
    })
  }
}

/** Both ways, each at the pace of its reader, until both have ended or one breaks. */
function joinSockets(client: Socket, upstream: Socket): void {
  upstream.once('end', () => client.setTimeout(lingerMs, () => cut(client)))
  for (const [one, other] of [[client, upstream], [upstream, client]] as const) {
    one.pipe(other)
    one.on('error', () => cut(other))
    one.once('close', () => {
      // What was said to its end is brought to its end, though nobody hears any more.
      if (one.readableEnded) other.destroySoon()
      else cut(other)
    })
  }
}

/** Not as if all had been said: an answer that ends with its connection would pass for whole. */
function cut(socket: Socket): void {
  if (socket.destroyed) return
  // Only a connection of tcp(7) can be reset, and none that is being shut down: node would then never close it.
  if (socket.remoteFamily === undefined || socket.writableEnded) socket.destroy()
  else socket.resetAndDestroy()
}
