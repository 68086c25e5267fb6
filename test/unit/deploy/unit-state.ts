import type { UnitState } from '../../../src/systemd/systemd.js'

/** A unit that runs well, but for what is given. */
export function unitState(over: Partial<UnitState> = {}): UnitState {
  return {
    unit: 'shop@1.1.service', load: 'loaded', active: 'active', sub: 'running', result: 'success', mainPid: 100, restarts: 0,
    exit: undefined, invocation: 'a', status: '', activeSince: undefined, memory: undefined, ...over,
  }
}
