import type { Http2Session, ServerHttp2Stream } from 'node:http2'
import type net from 'node:net'
import { openStreams } from './http-state.js'

/** The largest stream id: with it a GOAWAY announces the end, and refuses nothing yet. RFC 9113, section 6.8. */
const lastPossibleStream = 2 ** 31 - 1
/** Milliseconds that a client gets to answer the ping that follows. */
const pingTimeoutMs = 10_000

/** The HTTP/2 sessions of a server. */
export class Http2Sessions {
  readonly #sessions = new Set<Http2Session>()
  #draining = false

  constructor(server: net.Server) {
    server.on('session', (session: Http2Session) => {
      this.#sessions.add(session)
      session.once('close', () => this.#sessions.delete(session))
      if (this.#draining) goAway(session)
    })
  }

  /** Whether there were any: a server that listens to `stream` is one of HTTP/2. */
  get isSpoken(): boolean {
    return this.#sessions.size > 0
  }

  get size(): number {
    return this.#sessions.size
  }

  /** Lets each session end with its running streams. */
  drain(): void {
    this.#draining = true
    for (const session of this.#sessions) goAway(session)
  }

  streams(): ServerHttp2Stream[] {
    return [...this.#sessions].flatMap(openStreams)
  }

  /** Sessions without a stream. */
  countIdle(): number {
    return [...this.#sessions].filter((session) => openStreams(session).length === 0).length
  }

  destroy(): void {
    for (const session of this.#sessions) session.destroy()
  }
}

/**
 * In two steps, so that no request is refused that was on its way: a notice first, and the real GOAWAY once the client's answer
 * to a ping shows that it has seen the notice.
 */
function goAway(session: Http2Session): void {
  if (session.closed || session.destroyed) return
  const close = (): void => {
    clearTimeout(timer)
    if (!session.closed && !session.destroyed) session.close()
  }
  const timer = setTimeout(close, pingTimeoutMs)
  session.once('close', close)
  session.goaway(0, lastPossibleStream)
  if (!session.ping(close)) close()
}
