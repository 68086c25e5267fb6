/** What tests of `status` and `doctor` observe: an app that is live, changed as each test needs. */
import type { AppObservation, ObservedInstance, ObservedListener } from '../../../src/deploy/observe-app.js'
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

export function listener(change: Partial<UnitState> = {}): ObservedListener {
  return { name: 'http', state: unit('shop-http.socket', { sub: 'listening', ...change }), addresses: ['127.0.0.1:8080'] }
}

export function observed(change: Partial<AppObservation> = {}): AppObservation {
  return {
    paths: pathsOf(placesOf('system'), 'shop'),
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
    activate: unit('shop-activate.service', { active: 'inactive', sub: 'dead' }),
    listeners: [listener()],
    instances: [instance(2)],
    releases: new Map([[2, 'r2']]),
    missingFiles: [],
    ...change,
  }
}
