/**
 * What a handover tells an instance through its environment, next to systemd's own LISTEN_FDS,
 * LISTEN_FDNAMES, NOTIFY_SOCKET and WATCHDOG_USEC. Written by deploy/, read by the runtime: the one
 * place where both sides meet.
 */
export interface InstanceEnvironment {
  HOLDFAST_APP: string
  /** The release's id. */
  HOLDFAST_RELEASE: string
  /** A decimal number, increasing with each handover. */
  HOLDFAST_GENERATION: string
  /** `<generation>.<process>`, the instance name of the unit. */
  HOLDFAST_INSTANCE: string
  /** JSON: a `ListenerEnvironment[]`. */
  HOLDFAST_LISTEN: string
  /** Milliseconds from SIGTERM to the hard end of the drain; systemd kills a little later. */
  HOLDFAST_DRAIN_TIMEOUT_MS: string
  /** Milliseconds to the hard end when the machine shuts down, counted from when that is known. */
  HOLDFAST_SHUTDOWN_TIMEOUT_MS: string
  /** Milliseconds of silence after which systemd takes a draining instance for hung (TimeoutStopSec=). */
  HOLDFAST_HANG_TIMEOUT_MS: string
  /** Milliseconds over which WebSockets and event streams are closed, so that clients do not all come back at once. */
  HOLDFAST_RECONNECT_WINDOW_MS: string
  /** The most of them that are closed per second. */
  HOLDFAST_RECONNECT_RATE: string
  /** As long as this file is there, a new process accepts nothing on the public listeners, and takes no exclusive work. Not there: it does at once. */
  HOLDFAST_HOLD_FILE: string
  /** Path of the inherited unix socket (fd name `private`) that reaches this one instance, held back or not. Not set: there is none. */
  HOLDFAST_PRIVATE_SOCKET?: string
  /** The listener whose server answers on the private socket. Set with it, but for an app without listeners. */
  HOLDFAST_PRIVATE_LISTENER?: string
  /** Path of the inherited unix socket (fd name `private` too) that tells a `Report` to each connection. Set with the private socket. */
  HOLDFAST_REPORT_SOCKET?: string
  /** A file in which root says why this instance is stopped: a `StopReason`. Not there: somebody stopped the unit. */
  HOLDFAST_STOP_FILE: string
}

/**
 * Why an instance is to drain:
 * - `deploy`: another generation takes over; clients that come back find it
 * - `stop`: somebody stopped the app or the unit; nothing may be there to come back to
 * - `shutdown`: the machine goes down, and waits for a shorter time. A drain of another reason may turn into this one
 */
export type StopReason = 'deploy' | 'stop' | 'shutdown'

/** One listener as the instance is told of it. */
export interface ListenerEnvironment {
  /** The fd name in LISTEN_FDNAMES. */
  name: string
  /** As written in `[listen]`: `127.0.0.1:8080`, `[::1]:8080`, `8080`, or an absolute path. */
  address: string
  /** Of the socket unit as it is in force, drop-ins included: node's own listen(2) would lower it. */
  backlog: number
}
