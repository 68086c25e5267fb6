import { describe, expect, it } from 'vitest'
import type { AppObservation } from '../../../../src/deploy/observe/observe-app.js'
import { changeEvents, ratesEvent, snapshotEvent, type WatchEvent } from '../../../../src/deploy/observe/watch-events.js'
import type { Look } from '../../../../src/deploy/observe/watch-app.js'
import type { DrainedRequests } from '../../../../src/deploy/observe/watch-story.js'
import { instance, unit } from '../../cli/observed.js'
import { rates, report, view } from '../../cli/watched.js'

const look = (change: Partial<AppObservation>, more: Partial<Look> = {}): Look => ({ view: view(change), ended: [], deployEvents: [], ...more })
const between = (before: Partial<AppObservation>, after: Partial<AppObservation>, more: Partial<Look> = {}, drains = new Map<number, DrainedRequests>()): WatchEvent[] =>
  changeEvents(view(before), look(after, more), drains)
const at = '2026-01-01T00:03:20.000Z'
const starting = { active: 'activating', sub: 'start' }
const draining = { active: 'deactivating', sub: 'stop-sigterm' }

it('nothing has happened where nothing has changed', () => expect(between({}, {})).toEqual([]))

describe('a phase', () => {
  const phases = (before: AppObservation['instances'], after: AppObservation['instances']): [string, unknown, unknown][] =>
    between({ instances: before }, { instances: after }).flatMap((event) => (event.type === 'phase' ? [[event.unit, event.from, event.to]] : []))

  it('is told when it changes, begins and ends', () => {
    expect(phases([instance(2)], [instance(2), instance(3, starting)])).toEqual([['shop@3.1.service', null, 'starting']])
    expect(phases([instance(3, starting)], [{ ...instance(3), heldBack: true }])).toEqual([['shop@3.1.service', 'starting', 'standby']])
    expect(phases([instance(1, draining)], [])).toEqual([['shop@1.1.service', 'draining', null]])
  })

  it('is told of one that has ended and come back between two looks', () => {
    expect(phases([instance(2)], [instance(2, { restarts: 1 })])).toEqual([['shop@2.1.service', 'live', 'live']])
  })
})

it('each line of the history is an event of its own', () => {
  const ended = [
    { at, generation: 3, release: 'r3', from: 'r2', outcome: 'live', durationMs: 900, kind: 'deploy', by: 'anna' },
    { at, generation: 4, outcome: 'failed', reason: 'no memory', step: 'handover', durationMs: 12 },
    { at, generation: 5, release: 'r5', outcome: 'held', durationMs: 9 },
  ] as const
  const held = { generation: 5, release: 'r5', processes: 1, kind: 'hold', since: at, expires: '2026-01-02T00:00:00Z', afterDrain: false } as const
  expect(between({ held }, { held }, { ended: [...ended] })).toEqual([
    { type: 'live', at, app: 'shop', kind: 'deploy', by: 'anna', generation: 3, release: 'r3', previousRelease: 'r2', step: null, reason: null, durationMs: 900 },
    { type: 'failed', at, app: 'shop', kind: null, by: null, generation: null, release: null, previousRelease: null, step: 'handover', reason: 'no memory', durationMs: 12 },
    { type: 'held', at, app: 'shop', kind: null, by: null, generation: 5, release: 'r5', previousRelease: null, step: null, reason: null, durationMs: 9, expires: '2026-01-02T00:00:00Z' },
  ])
})

describe('a generation has drained', () => {
  const drained = (before: AppObservation['instances'], after: AppObservation['instances'], drains?: Map<number, DrainedRequests>): WatchEvent[] =>
    between({ instances: before }, { instances: after }, {}, drains).filter(({ type }) => type === 'drained')

  it('once its last process is gone', () => {
    const two = [instance(1, draining), instance(1, draining, 2)]
    expect(drained([instance(2), ...two], [instance(2), instance(1, draining)])).toEqual([])
    expect(drained([instance(2), ...two], [instance(2)], new Map([[1, { requestsAnswered: 7, requestsAborted: 1, requestsCut: 2 }]]))).toEqual([
      { type: 'drained', at, app: 'shop', generation: 1, release: null, durationMs: 140_000, requestsAnswered: 7, requestsAborted: 1, requestsCut: 2 },
    ])
  })
  it('also where that was too short to be seen, and where nothing was logged', () => {
    expect(drained([instance(2), instance(1)], [instance(2)])).toMatchObject([{ generation: 1, durationMs: null, requestsCut: null }])
  })
  it('not one that never answered, or failed', () => {
    expect(drained([instance(2), instance(3, starting), instance(4, { active: 'failed' })], [instance(2)])).toEqual([])
  })
})

it('the state is told with what is wrong', () => {
  expect(between({}, { instances: [] })).toContainEqual({
    type: 'state', at, app: 'shop', from: 'live', to: 'idle', serving: false,
    problems: [{ what: 'generation 2 is recorded as live, but shop@2.1.service is inactive', mend: 'systemctl start shop@2.1.service' }],
  })
  expect(between({}, { service: unit('shop.service', { active: 'activating', sub: 'start' }) })).toMatchObject([{ type: 'state', from: 'live', to: 'handover', serving: true, problems: [] }])
})

it('the events of a deploy are passed on, at their own time', () => {
  const events = [{ id: 'd1', event: { type: 'step', step: 'fetch', state: 'began', at: '2026-01-01T00:03:19.000Z' } }, { id: 'd1', event: { type: 'output', step: 'fetch', line: 'x' } }] as const
  expect(between({}, {}, { deployEvents: [...events] })).toEqual([
    { type: 'deploy', at: '2026-01-01T00:03:19.000Z', app: 'shop', id: 'd1', event: events[0].event },
    { type: 'deploy', at, app: 'shop', id: 'd1', event: events[1].event },
  ])
})

it('a snapshot has the answer of status --json as it is, and the load beside it', () => {
  const seen = view({}, { '2.1': { report: report({ inFlight: 3, connections: 9, jobs: 1 }), rates: rates() } }, rates())
  const event = snapshotEvent(seen)
  if (event.type !== 'snapshot') throw new Error()
  const { instances, ...status } = seen.status
  expect(event.status).toEqual({ ...status, instances: instances.map(({ report: _report, rates: _rates, ...one }) => one) })
  expect(event.load).toEqual({ inFlight: 3, connections: 9, webSockets: 0, eventStreams: 0, jobs: 1, rates: rates() })
  expect(ratesEvent(seen)).toEqual({
    type: 'rates', at, app: 'shop', load: event.load,
    instances: [{ unit: 'shop@2.1.service', generation: 2, process: 1, phase: 'live', memoryBytes: 50 * 2 ** 20, accepting: true, inFlight: 3, connections: 9, webSockets: 0, eventStreams: 0, jobs: 1, rates: rates() }],
  })
  // What nobody tells is null, and not nothing.
  expect(ratesEvent(view())).toMatchObject({ load: { inFlight: null, rates: null }, instances: [{ connections: null, accepting: null, rates: null }] })
})
