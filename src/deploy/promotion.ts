import { listInstanceFolders } from '../release/instance.js'
import { isHeldBack } from '../release/standby.js'
import type { Held } from '../release/state.js'
import type { InstalledApp } from './app.js'
import { chooseRecorded, type ReleaseChoice } from './choose-release.js'
import { discardHeld, forgetLostHeld, requireHeld } from './held.js'
import { requireListeners } from './listeners/listeners.js'
import { isUp, observeInstances } from './observe.js'
import { openRecord } from './open-record.js'
import { giveUp, goLive, isRecorded, leaveHeld, restoreLive, type Outcome } from './outcome.js'
import type { Handover } from './plan.js'
import type { HandoverRequest } from './request.js'
import { bringRest, bringUp, letInAndBake, membersOf } from './stages.js'
import { tellPromotion } from './telling.js'

/**
 * The second half of a handover that was stopped before the switch: the very processes that were looked at go live. Canaries
 * answer already; the rest of their generation is started now. Killed at any point, it goes on when it runs again.
 */
export async function promote(app: InstalledApp, request: HandoverRequest & { from: 'order' }, generation: number): Promise<Outcome> {
  const begin = performance.now()
  const state = await forgetLostHeld(app, await openRecord(app))
  // It was killed after it had recorded that: what comes after is to be done again.
  const isLive = state.live?.generation === generation
  const held = isLive ? undefined : requireHeld(app, state, request.order, generation)
  await requireListeners(app)
  const up = (await observeInstances(app.systemd, app.paths.app)).filter(isUp)
  const handover: Handover = {
    app, request, state, choice: choosePrepared(app, held?.release ?? request.order.release, generation), begin,
    plan: { generation, undo: [], retire: up.filter((instance) => instance.generation !== generation) },
  }
  tellPromotion(handover)
  if (held === undefined) return goLive(handover)
  try {
    return await goOn(handover, held)
  } catch (error) {
    // Neither live nor as it was: it must not go on answering beside the live one.
    if (!isRecorded(app.paths, generation, ['live']) && !(await isAsItWas(app, held))) {
      await restoreLive(app, state)
      await discardHeld(app, held, { reason: 'its promotion came to no end' })
    }
    throw error
  }
}

async function goOn(handover: Handover, held: Held): Promise<Outcome> {
  const members = membersOf(handover)
  const first = members.slice(0, held.processes)
  // A promotion that was killed may have let in what was held.
  const isHeldStill = held.kind === 'hold' && areHeldBack(handover.app, first)
  // It may have waited for days: is it still good?
  const failed = await bringUp(handover, first, { settleMs: 0, areOld: true })
  if (failed !== undefined) return held.kind === 'canary' || isHeldStill ? leaveHeld(handover, failed) : giveUp(handover, failed, 'rolled-back')
  if (held.kind === 'hold') {
    const worse = await letInAndBake(handover, first)
    if (worse !== undefined) return giveUp(handover, worse, 'rolled-back')
  }
  const stuck = await bringRest(handover, members.slice(first.length))
  return stuck === undefined ? goLive(handover) : giveUp(handover, stuck, 'rolled-back')
}

/** With as many processes as it was prepared with: what is installed may have changed since. */
function choosePrepared(app: InstalledApp, release: string, generation: number): ReleaseChoice {
  const choice = chooseRecorded(app, release)
  const processes = listInstanceFolders(app.paths).filter((folder) => folder.generation === generation).length
  return { ...choice, config: { ...choice.config, processes: Math.max(1, processes) } }
}

/** Whether nothing of it has been let in, or started, that was not before. */
async function isAsItWas(app: InstalledApp, { generation, kind, processes }: Held): Promise<boolean> {
  const up = (await observeInstances(app.systemd, app.paths.app)).filter((instance) => instance.generation === generation && isUp(instance))
  return kind === 'hold' ? areHeldBack(app, up) : up.every(({ process }) => process <= processes)
}

const areHeldBack = ({ paths }: InstalledApp, members: readonly { generation: number; process: number }[]): boolean => members.every((member) => isHeldBack(paths, member))
