import type { HistoryEntry } from '../../../src/release/history.js'
import type { Release } from '../../../src/release/release.js'

/** Good releases of a folder, oldest first, a day apart. */
export const releases = (...ids: string[]): Release[] => ids.map((id, day) => release(id, { createdAt: new Date(Date.UTC(2026, 0, 1 + day)).toISOString() }))

export function release(id: string, over: Partial<Release> = {}): Release {
  return {
    id, createdAt: '2026-01-01T00:00:00.000Z', source: { kind: 'directory', path: '/srv/shop', snapshot: true }, fingerprint: id, outcome: 'good', ...over,
  }
}

/**
 * A history in short: `deploy r2` went live, `deploy r3!` failed; a missing kind is a line of version 0.1. `from` is what was
 * live before.
 */
export function historyOf(...lines: string[]): HistoryEntry[] {
  let live: string | undefined
  return lines.map((line, i) => {
    const [word = '', kind] = line.split(' ').reverse() as [string, HistoryEntry['kind']]
    const failed = word.endsWith('!')
    const id = word.replace('!', '')
    const entry: HistoryEntry = {
      at: new Date(Date.UTC(2026, 0, 1, i)).toISOString(), generation: i + 1, release: id, outcome: failed ? 'failed' : 'live', durationMs: 1000,
      ...(kind === undefined ? {} : { kind }), ...(live === undefined ? {} : { from: live }), ...(failed ? { reason: 'it broke' } : {}),
    }
    if (!failed) live = id
    return entry
  })
}
