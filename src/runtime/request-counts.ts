import { subscribe } from 'node:diagnostics_channel'
import type http from 'node:http'
import type { Http2Session, ServerHttp2Stream } from 'node:http2'
import type net from 'node:net'
import { currentResponse, symbolOf, type HttpSocket } from './http-state.js'
import { isEventStream, isEventStreamType } from './long-lived.js'
import { isPrivate, notePrivate } from './private-connections.js'
import { latencyBoundsMs, type Report } from './report.js'

/** What has been asked and answered since the process began; see `Report`. */
export type RequestCounts = Pick<Report, 'requests' | 'errors' | 'latency'>

/** On a response or a stream that is counted: when its request came. */
const startedAt = Symbol('holdfast.startedAt')

type Counted<T> = T & { [startedAt]?: number }

/** node:http's own, of every server in the process; see "Built-in Channels" in the documentation of node:diagnostics_channel. */
const startChannel = 'http.server.request.start'
const finishChannel = 'http.server.response.finish'

interface Exchange {
  response: Counted<http.ServerResponse>
  socket: net.Socket
  server: object
}

/** NGHTTP2_INTERNAL_ERROR of RFC 9113, section 7: what node says when a stream is destroyed with an error. */
const internalError = 2

const firstBoundMs = latencyBoundsMs[0] as number

export function noCounts(): RequestCounts {
  return { requests: 0, errors: 0, latency: latencyBoundsMs.map(() => 0).concat(0) }
}

export function addRequestCounts(one: RequestCounts, other: RequestCounts): RequestCounts {
  return {
    requests: one.requests + other.requests,
    errors: one.errors + other.errors,
    latency: one.latency.map((count, index) => count + (other.latency[index] ?? 0)),
  }
}

/** Counts the requests of the servers that are attached, and how they were answered. Those of the private socket are left out. */
export class CountedServers {
  readonly counts = noCounts()
  readonly #servers = new WeakSet<object>()
  #isSubscribed = false

  /** Again is no harm. */
  attach(server: net.Server): void {
    if (this.#servers.has(server)) return
    this.#servers.add(server)
    this.#subscribe()
    server.on('connection', (socket: HttpSocket) => {
      notePrivate(socket)
      this.#watch(socket)
    })
    server.on('secureConnection', (socket: HttpSocket) => this.#watch(socket))
    server.on('session', (session: Http2Session) => this.#watchSession(session))
  }

  #subscribe(): void {
    if (this.#isSubscribed) return
    this.#isSubscribed = true
    subscribe(startChannel, (message) => {
      const { response, socket, server } = message as Exchange
      if (this.#servers.has(server) && !isPrivate(socket)) response[startedAt] = performance.now()
    })
    subscribe(finishChannel, (message) => {
      const { response } = message as Exchange
      const began = response[startedAt]
      if (began !== undefined) this.#count(began, response.statusCode >= 500, mayStream(response) && isEventStream(response))
    })
  }

  /** An answer that never ends is seen at the end of its connection: a listener on each would cost more than all the rest. */
  #watch(socket: HttpSocket): void {
    socket.once('close', () => {
      const response = currentResponse(socket) as Counted<http.ServerResponse> | undefined
      if (response?.[startedAt] === undefined || response.writableFinished || isEventStream(response)) return
      if (!wasLeft(socket)) this.#countCut()
    })
  }

  /** Not by way of `request`, which would have node make requests and responses for an app that uses streams. */
  #watchSession(session: Http2Session): void {
    session.prependListener('stream', (stream: Counted<ServerHttp2Stream>) => {
      if (isPrivate(socketOf(session))) return
      const began = performance.now()
      stream.once('close', () => {
        const { ':status': status, 'content-type': type } = stream.sentHeaders ?? {}
        if (stream.rstCode === 0 && status !== undefined) this.#count(began, Number(status) >= 500, isEventStreamType(type))
        else if (stream.rstCode === internalError) this.#countCut()
      })
    })
  }

  #count(began: number, isError: boolean, isStream: boolean): void {
    const { counts } = this
    counts.requests++
    if (isError) counts.errors++
    if (!isStream) (counts.latency[bucketOf(performance.now() - began)] as number)++
  }

  #countCut(): void {
    this.counts.requests++
    this.counts.errors++
  }
}

/** The first of `latencyBoundsMs` that is not below, found by the rule that they were made by. */
export function bucketOf(ms: number): number {
  const index = Math.ceil(2 * Math.log2(ms / firstBoundMs))
  return Math.min(Math.max(index, 0), latencyBoundsMs.length)
}

/** An answer whose length was not known before, to HTTP/1.0 too: to look at the head of each would be half of what counting costs. */
const mayStream = ({ chunkedEncoding, shouldKeepAlive }: http.ServerResponse): boolean => chunkedEncoding || !shouldKeepAlive

/** Whether a connection ended by the client's doing: it closed its side, it reset the connection, or what it sent made no sense. */
function wasLeft(socket: net.Socket): boolean {
  const { code, syscall } = (socket.errored ?? {}) as NodeJS.ErrnoException
  return socket.readableEnded || syscall !== undefined || Boolean(code?.startsWith('HPE_'))
}

/** `session.socket` is a proxy for it, and there is none any more once the session is destroyed. */
function socketOf(session: Http2Session): object | undefined {
  return session.destroyed ? undefined : symbolOf(session, 'socket') as object | undefined
}
