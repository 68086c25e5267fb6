import http from 'node:http'
import type net from 'node:net'
import { mayClose } from './http-state.js'

type WriteHead = http.ServerResponse['writeHead']
type HeadArguments = [status: number, reason?: unknown, headers?: unknown]

/**
 * From now on every HTTP/1 response of this process says `Connection: close` (RFC 9112, section 9.6), unless `mayClose` says no.
 * Set up when the drain begins, so that it costs nothing before.
 * @param isForced true when a connection must not be kept any longer, whatever is pipelined on it
 * @param onResponse called for each response when its head is written
 */
export function closeAfterResponses(isForced: () => boolean, onResponse: (response: http.ServerResponse) => void): void {
  const writeHead = http.ServerResponse.prototype.writeHead as (this: http.ServerResponse, ...args: HeadArguments) => http.ServerResponse
  http.ServerResponse.prototype.writeHead = function (this: http.ServerResponse, ...args: HeadArguments) {
    onResponse(this)
    const status = Number(args[0])
    const upgrades = status === 101
    if (this.headersSent || upgrades || !(isForced() || mayClose(this))) return writeHead.apply(this, args)
    // A list of headers is left a list: with a header set beside it, node would merge them, and take duplicates and pairs amiss.
    const hasList = args.some(Array.isArray)
    try {
      if (hasList) this.removeHeader('Connection')
      else this.setHeader('Connection', 'close')
    } catch {
      return writeHead.apply(this, args)
    }
    return writeHead.apply(this, args.map((arg) => (Array.isArray(arg) ? closingList(arg) : withoutConnection(arg))) as HeadArguments)
  } as WriteHead
}

const isConnection = (name: unknown): boolean => /^(connection|keep-alive)$/i.test(String(name))

/** A list of headers as node takes it, of pairs or of names and values in turn, that says `Connection: close`. */
function closingList(headers: unknown[]): unknown[] {
  if (headers.length > 0 && headers.every((entry) => Array.isArray(entry))) {
    return [...headers.filter((entry: unknown[]) => !isConnection(entry[0])), ['Connection', 'close']]
  }
  return [...headers.filter((_, index) => !isConnection(headers[index - (index % 2)])), 'Connection', 'close']
}

/** The headers given to writeHead() without those that would bring keep-alive back; anything else as it is. */
function withoutConnection(headers: unknown): unknown {
  if (typeof headers !== 'object' || headers === null) return headers
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !isConnection(name)))
}

/**
 * Hands requests to the app only once all that was received with them is parsed. Otherwise a handler that answers at once would
 * do so before node knows of the requests pipelined behind it, and `Connection: close` would drop them.
 */
export function deferRequests(server: net.Server): void {
  const emit = server.emit.bind(server) as (event: string | symbol, ...args: unknown[]) => boolean
  server.emit = (event: string | symbol, ...args: unknown[]): boolean => {
    // HTTP/2 has its own rules: there the second argument is no http.ServerResponse.
    if (event !== 'request' || !(args[1] instanceof http.ServerResponse)) return emit(event, ...args)
    process.nextTick(emit, event, ...args)
    return true
  }
}
