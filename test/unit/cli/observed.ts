/** What tests of `status` and `doctor` observe: an app that is live, changed as each test needs. */
import type { ListenerFacts } from '../../../src/deploy/listeners/listener-facts.js'
import type { AppObservation, ObservedInstance } from '../../../src/deploy/observe/observe-app.js'
import { pathsOf, placesOf } from '../../../src/release/paths.js'
import type { UnitState } from '../../../src/systemd/systemd.js'

export function unit(name: string, change: Partial<UnitState> = {}): UnitState {
  return {
    unit: name, load: 'loaded', active: 'active', sub: 'running', result: 'success', mainPid: 0, restarts: 0, exit: undefined,
    invocation: 'x', status: '', activeSince: '2026-01-01T00:00:00.000Z', memory: undefined, ...change,
  }
}

export function instance(generation: number, change: Partial<UnitState> = {}, process = 1): ObservedInstance {
  const state = unit(`shop@${generation}.${process}.service`, { mainPid: 100 + generation, ...change })
  return { generation, process, state, heldBack: false, changedAt: '2026-01-01T00:01:00.000Z', memory: 50 * 2 ** 20 }
}

/** One that systemd holds, and generation 2 accepts on. */
export function listener(change: Partial<UnitState> = {}, facts: Partial<ListenerFacts> = {}): ListenerFacts {
  return {
    listener: 'http', state: unit('shop-http.socket', { sub: 'listening', ...change }), address: { kind: 'tcp', host: '127.0.0.1', port: 8080 },
    believed: ['127.0.0.1:8080'], isBelieved: true, foreignFile: undefined, hasPath: true,
    sockets: ['11'], held: ['11'], instances: [{ unit: 'shop@2.1.service', open: ['11'] }], ...facts,
  }
}

export function observed(change: Partial<AppObservation> = {}): AppObservation {
  return {
    paths: pathsOf(placesOf('system'), 'shop'),
    units: ['shop.service', 'shop-http.socket', 'shop@.service'],
    live: { generation: 2, release: 'r2', processes: 1, since: '2026-01-01T00:00:00.000Z' },
    liveRelease: undefined,
    deploy: undefined,
    afterDrain: undefined,
    held: undefined,
    heldRelease: undefined,
    wanted: undefined,
    lastHandover: { at: '2026-01-01T00:00:00.000Z', generation: 2, release: 'r2', from: 'r1', outcome: 'live', durationMs: 1234 },
    service: unit('shop.service', { sub: 'exited' }),
    drain: unit('shop-drain.service', { sub: 'exited' }),
    jobs: { service: undefined, drain: undefined },
    activate: unit('shop-activate.service', { active: 'inactive', sub: 'dead' }),
    listeners: [listener()],
    preview: undefined,
    instances: [instance(2)],
    releases: new Map([[2, 'r2']]),
    missingFiles: [],
    ...change,
  }
}
