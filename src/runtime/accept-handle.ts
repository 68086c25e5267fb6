import type net from 'node:net'

/** libuv's handle of a listening socket, as `lib/net.js` and `lib/internal/cluster` use it. */
export interface Handle {
  /** listen(2) once more, and accepts from now on. Returns 0 or a negative error number. */
  listen(backlog: number): number
  close(): void
  ref(): void
  unref(): void
  hasRef(): boolean
  /** Called for each connection. */
  onconnection(...connection: unknown[]): void
  /** TCP alone. */
  getsockname?(out: { port?: number }): number
  /** Of a real one; a worker of node:cluster has a stand-in without. */
  fd?: number
}

export type HandledServer = net.Server & {
  _handle?: Handle | null
  /** The part of `listen()` that has a handle already. */
  _listen2?(address: null, port: -1, addressType: -1, backlog: number): void
}

interface TakenHandle {
  handle: Handle
  close(): void
  /** Connections that came while no worker was there to take them; undefined while one is. */
  parked: unknown[][] | undefined
}

/**
 * The handles that node:cluster accepts with. Its primary makes a net.Server for the workers, and takes the handle away from that
 * as soon as it listens.
 */
const taken = new WeakMap<net.Server, TakenHandle>()

/** Notes the handle of a server should node:cluster take it. To be called before `listen()`. */
export function noteTaking(server: net.Server): void {
  server.on('listening', () => {
    const { _handle: handle } = server as HandledServer
    process.nextTick(() => {
      if (handle && (server as HandledServer)._handle === null) keepOpen(server, handle)
    })
  })
}

/** Whether a server accepts, or node:cluster does with its handle. */
export function isAccepting(server: net.Server): boolean {
  return server.listening || taken.has(server)
}

/** What a server accepts with, or node:cluster in its place; undefined when it is closed. */
export function handleOf(server: net.Server): Handle | undefined {
  return taken.get(server)?.handle ?? (server as HandledServer)._handle ?? undefined
}

/**
 * Hands a server a connection as if it had come to its own socket: to node:cluster, which has taken that, for its workers.
 * @returns false when the server is closed
 */
export function handOver(server: net.Server, connection: unknown[]): boolean {
  const handle = handleOf(server)
  handle?.onconnection(...connection)
  return handle !== undefined
}

/** Stops accepting where node:cluster does that. Its workers do not learn of it, and get what has been accepted before. */
export function closeTaken(server: net.Server): void {
  taken.get(server)?.close()
  taken.delete(server)
}

/** Whether node:cluster has given up the handle of a server: its last worker has gone. */
export function isParked(server: net.Server): boolean {
  return taken.get(server)?.parked !== undefined
}

/** Lets a server listen with the parked handle of a former one: an inherited socket can be opened once only. */
export function listenWithParked(server: net.Server, former: net.Server, backlog: number): void {
  const found = taken.get(former)
  if (!found) return
  taken.delete(former)
  found.handle.ref()
  ;(server as HandledServer)._handle = found.handle
  ;(server as HandledServer)._listen2?.(null, -1, -1, backlog)
  server.once('listening', () => {
    // By then whoever accepts from now on has set itself up.
    process.nextTick(() => {
      for (const connection of found.parked ?? []) found.handle.onconnection(...connection)
    })
  })
}

/**
 * Without workers node:cluster closes the handle, and would bind the address anew for the next one. Nothing accepts on a parked
 * handle, but its connections wait; it does not keep the process alive.
 */
function keepOpen(server: net.Server, handle: Handle): void {
  const close = Object.getPrototypeOf(handle).close as () => void
  const found: TakenHandle = { handle, close: () => close.call(handle), parked: undefined }
  handle.close = () => {
    if (!taken.has(server)) return
    found.parked ??= []
    handle.onconnection = (...connection) => void found.parked?.push(connection)
    handle.unref()
  }
  taken.set(server, found)
}

/** Whether this is a server of a worker of node:cluster, for which the primary accepts. */
export function isServedByPrimary(server: net.Server): boolean {
  const { _handle: handle } = server as HandledServer
  return Boolean(handle) && !('fd' in (handle as Handle))
}

/**
 * Makes the workers of node:cluster believe that the primary listens on the port that they asked for: with another one they
 * fail with EADDRINUSE.
 */
export function showPortToWorkers(server: net.Server, port: number): void {
  server.once('listening', () => {
    const { _handle: handle } = server as HandledServer
    const own = handle && (Object.getPrototypeOf(handle) as Handle).getsockname
    if (!handle || !own) return
    handle.getsockname = (out) => {
      const status = own.call(handle, out)
      if (status === 0 && (server as HandledServer)._handle !== handle) out.port = port
      return status
    }
  })
}
