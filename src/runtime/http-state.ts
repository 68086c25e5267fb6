import type http from 'node:http'
import type net from 'node:net'

/**
 * The parts of node's own HTTP/1 state that the drain looks at, never writes to. They have had these names since node 18 or
 * longer; where one is missing the answers below are the careful ones, and the drain falls back to its deadline.
 */
export interface HttpSocket extends net.Socket {
  /** The response that is being written now. */
  _httpMessage?: http.ServerResponse | null
  /** Gone after an upgrade. */
  parser?: {
    /** The newest request of this connection, answered or not. */
    incoming?: http.IncomingMessage | null
    /** Milliseconds since the request that is being received began; 0 when none is. */
    duration?(): number
  } | null
}

/** The response in progress, if there is one. */
export function currentResponse(socket: HttpSocket): http.ServerResponse | undefined {
  return socket._httpMessage ?? undefined
}

/** Whether a kept connection waits for its next request: nothing is being received, answered or still being written. */
export function isIdle(socket: HttpSocket): boolean {
  if (!socket.parser || socket._httpMessage || socket.writableLength > 0 || socket.bytesRead === 0) return false
  return socket.parser.duration?.() === 0
}

/** Whether a connection left HTTP, as a WebSocket does. */
export function isUpgraded(socket: HttpSocket): boolean {
  return !socket.parser && socket.bytesRead > 0
}

/**
 * Whether this may be the last response of its connection. Not while the request's body is still coming: closing then resets
 * the connection, and the client may lose the answer. Not while a further pipelined request is there: node would drop it.
 */
export function mayClose(response: http.ServerResponse): boolean {
  const request = response.req
  if (!request) return true
  if (!request.complete) return false
  const parser = (request.socket as HttpSocket | undefined)?.parser
  if (!parser?.incoming) return true
  return parser.incoming === request && !((parser.duration?.() ?? 0) > 0)
}
