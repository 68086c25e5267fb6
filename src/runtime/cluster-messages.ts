import type { EventEmitter } from 'node:events'
import type { RequestCounts } from './request-counts.js'
import type { DrainOrder, DrainProgress } from './supervisor.js'
import type { Waiting } from './waiting.js'

/**
 * What a worker of node:cluster tells the primary about its runtime:
 * - `hello`: there is one
 * - `report`: how far its drain is, about once a second
 * - `idle`: nothing is left in it; a connection may be on its way
 * - `ended`: its drain is over
 * - `counted`: the answer to `count`
 */
export type WorkerMessage = { act: 'hello' } | { act: 'idle' } | ({ act: 'report' | 'ended' } & DrainProgress) | ({ act: 'counted' } & WorkerCount)

/** What a worker has and had, at any time. */
export interface WorkerCount {
  open: Waiting
  counts: RequestCounts
}

/**
 * What the primary tells a worker:
 * - `drain`: to begin, or to go on under another order
 * - `settled`: all workers are idle, and by now it has got everything that was on its way
 * - `count`: to say what it has and had
 * - `private`: a connection of the private socket comes next, to one of the workers
 */
export type PrimaryMessage = { act: 'drain'; order: DrainOrder } | { act: 'settled' } | { act: 'count' } | { act: 'private'; inode: number }

/**
 * node keeps messages whose `cmd` begins with NODE_ from the app: they come as `internalMessage`, and never as `message`. It
 * keeps the order of all messages, connections that are handed over included.
 */
const command = 'NODE_HOLDFAST'

/** One end of the channel between a primary and a worker. */
interface Channel {
  send?(message: object, callback: (error: Error | null) => void): boolean
}

/** Sends a message; where nobody listens any more it is lost. */
export function tell(channel: Channel, message: WorkerMessage | PrimaryMessage): void {
  channel.send?.({ cmd: command, ...message }, () => {})
}

/** What a worker asks of node:cluster in the primary. */
interface Query {
  cmd?: string
  act?: string | undefined
  /** -1 for a path. */
  port?: number
  addressType?: number | string
}

/**
 * Lets no `listen()` of a worker reach node:cluster from when `isWithheld` says so: it neither settles nor fails. Sockets of UDP
 * and port 0 are the worker's own affair. To be called before the worker says anything.
 */
export function withholdListens(channel: unknown, isWithheld: () => boolean, callback: () => void): void {
  ;(channel as EventEmitter).prependListener('internalMessage', (message: Query) => {
    if (message.cmd !== 'NODE_CLUSTER' || message.act !== 'queryServer' || !isWithheld()) return
    if (message.port === 0 || String(message.addressType).startsWith('udp')) return
    // To node, a message like any other that is none of its own.
    message.act = undefined
    callback()
  })
}

/** Calls back for each message of the other side. */
export function hear<T extends WorkerMessage | PrimaryMessage>(channel: unknown, callback: (message: T) => void): void {
  ;(channel as EventEmitter).on('internalMessage', (message: T & { cmd?: string }) => {
    if (message.cmd === command) callback(message)
  })
}
