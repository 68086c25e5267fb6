import { activateService, isListenerSocket } from '../units/names.js'
import type { Places } from '../release/paths.js'
import type { Systemd } from '../systemd/systemd.js'
import { closeListeners } from './listeners/listener-close.js'
import { isDraining, isUp } from './observe.js'
import { closeAllPrivateSockets } from './retire.js'
import { observeApp, type ObservedInstance } from './observe/observe-app.js'

export type StopOutcome =
  /** `killed`: units that did not end by themselves before their deadline. */
  | { kind: 'stopped'; killed: string[] }
  /** Somebody started the app again in the meantime. */
  | { kind: 'started-again' }

const pollMs = 250

/**
 * Stops an app and waits until its listeners are closed and every instance has drained. The stop is
 * systemd's own: it goes on when this process ends.
 * @throws HoldfastError `not-installed`, `state-corrupt` or `systemd-failed`
 */
export async function stopApp(
  places: Places, app: string, systemd: Systemd, onWait: (left: readonly ObservedInstance[]) => void,
): Promise<StopOutcome> {
  const before = await observeApp(places, app, systemd)
  const { service, drain, listeners, instances } = before
  const draining = new Set<string>()
  // Of an inactive drain unit systemd runs no ExecStop=: what it would have stopped is named here.
  if (drain.active !== 'active') {
    await closeListeners(systemd, app, before.units.filter(isListenerSocket), before.units)
    await closeAllPrivateSockets(systemd, app)
  }
  await systemd.queueStop([
    service.unit,
    drain.unit,
    ...(drain.active === 'active' ? [] : [
      ...(listeners.length === 0 ? [] : [activateService(app)]),
      ...instances.filter(isUp).map(({ state }) => state.unit),
    ]),
  ])
  for (;;) {
    const now = await observeApp(places, app, systemd)
    const left = now.instances.filter((instance) => isUp(instance) || isDraining(instance))
    for (const { state } of left) draining.add(state.unit)
    const isOver = [now.service, now.drain, ...now.listeners.map(({ state }) => state)].every(
      ({ active }) => active === 'inactive' || active === 'failed',
    )
    if (left.length === 0 && isOver) {
      const killed = now.instances.filter(({ state }) => draining.has(state.unit) && state.result === 'timeout')
      return { kind: 'stopped', killed: killed.map(({ state }) => state.unit) }
    }
    if (await wasStartedAgain(systemd, now.service.unit, now.service.active)) return { kind: 'started-again' }
    onWait(left)
    await new Promise((resolve) => setTimeout(resolve, pollMs))
  }
}

async function wasStartedAgain(systemd: Systemd, unit: string, active: string): Promise<boolean> {
  if (active === 'deactivating') return false
  const job = await systemd.job(unit)
  if (job === 'start' || job === 'restart') return true
  // Before the stop that was queued is carried out, the unit looks as it did.
  return job === undefined && (active === 'active' || active === 'activating')
}
