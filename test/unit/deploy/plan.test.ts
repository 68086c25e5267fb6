import { expect, it } from 'vitest'
import type { RunningInstance } from '../../../src/deploy/observe.js'
import { planHandover } from '../../../src/deploy/plan.js'
import type { State } from '../../../src/release/state.js'
import { unitState } from './unit-state.js'

const instance = (generation: number, active = 'active', sub = 'running'): RunningInstance => ({
  generation, process: 1, state: unitState({ unit: `shop@${generation}.1.service`, active, sub }),
})
const recorded = (generation: number, live?: number): State => ({
  version: 1, generation,
  ...(live === undefined ? {} : { live: { generation: live, release: `r${live}`, processes: 1, since: '2026-01-01T00:00:00Z' } }),
})
const generations = (instances: RunningInstance[]): number[] => instances.map((one) => one.generation)

it.each<[string, State, RunningInstance[], { generation: number; undo: number[]; retire: number[] }]>([
  ['the very first', recorded(0), [], { generation: 1, undo: [], retire: [] }],
  ['the usual one', recorded(42, 42), [instance(42)], { generation: 43, undo: [], retire: [42] }],
  ['while an older one drains', recorded(43, 43), [instance(43), instance(42, 'deactivating', 'stop-sigterm')], { generation: 44, undo: [], retire: [43] }],
  ['after a killed one', recorded(43, 42), [instance(42), instance(43, 'activating', 'start')], { generation: 44, undo: [43], retire: [42] }],
  ['after a killed one that had become ready', recorded(43, 42), [instance(42), instance(43)], { generation: 44, undo: [43], retire: [42] }],
  ['killed before it told the older ones', recorded(43, 43), [instance(42), instance(43)], { generation: 44, undo: [], retire: [42, 43] }],
  // What was recorded is gone: what a killed handover left is all that serves.
  ['with only a leftover up', recorded(43, 42), [instance(43)], { generation: 44, undo: [], retire: [43] }],
  ['while the live one waits for its restart', recorded(43, 42), [instance(42, 'activating', 'auto-restart'), instance(43)], { generation: 44, undo: [], retire: [42, 43] }],
  ['with a record that was lost', recorded(0), [instance(7)], { generation: 8, undo: [], retire: [7] }],
  ['with failed units in memory', recorded(5, 4), [instance(4), instance(5, 'failed', 'failed')], { generation: 6, undo: [], retire: [4] }],
])('plans a handover: %s', (_, state, instances, expected) => {
  const plan = planHandover({ state, instances })
  expect({ generation: plan.generation, undo: generations(plan.undo), retire: generations(plan.retire) }).toEqual(expected)
})
