import type net from 'node:net'
import type { Ledger } from './ledger.js'
import type { DrainingConnection } from './long-lived.js'
import { TrackedServer } from './tracked-server.js'
import type { Waiting } from './waiting.js'

/** The servers of a process, which drain together. */
export class TrackedServers {
  readonly #servers = new Map<net.Server, TrackedServer>()
  /** Those that are closed, too: they may listen again. */
  readonly #known = new WeakMap<net.Server, TrackedServer>()
  #isDraining = false

  get size(): number {
    return this.#servers.size
  }

  get connections(): number {
    return this.#all().reduce((sum, server) => sum + server.connections, 0)
  }

  /** Connections so far. */
  get accepted(): number {
    return this.#all().reduce((sum, server) => sum + server.accepted, 0)
  }

  /** Again is no harm. */
  attach(server: net.Server): void {
    if (this.#servers.has(server)) return
    const tracked = this.#known.get(server) ?? new TrackedServer(server)
    this.#known.set(server, tracked)
    this.#servers.set(server, tracked)
    // One that is closed, and whose connections have ended, is none any more.
    server.once('close', () => {
      if (!this.#isDraining) this.#servers.delete(server)
    })
  }

  /** From here on the older clients alone are served. Settles when the last of them has gone. */
  async drain(ledger: Ledger): Promise<void> {
    this.#isDraining = true
    for (const server of this.#all()) {
      ledger.counts.connections += server.connections
      server.watch(ledger)
    }
    await Promise.all(this.#all().map((server) => server.drain()))
  }

  /** Settles when there is no connection. */
  async emptied(): Promise<void> {
    await Promise.all(this.#all().map((server) => server.emptied()))
  }

  census(): DrainingConnection[] {
    return this.#all().flatMap((server) => server.census())
  }

  /** See TrackedServer. */
  countEnding(): number {
    return this.#all().reduce((sum, server) => sum + server.countEnding(server.census()), 0)
  }

  waiting(): Omit<Waiting, 'jobs' | 'hooks'> {
    const kinds = { websocket: 0, 'event-stream': 0, tunnel: 0, request: 0 }
    let connections = 0
    for (const server of this.#all()) {
      const census = server.census()
      for (const { kind } of census) kinds[kind]++
      connections += server.countIdle(census)
    }
    return { requests: kinds.request, webSockets: kinds.websocket, eventStreams: kinds['event-stream'], tunnels: kinds.tunnel, connections }
  }

  /** See TrackedServer. */
  endExpired(now: number): void {
    for (const server of this.#all()) server.endExpired(now)
  }

  /** The hard end: counts what is left, and ends it. */
  cut(ledger: Ledger): void {
    const { requests, webSockets, eventStreams, tunnels } = this.waiting()
    ledger.close()
    Object.assign(ledger.counts, {
      connectionsCut: this.connections, requestsCut: requests, webSocketsCut: webSockets, eventStreamsCut: eventStreams, tunnelsCut: tunnels,
    })
    for (const server of this.#all()) server.destroy()
  }

  #all(): TrackedServer[] {
    return [...this.#servers.values()]
  }
}
