import type { Http2Session, ServerHttp2Stream } from 'node:http2'
import type net from 'node:net'
import { openStreams } from './http-state.js'

/**
 * The HTTP/2 sessions of a server.
 *
 * A GOAWAY names the last stream that will be served, and a request that crosses it on the wire is refused (RFC 9113, section 6.8).
 * The notice that would avoid that (GOAWAY with the largest stream id, first) cannot be sent through node: nghttp2 ignores all
 * requests that come after it. So a session gets its GOAWAY when its client waits for an answer and, like most, sends nothing
 * meanwhile: at once when a stream is open, else along with its next request. An idle one is given up after the time that an
 * idle connection of HTTP/1 has.
 */
export class Http2Sessions {
  /** With the time since which a session of a draining server is idle. */
  readonly #sessions = new Map<Http2Session, number>()
  #draining = false

  constructor(server: net.Server) {
    server.on('session', (session: Http2Session) => {
      this.#sessions.set(session, performance.now())
      session.once('close', () => this.#sessions.delete(session))
      if (this.#draining) this.#goAwayWhenUsed(session)
    })
  }

  get size(): number {
    return this.#sessions.size
  }

  /** Lets each session end with its running streams. */
  drain(): void {
    this.#draining = true
    for (const session of this.#sessions.keys()) this.#goAwayWhenUsed(session)
  }

  /** Closes sessions that have been idle for so many milliseconds of the drain. */
  endIdle(now: number, afterMs: number): void {
    for (const [session, since] of this.#sessions) {
      if (now - since >= afterMs) session.close()
    }
  }

  streams(): ServerHttp2Stream[] {
    return [...this.#sessions.keys()].flatMap(openStreams)
  }

  /** Sessions without a stream. */
  countIdle(): number {
    return [...this.#sessions.keys()].filter((session) => openStreams(session).length === 0).length
  }

  destroy(): void {
    for (const session of this.#sessions.keys()) session.destroy()
  }

  #goAwayWhenUsed(session: Http2Session): void {
    this.#sessions.set(session, performance.now())
    // In a turn of its own: what was received along with the first request is served, too.
    const goAway = (): void => void setImmediate(() => session.close())
    if (openStreams(session).length > 0) goAway()
    else session.once('stream', goAway)
  }
}
