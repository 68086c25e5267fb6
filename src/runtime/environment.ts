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
}

/** One listener as the instance is told of it. */
export interface ListenerEnvironment {
  /** The fd name in LISTEN_FDNAMES. */
  name: string
  /** As written in `[listen]`: `127.0.0.1:8080`, `[::1]:8080`, `8080`, or an absolute path. */
  address: string
  /** Of the socket unit as it is in force, drop-ins included: node's own listen(2) would lower it. */
  backlog: number
}
