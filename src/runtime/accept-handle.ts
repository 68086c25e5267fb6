import type net from 'node:net'

/** libuv's handle of a listening socket; what node:net does with it is in `lib/net.js`, and has been since node 0.6. */
interface Handle {
  close(): void
  getsockname?(out: { port?: number }): number
  /** Of a real one; a worker of node:cluster has a stand-in without. */
  fd?: number
}

type HandledServer = net.Server & { _handle?: Handle | null }

/**
 * The handles that node:cluster accepts with. Its primary makes a net.Server for the workers, and takes the handle away from that
 * as soon as it listens.
 */
const taken = new WeakMap<net.Server, Handle>()

/** Notes the handle of a server should node:cluster take it. To be called before `listen()`. */
export function noteTaking(server: net.Server): void {
  server.on('listening', () => {
    const { _handle: handle } = server as HandledServer
    process.nextTick(() => {
      if (handle && (server as HandledServer)._handle === null) taken.set(server, handle)
    })
  })
}

/** Whether a server accepts, or node:cluster does with its handle. */
export function isAccepting(server: net.Server): boolean {
  return server.listening || taken.has(server)
}

/** Stops accepting where node:cluster does that. Its workers do not learn of it, and get what has been accepted before. */
export function closeTaken(server: net.Server): void {
  taken.get(server)?.close()
  taken.delete(server)
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
    const own = handle?.getsockname
    if (!handle || !own) return
    handle.getsockname = (out) => {
      const status = own.call(handle, out)
      if (status === 0 && (server as HandledServer)._handle !== handle) out.port = port
      return status
    }
  })
}
