import type { HandoverKind } from '../release/history.js'
import type { InstalledApp } from './app.js'

/** One handover to a release on disk, as a deploy or a rollback orders it from the app's unit. */
export interface HandoverOrder {
  /** Of the deploy or rollback. */
  id: string
  release: string
  /** The release that was recorded as live when it began: with another one by now, the order is refused. */
  began: string | undefined
  /** For the history. */
  kind: HandoverKind
  by: string
  /** ISO 8601, UTC: when the deploy began. */
  since: string
  /** Whether `hooks.after_drain` is to run once the older instances have ended. */
  afterDrain: boolean
  /** A file of events, which the handover's sentences are added to. */
  events?: string
}

/** What became of an order. */
export type OrderResult =
  | { kind: 'live'; generation: number; release: string; durationMs: number }
  | { kind: 'failed'; reason: string; log: string[]; serving: number | undefined; hint?: string }

/**
 * Has systemd restart the app's unit, whose handover brings this release up, and waits for what became of it. A
 * caller that ends meanwhile changes nothing of it.
 * @throws HoldfastError `systemd-failed` or `state-changed`
 */
export async function orderHandover(_app: InstalledApp, _order: HandoverOrder): Promise<OrderResult> {
  throw new Error('not built yet')
}
