/** What a drain still waits for. */
export interface Waiting {
  connections: number
  requests: number
  upgraded: number
  hooks: number
}

/** What became of the work that a drain found or still got. */
export interface Ledger {
  /** Open when the drain began. */
  connections: number
  /** In flight when the drain began, and received since on kept connections. */
  requests: number
  /** Responses written to their end. */
  answered: number
  /** Responses that ended before they were written: the client went away, or the app destroyed the connection. */
  aborted: number
  cutConnections: number
  cutRequests: number
  cutHooks: number
}

export function newLedger(): Ledger {
  return { connections: 0, requests: 0, answered: 0, aborted: 0, cutConnections: 0, cutRequests: 0, cutHooks: 0 }
}

/** `draining: 3 requests, 12 connections`, for `systemctl status`. */
export function formatWaiting(waiting: Waiting): string {
  const parts = [
    count(waiting.requests, 'request'),
    count(waiting.connections, 'connection'),
    count(waiting.upgraded, 'upgraded socket'),
    count(waiting.hooks, 'drain hook'),
  ].filter((part) => part !== undefined)
  return `draining: ${parts.length > 0 ? parts.join(', ') : 'nothing in flight'}`
}

/** One sentence for the end of a drain. */
export function formatLedger(ledger: Ledger, durationMs: number): string {
  const ended = Math.max(0, ledger.connections - ledger.cutConnections)
  const done = [
    `${number(ended, 'connection')} ended`,
    `${number(ledger.answered, 'request')} answered`,
    ...(ledger.aborted > 0 ? [`${number(ledger.aborted, 'request')} ended early, by the client or by the app itself`] : []),
  ]
  const cut = ledger.cutConnections + ledger.cutHooks === 0
    ? 'nothing was cut'
    : `cut: ${number(ledger.cutConnections, 'connection')}, ${number(ledger.cutRequests, 'request')}, ${number(ledger.cutHooks, 'drain hook')}`
  return `drained in ${(durationMs / 1000).toFixed(1)} s: ${done.join(', ')}; ${cut}`
}

/** `1 request`, `2 requests`. */
export function number(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

function count(amount: number, noun: string): string | undefined {
  return amount === 0 ? undefined : number(amount, noun)
}
