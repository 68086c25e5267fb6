/**
 * What an app imports from `holdfast`. Outside systemd all of it is inert: `listen()` listens on the port given, logs go to the
 * console, and the rest does nothing.
 */
import type net from 'node:net'
import type { ConnectionHook, DrainHook } from './drain-hooks.js'
import type { ExclusiveFunction } from './exclusive.js'
import type { Instance } from './instance.js'
import type { JobFunction, JobOptions } from './jobs.js'
import type { Log } from './journal.js'
import type { ConnectionKind } from './long-lived.js'
import type { NotifyOutcome } from './notify.js'
import type { ListenTarget } from './runtime.js'
import { sharedRuntime } from './shared.js'

export type { ConnectionHook, DrainContext, DrainHook } from './drain-hooks.js'
export type { StopReason } from './environment.js'
export type { ExclusiveContext, ExclusiveFunction } from './exclusive.js'
export type { Instance } from './instance.js'
export type { JobContext, JobFunction, JobOptions } from './jobs.js'
export type { JournalEntry, Log, LogFunction } from './journal.js'
export type { ConnectionKind, DrainingConnection } from './long-lived.js'
export type { NotifyOutcome } from './notify.js'
export type { ListenTarget } from './runtime.js'

const runtime = sharedRuntime()

/** App, release, generation and instance name of this process; undefined outside Holdfast. */
export const instance: Instance | undefined = runtime.instance

/** Writes to the journal with the fields HOLDFAST_APP, _RELEASE, _GENERATION and _INSTANCE. Never throws. */
export const log: Log = runtime.log

/** Aborted when the drain begins: for loops and long polls that shall end then. Never outside systemd. */
export const draining: AbortSignal = runtime.drain.signal

/** One inherited listener; `listening` once a server of this process accepts on it. */
export interface ListenerInfo {
  name: string
  /** As in `[listen]`: `host:port`, `[v6]:port`, a port, or a path. */
  address: string | undefined
  fd: number
  listening: boolean
}

/** The listeners that systemd passed to this process; empty outside. */
export function listeners(): ListenerInfo[] {
  return runtime.listeners()
}

/**
 * Makes a server (node:http, https, http2, net) listen, and drain on SIGTERM. Under systemd it accepts on the inherited listener
 * with that name, port or path, or on the only one there is; otherwise, and outside, it binds the port or path given.
 * @param target a listener's name, a port, an absolute path, or an object; a name alone is not enough outside systemd
 * @returns settles when the server listens; rejects with the server's own error, or with a HoldfastError (`usage`) when there is
 *   neither such a listener nor a port or path
 */
export function listen<T extends net.Server>(server: T, target: string | number | ListenTarget = {}): Promise<T> {
  if (typeof target === 'number') return runtime.listen(server, { port: target })
  if (typeof target === 'string') return runtime.listen(server, target.startsWith('/') ? { path: target } : { name: target })
  return runtime.listen(server, target)
}

/**
 * Tells systemd that this instance can serve (READY=1, sd_notify(3)). The handover waits for it. Sent once; with
 * `holdfast/register` it is sent by itself, and this is no harm.
 */
export function ready(): NotifyOutcome {
  return runtime.ready()
}

/** Sets the line that `systemctl status` shows; at most one per second is sent, the newest wins. */
export function status(text: string): NotifyOutcome {
  return runtime.status(text)
}

/**
 * Settles when this instance is let in. Before that it is in standby: a handover looks at a new release, over a socket of its own,
 * before it accepts anything. For what an app does by itself and must not do twice, or not for a release that may never go live,
 * such as taking messages from a queue. Settles at once outside systemd, and in an instance that is not held back; never in one
 * that is stopped before. Do not wait for it before `listen()`: a release that never listens is not let in.
 */
export function whenLive(): Promise<void> {
  return runtime.whenLive()
}

/**
 * Runs a function when the drain begins. The process lives until its promise settles, or until the hard end
 * (`drain.timeout`), when `context.signal` is aborted. An error is logged and changes nothing else.
 */
export function onDrain(hook: DrainHook): void
/**
 * Runs a function for each connection of a kind that a drain finds, one after the other over `drain.reconnect_window`, in place
 * of what is done by default: a WebSocket is closed with 1001, an event stream ended, tunnels and other requests are left alone.
 * `connection.close()` does the default.
 * @throws TypeError for a kind that does not exist
 */
export function onDrain(kind: ConnectionKind, hook: ConnectionHook): void
export function onDrain(...args: [hook: DrainHook] | [kind: ConnectionKind, hook: ConnectionHook]): void {
  runtime.onDrain(...args)
}

/**
 * Runs a function at once, and tracks it until its promise settles: a drain waits for it, up to `drain.timeout`, and
 * `systemctl status` names it. A job that is started while the process drains is run and tracked as well; `draining` is what
 * says to take no new ones.
 * @param name for people, in the status and the log; need not be unique
 * @param fn gets `{ signal, heartbeat }`: `signal` is aborted when the drain's deadline nears (a tenth of the time before, at
 *   most 30 s), so that the job can save or requeue what it has
 * @param options `heartbeatTimeoutMs`: a job that calls no `heartbeat()` for so long is not waited for
 * @returns what the function returns; rejects with its error, or with a TypeError when an argument is none
 */
export function job<T>(name: string, fn: JobFunction<T>, options?: JobOptions): Promise<T> {
  return runtime.job(name, fn, options)
}

/**
 * Runs a function in one process of the app at a time, whatever generations and processes there are: once this instance is let in
 * (see `whenLive`), at once when no other has work of that name, otherwise when the other has ended or died, the newest generation first. It is expected to run until
 * `signal` is aborted, which happens when the drain begins, and counts as a job.
 * @param name of the lock, one per app; outside systemd there is none
 * @param fn gets `{ signal }`; when it settles, the lock is free, and this process does not take it again by itself
 * @returns settles when the function has, or when the drain began before it was its turn; rejects with the function's error
 *   (which is logged, too), with a TypeError when an argument is none or the name is in use in this process, and with an Error
 *   when the operating system refuses the lock
 */
export function exclusive(name: string, fn: ExclusiveFunction): Promise<void> {
  return runtime.exclusive(name, fn)
}
