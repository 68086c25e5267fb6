import { expect, it } from 'vitest'
import type { RunningInstance } from '../../../src/deploy/observe.js'
import { rebuildState, type Remains } from '../../../src/deploy/open-record.js'
import type { HistoryEntry } from '../../../src/release/history.js'
import type { Release } from '../../../src/release/release.js'
import { unitState } from './unit-state.js'

const at = '2026-01-02T00:00:00Z'
const running = (generation: number, active = 'active'): RunningInstance => ({
  generation, process: 1, state: unitState({ unit: `shop@${generation}.1.service`, active, sub: 'running', activeSince: '2026-01-01T00:00:00Z' }),
})
const folder = (generation: number, process = 1): Remains['folders'][number] => ({ generation, process, target: `/var/lib/holdfast/shop/releases/r${generation}` })
const entry = (generation: number, outcome: HistoryEntry['outcome'] = 'live'): HistoryEntry => ({ at, generation, release: `r${generation}`, outcome, durationMs: 1 })
const releases = [1, 2, 3].map((n): Release => ({ id: `r${n}`, createdAt: at, source: { kind: 'directory', path: '/srv', snapshot: true }, fingerprint: '', outcome: 'good' }))
const nothing: Remains = { instances: [], folders: [], releases, history: [] }

it.each<[string, Partial<Remains>, { generation: number; live: number | undefined; since?: string; processes?: number }]>([
  ['of nothing', {}, { generation: 0, live: undefined }],
  ['of what the history says and what runs', { instances: [running(2)], folders: [folder(2), folder(2, 2)], history: [entry(1), entry(2)] }, { generation: 2, live: 2, since: at, processes: 2 }],
  ['after a boot, with nothing up', { folders: [folder(2)], history: [entry(1), entry(2)] }, { generation: 2, live: 2, since: at }],
  ['with a candidate beside the live one', { instances: [running(2), running(3)], folders: [folder(2), folder(3)], history: [entry(2)] }, { generation: 3, live: 2, since: at }],
  ['of what alone serves, whatever the history says', { instances: [running(3)], folders: [folder(2), folder(3)], history: [entry(2)] }, { generation: 3, live: 3, since: '2026-01-01T00:00:00Z' }],
  ['without a history, of the oldest that serves', { instances: [running(2), running(3)], folders: [folder(2), folder(3)] }, { generation: 3, live: 2 }],
  ['without what drains', { instances: [running(1, 'deactivating'), running(2)], folders: [folder(1), folder(2)] }, { generation: 2, live: 2 }],
  ['without a release that is not on disk', { instances: [running(7)], folders: [folder(7)], history: [entry(7)] }, { generation: 7, live: undefined }],
  ['without a deploy that failed, whose number was never given out', { instances: [running(2)], folders: [folder(2)], history: [entry(2), entry(3, 'failed')] }, { generation: 2, live: 2, since: at }],
])('makes the record anew %s', (_, remains, { generation, live, since, processes }) => {
  const state = rebuildState({ ...nothing, ...remains })
  expect(state).toMatchObject({ version: 1, generation })
  expect(state.live?.generation).toBe(live)
  expect(state.wanted).toBe(live === undefined ? undefined : `r${live}`)
  if (since !== undefined) expect(state.live?.since).toBe(since)
  if (processes !== undefined) expect(state.live?.processes).toBe(processes)
})
