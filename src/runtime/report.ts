/**
 * What an instance tells of itself to whoever connects to its report socket: one line of JSON, then the end. Counters
 * grow from the start of the process; a restart begins anew with another `startedAt`.
 */
export interface Report {
  version: 1
  pid: number
  /** ISO 8601, UTC. */
  startedAt: string
  /** Whether it accepts on every public listener that the app listens on. */
  accepting: boolean
  draining: boolean
  /** Open, over all servers and workers. */
  connections: number
  /** Requests that are being answered. WebSockets and event streams are not among them. */
  inFlight: number
  webSockets: number
  eventStreams: number
  jobs: number
  /** On the public listeners: HTTP requests that have been answered. */
  requests: number
  /** Of these, with a status of 500 and above, or cut off by the server's side before the end of the answer. */
  errors: number
  /**
   * Of these, how many took how long from the request's head to the end of the answer: one count for each bound of
   * `latencyBoundsMs`, and a last one for all that took longer. Event streams are not among them.
   */
  latency: number[]
}

/** Upper bounds of the counts in `Report.latency`, in milliseconds: each is 2^(1/2) of the one before. */
export const latencyBoundsMs: readonly number[] = Array.from({ length: 40 }, (_, i) => 0.25 * 2 ** (i / 2))
