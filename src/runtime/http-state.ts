import type http from 'node:http'
import type { Http2Session, ServerHttp2Stream } from 'node:http2'
import type net from 'node:net'
import type { TLSSocket } from 'node:tls'

/**
 * The parts of node's own HTTP state that the drain looks at, never writes to. They have had these names since node 18 or
 * longer; where one is missing the answers below are the careful ones, and the drain falls back to its deadline.
 */
export interface HttpSocket extends net.Socket {
  /** The response that is being written now. */
  _httpMessage?: http.ServerResponse | null
  /** Gone after an upgrade. */
  parser?: {
    /** The newest request of this connection, until its answer is written. */
    incoming?: http.IncomingMessage | null
  } | null
  /** Set by node:http on the socket that it reads from, which with TLS is the encrypted one. */
  server?: object
}

/** node's own list of a server's connections, by parser: the one behind `closeIdleConnections()`. */
interface ConnectionsList {
  /** Those that are not in the middle of receiving a request. */
  idle(): unknown[]
  /** Those that are, and those that never sent anything. */
  active(): unknown[]
}

function connectionsList(server: object | undefined): ConnectionsList | undefined {
  return server && (symbolOf(server, 'http.server.connections') as ConnectionsList | undefined)
}

/** What an object has under a symbol that is not exported, by the symbol's description. */
export function symbolOf(object: object, description: string): unknown {
  const key = Object.getOwnPropertySymbols(object).find((symbol) => symbol.description === description)
  return key && (object as Record<symbol, unknown>)[key]
}

/** The parsers of a server that are between two requests; empty where node does not say. */
export function parsersAtRest(server: object): Set<unknown> {
  return new Set(connectionsList(server)?.idle?.())
}

/** The response in progress, if there is one. */
export function currentResponse(socket: HttpSocket): http.ServerResponse | undefined {
  return socket._httpMessage ?? undefined
}

/**
 * Whether a kept connection waits for its next request: nothing is being received, answered or still being written.
 * @param atRest of `parsersAtRest`
 */
export function isIdle(socket: HttpSocket, atRest: Set<unknown>): boolean {
  if (!socket.parser || socket._httpMessage || socket.writableLength > 0) return false
  return atRest.has(socket.parser)
}

/** Whether a connection left HTTP/1, as a WebSocket does; given that it is one of HTTP/1, or of TLS. */
export function isUpgraded(socket: HttpSocket): boolean {
  return !socket.parser && socket.bytesRead > 0 && (socket as Partial<TLSSocket>).alpnProtocol !== 'h2'
}

/**
 * Whether this may be the last response of its connection. Not while the request's body is still coming: closing then resets
 * the connection, and the client may lose the answer. Not while a further pipelined request is there: node would drop it.
 */
export function mayClose(response: http.ServerResponse): boolean {
  const request = response.req
  if (!request) return true
  if (!request.complete) return false
  const socket = request.socket as HttpSocket | undefined
  const parser = socket?.parser
  if (!parser?.incoming) return true
  if (parser.incoming !== request) return false
  return !connectionsList(socket?.server)?.active?.().includes(parser)
}

/** The open streams of an HTTP/2 session, which node:http2 has told nobody about before; empty where it does not say. */
export function openStreams(session: Http2Session): ServerHttp2Stream[] {
  const state = symbolOf(session, 'state') as { streams?: Map<number, ServerHttp2Stream> } | undefined
  return typeof state?.streams?.values === 'function' ? [...state.streams.values()] : []
}
