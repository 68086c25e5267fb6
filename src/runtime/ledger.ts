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
  /** Responses that the client did not wait for. */
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
  const ended = ledger.connections - Math.min(ledger.connections, ledger.cutConnections)
  return (
    `drained in ${(durationMs / 1000).toFixed(1)} s: ${ended} connections ended, ${ledger.answered} requests answered, ` +
    `${ledger.aborted} given up by their clients, ${ledger.cutConnections} connections and ${ledger.cutRequests} requests cut`
  )
}

function count(number: number, noun: string): string | undefined {
  return number === 0 ? undefined : `${number} ${noun}${number === 1 ? '' : 's'}`
}
