import type http from 'node:http'
import type { ServerHttp2Stream } from 'node:http2'
import type { Duplex } from 'node:stream'
import { symbolOf } from './http-state.js'
import { webSocketRequest } from './upgrades.js'

/**
 * - `websocket`: a connection that became one
 * - `event-stream`: a response of type text/event-stream
 * - `tunnel`: a connection that left HTTP for anything else, by CONNECT or by an upgrade
 * - `request`: any other request in flight, such as a long poll
 */
export type ConnectionKind = (typeof connectionKinds)[number]

export const connectionKinds = ['websocket', 'event-stream', 'tunnel', 'request'] as const

/** A connection or request that a drain finds, as drain hooks see it. */
export interface DrainingConnection {
  readonly kind: ConnectionKind
  /** The connection; of HTTP/2 the stream. */
  readonly socket: Duplex
  /** The request; undefined for tunnels and for HTTP/2. */
  readonly request: http.IncomingMessage | undefined
  /** The response; undefined for WebSockets, tunnels and HTTP/2. */
  readonly response: http.ServerResponse | undefined
  /**
   * Asks the client to come back: a WebSocket is closed with 1001 (going away, RFC 6455, section 7.4.1), an event stream ends.
   * A tunnel's own side is ended; of a request nothing happens.
   */
  close(): void
}

/** Close frame, not masked, with a body of 2 bytes: the status 1001. RFC 6455, section 5.5.1. */
const goingAway = 1001
const closeFrame = Buffer.from([0x88, 0x02, goingAway >> 8, goingAway & 0xff])

/** Milliseconds that a client gets to answer it, as in the package `ws`. */
const closeTimeoutMs = 30_000

export function webSocket(socket: Duplex): DrainingConnection {
  return { kind: 'websocket', socket, request: webSocketRequest(socket), response: undefined, close: () => closeWebSocket(socket) }
}

export function tunnel(socket: Duplex): DrainingConnection {
  return { kind: 'tunnel', socket, request: undefined, response: undefined, close: () => void socket.end() }
}

/** A request in flight of HTTP/1, or an event stream when its head says so. */
export function exchange(response: http.ServerResponse, socket: Duplex): DrainingConnection {
  const kind = isEventStream(response) ? 'event-stream' : 'request'
  const close = (): void => {
    if (kind === 'event-stream') endForGood(response)
  }
  return { kind, socket, request: response.req, response, close }
}

/** The same of HTTP/2. */
export function stream(socket: ServerHttp2Stream): DrainingConnection {
  const kind = isEventStreamType(socket.sentHeaders?.['content-type']) ? 'event-stream' : 'request'
  const close = (): void => {
    if (kind === 'event-stream') endForGood(socket)
  }
  return { kind, socket, request: undefined, response: undefined, close }
}

/** By the head as it was written: what is given to writeHead() is in none of the header accessors. */
export function isEventStream(response: http.ServerResponse): boolean {
  const { _header: head } = response as { _header?: string | null }
  return typeof head === 'string' && /^content-type:\s*text\/event-stream\b/im.test(head)
}

export const isEventStreamType = (contentType: unknown): boolean => /^text\/event-stream\b/i.test(String(contentType ?? ''))

/** A server that writes after the end would crash the app, which does not know of it yet; it learns by `close`. */
function endForGood(writable: http.ServerResponse | ServerHttp2Stream): void {
  writable.end()
  mute(writable)
}

/**
 * The package `ws`, which nearly everything else builds upon, has the connection's object on the socket and closes it in order.
 * Of any other library the frame is written past it; it sees the client's answer and ends the connection, and what it still
 * writes is dropped, since nothing may follow a close frame.
 */
function closeWebSocket(socket: Duplex): void {
  const library = symbolOf(socket, 'websocket') as { close?: unknown } | undefined
  if (library && typeof library.close === 'function') {
    library.close(goingAway)
    return
  }
  socket.write(closeFrame)
  mute(socket)
  const timer = setTimeout(() => socket.destroy(), closeTimeoutMs).unref()
  socket.once('close', () => clearTimeout(timer))
}

/** Nothing more is written; `end()` still ends, without data. */
function mute(writable: Duplex | http.ServerResponse): void {
  const { end } = writable
  const callbackOf = (args: unknown[]): unknown => args.findLast((arg) => typeof arg === 'function')
  const write = (...args: unknown[]): boolean => {
    const callback = callbackOf(args)
    if (typeof callback === 'function') process.nextTick(callback)
    return false
  }
  const endOnly = (...args: unknown[]): unknown => (end as (callback?: unknown) => unknown).call(writable, callbackOf(args))
  Object.defineProperty(writable, 'write', { value: write, configurable: true, writable: true })
  Object.defineProperty(writable, 'end', { value: endOnly, configurable: true, writable: true })
}
