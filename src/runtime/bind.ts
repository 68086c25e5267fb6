import type net from 'node:net'
import { listenWithParked, showPortToWorkers } from './accept-handle.js'
import type { InheritedListener } from './inherited.js'
import type { ListenRequest } from './listen-arguments.js'

/** `net.Server.prototype.listen` as node made it. */
export type OriginalListen = (this: net.Server, ...args: unknown[]) => net.Server

/**
 * Lets a server accept on an inherited listener. node calls listen(2) again with 511 unless the backlog is given as an argument
 * of its own (in the options it is ignored). Errors come as the server's `error` event, as from any `listen()`.
 */
export function bindInherited(
  server: net.Server,
  listener: InheritedListener,
  request: ListenRequest,
  listen: OriginalListen,
): net.Server {
  const options = { fd: listener.fd, ...(request.signal ? { signal: request.signal } : {}) }
  const args: unknown[] = [options, listener.backlog]
  if (request.callback) args.push(request.callback)
  if (request.port !== undefined) showPortToWorkers(server, request.port)
  const { address } = listener
  if (address?.startsWith('/')) {
    // node does not know the path of a unix socket that it did not bind itself.
    const own = server.address
    server.address = () => own.call(server) ?? (server.listening ? address : null)
  }
  return listen.apply(server, args)
}

/** The same for a listener that the workers of node:cluster had before, all of which have ended. */
export function bindAgain(server: net.Server, listener: InheritedListener, request: ListenRequest, former: net.Server): net.Server {
  if (request.callback) server.once('listening', request.callback)
  if (request.port !== undefined) showPortToWorkers(server, request.port)
  listenWithParked(server, former, listener.backlog)
  return server
}
