import { formatAddress } from '../../config/address.js'
import { HoldfastError } from '../../errors.js'
import { socketUnit } from '../../units/names.js'
import type { InstalledApp } from '../app.js'
import { judgeListener, type ListenerFault } from './guard-judge.js'
import { readListeners, type ListenerFacts } from './listener-facts.js'
import { isUp, observeInstances, type RunningInstance } from '../observe.js'

/**
 * Verifies, after a handover, that systemd holds every listener and that it is the socket which the instances accept on. Changes
 * nothing, and tells the journal of each fault: what can be repaired without closing a connection, the next handover
 * repairs before it starts anything (`requireListeners`).
 */
export async function guardListeners(app: InstalledApp): Promise<ListenerFault[]> {
  const faults = await findFaults(app)
  for (const { what, mend } of faults) app.story.tell('listener-fault', `${what}.\nTry: ${mend}`)
  return faults
}

/** What cannot be looked at is no fault: the handover is over, and status and doctor look again. */
async function findFaults(app: InstalledApp): Promise<ListenerFault[]> {
  try {
    const instances = await observeInstances(app.systemd, app.paths.app)
    const facts = await readOwnListeners(app, instances)
    return facts.flatMap((listener) => judgeListener(listener, { paths: app.paths, isUp: instances.some(isUp) }))
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error
    return []
  }
}

/** The listeners of an app as its installed configuration has them. */
export function readOwnListeners(app: InstalledApp, instances: readonly RunningInstance[]): Promise<ListenerFacts[]> {
  const listeners = app.config.listen.map(({ name, address }) => ({ listener: name, unit: socketUnit(app.paths.app, name), address }))
  return readListeners(app, listeners, instances)
}

/** For the sentence that tells of a repair: in what state the listener was found. */
export function describeLoss({ state, held, hasPath, address }: ListenerFacts): string {
  if (state.active === 'failed') return `${state.unit} had failed (${state.result}), as it does when somebody restarts it while instances have its address`
  if (state.active !== 'active') return `${state.unit} was ${state.active}, as when somebody has stopped it`
  if (held?.length === 0) return `${state.unit} counted as active without a socket, as when its address was edited and systemd reloaded`
  return hasPath ? `${state.unit} was active` : `somebody had removed ${formatAddress(address)}`
}
