import type { InstalledApp } from './app.js'
import { chooseRecorded } from './choose-release.js'
import { forgetLostHeld, requireHeld } from './held.js'
import { requireListeners } from './listeners.js'
import { isUp, observeInstances } from './observe.js'
import { openRecord } from './open-record.js'
import { giveUp, goLive, leaveHeld, type Outcome } from './outcome.js'
import type { Handover } from './plan.js'
import type { HandoverRequest } from './request.js'
import { bringRest, bringUp, letInAndBake, membersOf } from './stages.js'
import { tellPromotion } from './telling.js'

/**
 * The second half of a handover that was stopped before the switch: the very processes that were looked at go live. Canaries
 * answer already; the rest of their generation is started now.
 */
export async function promote(app: InstalledApp, request: HandoverRequest & { from: 'order' }, generation: number): Promise<Outcome> {
  const begin = performance.now()
  const state = await forgetLostHeld(app, await openRecord(app))
  const held = requireHeld(app, state, request.order, generation)
  await requireListeners(app)
  const choice = chooseRecorded(app, held.release)
  const up = (await observeInstances(app.systemd, app.paths.app)).filter(isUp)
  const handover: Handover = {
    app, request: { ...request, order: { ...request.order, afterDrain: held.afterDrain } }, state, choice, begin,
    plan: { generation, undo: [], retire: up.filter((instance) => instance.generation !== generation) },
  }
  tellPromotion(handover)
  const members = membersOf(handover)
  const first = members.slice(0, held.processes)
  if (held.kind === 'hold') {
    // It may have been held for days: is it still good?
    const failed = await bringUp(handover, first, { settleMs: 0 })
    if (failed !== undefined) return leaveHeld(handover, failed)
    const worse = await letInAndBake(handover, first)
    if (worse !== undefined) return giveUp(handover, worse, 'rolled-back')
  }
  const stuck = await bringRest(handover, members.slice(first.length))
  return stuck === undefined ? goLive(handover) : giveUp(handover, stuck, 'rolled-back')
}
