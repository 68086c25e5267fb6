import type { HistoryEntry } from '../../release/history.js'
import type { DrainSum } from './drain-sums.js'

/** One element of the answer of `holdfast history APP --json`; documented in docs/cli.md, and stable. */
export interface HistoryRow {
  /** ISO 8601, UTC: when it ended. */
  at: string
  kind: HistoryEntry['kind'] | null
  by: string | null
  /** Null where it came to none. */
  generation: number | null
  from: string | null
  /** Null where it was refused before it had one. */
  release: string | null
  outcome: HistoryEntry['outcome']
  step: string | null
  reason: string | null
  durationMs: number
  /** Of the generation that was live before, where it went live. */
  drain: DrainSum | null
}

/** Handovers and deploys as they are shown, newest first. Pure. */
export function listHistory(history: readonly HistoryEntry[], sums: ReadonlyMap<HistoryEntry, DrainSum>): HistoryRow[] {
  return history
    .map((entry) => ({
      at: entry.at,
      kind: entry.kind ?? null,
      by: entry.by ?? null,
      generation: entry.release === undefined ? null : entry.generation,
      from: entry.from ?? null,
      release: entry.release ?? null,
      outcome: entry.outcome,
      step: entry.step ?? null,
      reason: entry.reason ?? null,
      durationMs: entry.durationMs,
      drain: sums.get(entry) ?? null,
    }))
    .reverse()
}
