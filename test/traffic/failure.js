// @ts-check
/**
 * What can happen to one request. `ok`, or exactly one of:
 *
 * - `refused`         nobody listens on the address (ECONNREFUSED; ENOENT for a unix path)
 * - `reset`           the connection, or the HTTP/2 stream, was reset before an answer began (ECONNRESET, EPIPE)
 * - `hang-up`         the connection was closed before an answer began
 * - `early-close`     nothing was asked, but the connection was closed before its promised time
 * - `timeout`         no complete answer within the request's time
 * - `stuck`           still in flight when stop()'s deadline came
 * - `cut-body`        the answer began and did not end
 * - `bad-status-503`  answered, but not with 2xx
 * - `bad-body`        answered 2xx with the wrong content
 * - `bad-protocol`    not HTTP
 * - `bad-close-1006`  a WebSocket was closed, but not with 1001 (RFC 6455 section 7.4.1)
 * - `other-CODE`      anything else, a fault of the generator included: it must not pass for a success
 */
export class RequestFailure extends Error {
  /**
   * @param {string} kind one of the list above
   * @param {string} [detail]
   */
  constructor(kind, detail = '') {
    super(detail === '' ? kind : `${kind}: ${detail}`)
    this.name = 'RequestFailure'
    this.kind = kind
    this.detail = detail
  }
}

/**
 * Names what went wrong below HTTP.
 *
 * @param {unknown} thrown by node:http, node:net or fetch (which puts the reason in `cause`)
 * @param {'answer' | 'body'} awaited what the client was waiting for
 * @returns {RequestFailure}
 */
export function classifyFailure(thrown, awaited) {
  if (thrown instanceof RequestFailure) return thrown
  const error = innermost(thrown)
  const detail = error.message || String(thrown)
  const code = typeof error.code === 'string' ? error.code : '' // of an AbortError from fetch it is a number
  if (code.startsWith('HPE_')) return new RequestFailure('bad-protocol', detail)
  if (awaited === 'body') return new RequestFailure('cut-body', detail)
  if (code === 'ECONNREFUSED' || code === 'ENOENT') return new RequestFailure('refused', detail)
  // node:http reports a plain FIN in place of an answer as ECONNRESET too; only its message tells the two apart.
  if (code === 'ECONNRESET' && detail === 'socket hang up') return new RequestFailure('hang-up', detail)
  if (code === 'ECONNRESET' || code === 'EPIPE') return new RequestFailure('reset', detail)
  if (code === 'ERR_HTTP2_STREAM_ERROR' || code === 'ERR_HTTP2_SESSION_ERROR') return new RequestFailure('reset', detail)
  if (code === 'ERR_HTTP2_STREAM_CANCEL') return new RequestFailure('hang-up', detail)
  if (code === 'UND_ERR_SOCKET') return new RequestFailure('hang-up', detail)
  return new RequestFailure(`other-${code || error.name || 'error'}`, detail)
}

/**
 * @param {unknown} thrown
 * @returns {{ code?: string | number, name?: string, message: string }}
 */
function innermost(thrown) {
  let error = /** @type {any} */ (thrown)
  for (let depth = 0; depth < 5; depth++) {
    // Connecting to a name with several addresses fails with an AggregateError of all of them.
    const inner = error?.errors?.[0] ?? error?.cause
    if (inner === undefined || inner === null) break
    error = inner
  }
  return error ?? { message: String(thrown) }
}
