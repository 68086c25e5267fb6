import { highestGeneration } from '../release/instance.js'
import { changeState } from '../release/state.js'
import { requireAdmission } from './checks/admission.js'
import type { InstalledApp } from './app.js'
import { chooseRelease } from './choose-release.js'
import { forgetLostHeld } from './held.js'
import { prepareInstances } from './instances.js'
import { requireListeners } from './listeners/listeners.js'
import { observeInstances } from './observe.js'
import { openRecord } from './open-record.js'
import { giveUp, goLive, isRecorded, keepHeld, restoreLive, type Outcome } from './outcome.js'
import { countOverlap, planHandover, type Handover } from './plan.js'
import type { HandoverRequest } from './request.js'
import { discard } from './retire.js'
import { bringRest, bringUp, firstOf, letInAndBake, membersOf } from './stages.js'
import { recordWanted } from './wanted.js'
import { tellLeftovers, tellNothingToRun, tellStart } from './telling.js'

/**
 * One handover: start the next generation, wait until it is ready, healthy and has settled, let it in beside the older one,
 * and only when it has stood that too tell the older ones to drain. Whatever goes wrong before that, the old generation
 * never left. Killed at any point, it converges when it runs again: it looks at what systemd runs, not at what it meant to do.
 */
export async function handOver(app: InstalledApp, request: HandoverRequest): Promise<Outcome> {
  const { paths, systemd } = app
  const begin = performance.now()
  const recorded = await forgetLostHeld(app, await openRecord(app))
  const choice = await chooseRelease(app, recorded, request)
  if (choice === undefined) {
    tellNothingToRun(app)
    return { kind: 'nothing-to-run' }
  }
  await requireListeners(app)

  // A number is never given out twice, not even after a state file was lost.
  const plan = planHandover({ state: recorded, instances: await observeInstances(systemd, paths.app), started: highestGeneration(paths) })
  if (plan.undo.length > 0) {
    tellLeftovers(app, plan)
    await restoreLive(app, recorded)
    for (const generation of new Set(plan.undo.map((instance) => instance.generation))) await discard(app, generation)
  }

  const order = request.from === 'order' ? request.order : undefined
  if (order?.skipAdmission !== true) {
    await requireAdmission(app, {
      kind: order?.kind ?? 'restart', generation: plan.generation, starting: countOverlap(choice.config, order), live: recorded.live?.generation,
      instances: await observeInstances(systemd, paths.app),
    })
  }

  const wanted = stopsBeforeSwitch(request) ? recorded : recordWanted(paths, recorded, choice.release, { keepsFile: request.from === 'record' && recorded.live !== undefined })
  const state = changeState(paths, wanted, (now) => ({ ...now, generation: plan.generation }))
  const handover: Handover = { app, request, state, choice, plan, begin }
  tellStart(handover)
  try {
    await prepareInstances(app, choice, plan.generation)
    return await replaceLive(handover)
  } catch (error) {
    // What cannot be started, watched or recorded must not become live: a reboot would bring back the other one.
    if (!isRecorded(paths, plan.generation, ['live', 'held'])) {
      await restoreLive(app, state)
      await discard(app, plan.generation)
    }
    throw error
  }
}

/** From the start of the new generation to the end of the old one. */
async function replaceLive(handover: Handover): Promise<Outcome> {
  const { request } = handover
  const order = request.from === 'order' ? request.order : undefined
  const first = firstOf(handover)
  const failed = await bringUp(handover, first)
  if (failed !== undefined) return giveUp(handover, failed, 'failed')
  if (order?.hold !== undefined) return keepHeld(handover, 'hold', first.length)

  const worse = await letInAndBake(handover, first)
  if (worse !== undefined) return giveUp(handover, worse, 'rolled-back')
  if (order?.canary?.auto === false) return keepHeld(handover, 'canary', first.length)

  const stuck = await bringRest(handover, membersOf(handover).slice(first.length))
  return stuck === undefined ? goLive(handover) : giveUp(handover, stuck, 'rolled-back')
}

/** It is not wanted before somebody has looked at it. */
const stopsBeforeSwitch = (request: HandoverRequest): boolean =>
  request.from === 'order' && (request.order.hold !== undefined || request.order.canary?.auto === false)

