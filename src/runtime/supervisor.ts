import type { StopReason } from './environment.js'
import type { LedgerCounts } from './ledger.js'
import type { Waiting } from './waiting.js'

/** What a process is told when it is to drain. */
export interface DrainOrder {
  reason: StopReason
  /** Milliseconds from now to the hard end. */
  timeoutMs: number
  /** The most WebSockets and event streams that it may close per second. */
  reconnectRate: number
}

/** How far a drain is. */
export interface DrainProgress {
  waiting: Waiting
  /** So far. */
  counts: LedgerCounts
}

/** What became of a drain. */
export interface DrainOutcome extends DrainProgress {
  reason: StopReason
  durationMs: number
  /** Aborted when the hard end has come. */
  over: AbortSignal
}

/** Whom a drain answers to: systemd or, in a worker of node:cluster, the primary. */
export interface Supervisor {
  /** Calls back when this process is to drain, and again when there may be a new order. */
  onOrder(callback: () => void): void
  /** The order as it is now. */
  order(): DrainOrder
  /** The drain has begun: nothing more is accepted. */
  begin(progress: DrainProgress, order: DrainOrder): void
  /** The order has changed while the drain goes on; `timeoutMs` is what is left by now. */
  change(order: DrainOrder): void
  /** To be called about once a second: how far it is, and a sign of life. */
  report(progress: DrainProgress): void
  /** Lets the app's own SIGTERM handlers have the signal, once. */
  passSignal(): void
  /**
   * To be asked when nothing is left in this process. Settles when all that had been on its way to it has arrived; if that was
   * anything, there may be more.
   */
  settled(): Promise<void>
  /** The drain is over. Settles never where the process ends with it. */
  end(outcome: DrainOutcome): Promise<void>
}
