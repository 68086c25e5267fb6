import { explainSystemError, HoldfastError } from '../errors.js'
import { listInstanceFolders } from '../release/instance.js'
import type { AppPaths } from '../release/paths.js'
import { holdBack } from '../release/standby.js'
import { changeState, type Held } from '../release/state.js'
import { instanceUnit, processNumbers } from '../units/names.js'
import { prepareAfterDrain, wakeAfterDrain, withAfterDrain } from './after-drain.js'
import type { InstalledApp } from './app.js'
import { bake } from './bake.js'
import { tryCandidate, watchWhile, type Failed, type Refusal, type Trial } from './candidate.js'
import { chooseRecorded, chooseRelease } from './choose-release.js'
import { checkHealth } from './health.js'
import { endHold, forgetLostHeld, hold, requireHeld } from './held.js'
import { hasStandby, prepareInstances } from './instances.js'
import { letMembersIn, type Member } from './let-in.js'
import { requireListeners } from './listeners.js'
import { isUp, observeInstances, servingGeneration } from './observe.js'
import { planHandover, type Handover } from './plan.js'
import { keepRecord } from './record.js'
import { openRecord } from './open-record.js'
import type { HandoverRequest } from './request.js'
import { discard, retireAllBut } from './retire.js'
import { recordWanted, restoreWanted } from './wanted.js'
import { tellFailed, tellHeld, tellLeftovers, tellLetIn, tellLive, tellNothingToRun, tellPromotion, tellReady, tellStart, tellStillHeld, tellStillUp } from './telling.js'

export type Outcome =
  | { kind: 'live'; generation: number; release: string; durationMs: number }
  /** It runs and waits for a promotion; what was live serves on. */
  | { kind: 'held'; generation: number; release: string; durationMs: number }
  /** Nothing is recorded yet, and no folder was to be taken. */
  | { kind: 'nothing-to-run' }
  /** `serving`: the older generation that still answers. */
  | { kind: 'failed'; generation: number; release: string; reason: string; log: string[]; serving: number | undefined }

/**
 * One handover: start the next generation, wait until it is ready, healthy and has settled, let it in beside the older one,
 * and only when it has stood that too tell the older ones to drain. Whatever goes wrong before that, the old generation
 * never left. Killed at any point, it converges when it runs again: it looks at what systemd runs, not at what it meant to do.
 */
export async function handOver(app: InstalledApp, request: HandoverRequest): Promise<Outcome> {
  if (request.from === 'order' && request.order.promote !== undefined) return promote(app, request, request.order.promote)
  const { paths, systemd } = app
  const begin = performance.now()
  const recorded = await forgetLostHeld(app, await openRecord(app))
  const choice = await chooseRelease(app, recorded, request)
  if (choice === undefined) {
    tellNothingToRun(app)
    return { kind: 'nothing-to-run' }
  }
  await requireListeners(app)

  const plan = planHandover({ state: recorded, instances: await observeInstances(systemd, paths.app), started: startedGeneration(paths) })
  if (plan.undo.length > 0) {
    tellLeftovers(app, plan)
    for (const generation of new Set(plan.undo.map((instance) => instance.generation))) await discard(app, generation)
  }

  const isHeld = request.from === 'order' && request.order.hold !== undefined
  const wanted = isHeld ? recorded : recordWanted(paths, recorded, choice.release, { keepsFile: request.from === 'record' && recorded.live !== undefined })
  const state = changeState(paths, wanted, (now) => ({ ...now, generation: plan.generation }))
  const handover: Handover = { app, request, state, choice, plan, begin }
  tellStart(handover)
  const failed = await startAndWatch(handover)
  if (failed !== undefined) return giveUp(handover, failed, 'failed')
  return isHeld ? keepHeld(handover) : switchOver(handover)
}

/** A number is never given out twice, not even after a state file was lost. */
const startedGeneration = (paths: AppPaths): number => Math.max(0, ...listInstanceFolders(paths).map((folder) => folder.generation))

/** The processes of the new generation. */
function membersOf({ app, choice, plan }: Handover): Member[] {
  return processNumbers(choice.config.processes).map((process) => ({ generation: plan.generation, process, unit: instanceUnit(app.paths.app, plan.generation, process) }))
}

async function startAndWatch(handover: Handover): Promise<Failed | undefined> {
  const { app, choice, plan } = handover
  try {
    await prepareInstances(app, choice, plan.generation, { held: hasStandby(app, choice.config) })
    return await watchUntilSettled(handover)
  } catch (error) {
    await discard(app, plan.generation)
    throw error
  }
}

/** In standby, where the app knows it: whoever fails here has answered nobody. */
async function watchUntilSettled(handover: Handover): Promise<Failed | undefined> {
  const { app, choice } = handover
  const { start } = choice.config
  const verdict = await tryCandidate(app.systemd, {
    ...trialOf(handover),
    // One that is longer than the unit's own needs `install`; see mergeRelease.
    ...(start.timeoutMs < app.config.start.timeoutMs ? { startTimeoutMs: start.timeoutMs } : {}),
    settleMs: start.settleMs,
    onReady: (afterMs) => tellReady(handover, afterMs),
    look: (signal) => askHealth(handover, signal),
  })
  return verdict.kind === 'failed' ? verdict : undefined
}

const trialOf = (handover: Handover): Pick<Trial, 'units' | 'unitTimeoutMs'> => ({
  units: membersOf(handover).map(({ unit }) => unit),
  unitTimeoutMs: handover.app.config.start.timeoutMs,
})

async function askHealth(handover: Handover, signal: AbortSignal): Promise<Refusal | undefined> {
  const { app, choice: { config, release } } = handover
  if (config.health === undefined) return undefined
  const health = await checkHealth(app, { health: config.health, release, config, instances: membersOf(handover), signal, tell: (text) => tellLetIn(handover, text) })
  return health.ok ? undefined : health
}

/** The new generation accepts beside the older one, which leaves only when the new one has stood that. */
async function switchOver(handover: Handover): Promise<Outcome> {
  const failed = await letInAndBake(handover)
  return failed === undefined ? goLive(handover) : giveUp(handover, failed, 'rolled-back')
}

async function letInAndBake(handover: Handover): Promise<Failed | undefined> {
  const { app, choice: { config, release }, plan, state } = handover
  const isStandby = hasStandby(app, config)
  // Others have answered all the time while they settled.
  const forMs = config.bake.forMs ?? (isStandby ? config.start.settleMs : 0)
  if (!isStandby && forMs === 0) return undefined
  const fresh = membersOf(handover)
  const older = plan.retire.filter(({ generation }) => generation === state.live?.generation).map(({ generation, process, state: { unit } }) => ({ generation, process, unit }))
  try {
    return await watchWhile(app.systemd, trialOf(handover), async (signal) => {
      const refusal = isStandby ? await letMembersIn(app, fresh, signal) : undefined
      if (refusal !== undefined) return refusal
      tellLetIn(handover, `Generation ${plan.generation} accepts connections${older.length > 0 ? ` beside generation ${state.live?.generation}` : ''}; it is watched for ${forMs / 1000} s.`)
      const verdict = await bake(app, {
        bake: config.bake, ...(config.health === undefined ? {} : { health: config.health }), config, release, fresh, older, forMs, signal,
        tell: (text) => tellLetIn(handover, text),
      })
      return verdict.ok ? undefined : verdict
    })
  } catch (error) {
    await discard(app, plan.generation)
    throw error
  }
}

async function goLive(handover: Handover): Promise<Outcome> {
  const { app, state, choice, plan, begin } = handover
  const { generation } = plan
  const release = choice.release.id
  try {
    const live = { generation, release, processes: choice.config.processes, since: new Date().toISOString() }
    await prepareAfterDrain(handover)
    changeState(app.paths, state, (now) => {
      const { held: _, ...rest } = withAfterDrain(now, handover)
      return { ...rest, live, wanted: release }
    })
  } catch (error) {
    // What cannot be recorded must not become live: a reboot would bring back the other one.
    await discard(app, generation)
    throw error
  }
  const durationMs = performance.now() - begin
  tellLive(handover, durationMs)
  tellStillUp(handover, await retireAllBut(app, generation))
  await endHold(app, state.held, { live: generation })
  await keepRecord(handover, { outcome: 'live', durationMs })
  await wakeAfterDrain(handover)
  return { kind: 'live', generation, release, durationMs }
}

/** Stops before the switch: somebody is to look at it first. */
async function keepHeld(handover: Handover): Promise<Outcome> {
  const { app, request, state, choice, plan, begin } = handover
  const { generation } = plan
  const release = choice.release.id
  const order = request.from === 'order' ? request.order : undefined
  const since = new Date()
  const expiresMs = order?.hold?.expiresMs ?? app.config.preview.expireMs
  const held: Held = {
    generation, release, processes: choice.config.processes, kind: 'hold', since: since.toISOString(), afterDrain: order?.afterDrain === true,
    ...(order === undefined ? {} : { id: order.id }), ...(order?.by === undefined ? {} : { by: order.by }),
    ...(expiresMs === undefined ? {} : { expires: new Date(since.getTime() + expiresMs).toISOString() }),
  }
  try {
    await hold(app, state, held)
  } catch (error) {
    await discard(app, generation)
    throw error
  }
  const durationMs = performance.now() - begin
  tellHeld(handover, held)
  await keepRecord(handover, { outcome: 'held', durationMs })
  await wakeAfterDrain(handover)
  return { kind: 'held', generation, release, durationMs }
}

/** The second half of a handover that was stopped before the switch: the very processes that were looked at go live. */
async function promote(app: InstalledApp, request: HandoverRequest & { from: 'order' }, generation: number): Promise<Outcome> {
  const { paths, systemd } = app
  const begin = performance.now()
  const state = await forgetLostHeld(app, await openRecord(app))
  const held = requireHeld(app, state, request.order, generation)
  await requireListeners(app)
  const choice = chooseRecorded(app, held.release)
  const instances = (await observeInstances(systemd, paths.app)).filter(isUp)
  const handover: Handover = {
    app, request: { ...request, order: { ...request.order, afterDrain: held.afterDrain } }, state, begin,
    choice: { ...choice, config: { ...choice.config, processes: held.processes } },
    plan: { generation, undo: [], retire: instances.filter((instance) => instance.generation !== generation) },
  }
  tellPromotion(handover)
  if (held.kind === 'hold') holdBack(paths, membersOf(handover))
  // It may have been held for days: is it still good?
  const failed = await watchUntilSettled({ ...handover, choice: { ...handover.choice, config: { ...handover.choice.config, start: { ...choice.config.start, settleMs: 0 } } } })
  if (failed !== undefined) return leaveHeld(handover, failed)
  return switchOver(handover)
}

/** It is not fit to go live now, and has answered nobody: whoever holds it may mend what it lacks. */
async function leaveHeld(handover: Handover, { unit, reason, invocation }: Failed): Promise<Outcome> {
  const { app, choice, plan, begin } = handover
  const text = `${unit} ${reason}`
  tellStillHeld(handover, text)
  await keepRecord(handover, { outcome: 'failed', reason: text, durationMs: performance.now() - begin, isStillHeld: true })
  wantLiveAgain(handover)
  return { kind: 'failed', generation: plan.generation, release: choice.release.id, reason: text, log: await app.systemd.logTail(unit, invocation, 60), serving: await servingGeneration(app) }
}

/** Last of all: a full disk, which may be why it failed, must not keep that from being told. */
function wantLiveAgain({ app, request, state }: Handover): void {
  try {
    restoreWanted(app.paths, state, { keepsFile: request.from === 'record' })
  } catch (thrown) {
    const error = explainSystemError(thrown)
    if (!(error instanceof HoldfastError)) throw error
    // A deploy that has recorded meanwhile what it wants has the last word.
    if (error.code !== 'state-changed') app.story.tell('record-incomplete', `What is live could not be recorded as wanted again: ${error.message}`)
  }
}

async function giveUp(handover: Handover, failed: Failed, outcome: 'failed' | 'rolled-back'): Promise<Outcome> {
  const { app, choice, plan, begin, state } = handover
  const { generation } = plan
  await discard(app, generation)
  const log = await app.systemd.logTail(failed.unit, failed.invocation, 60)

  const serving = await servingGeneration(app)
  const durationMs = performance.now() - begin
  const reason = `${failed.unit} ${failed.reason}`
  tellFailed(handover, { unit: failed.unit, reason, log, serving, durationMs, outcome })
  if (state.held?.generation === generation) await endHold(app, state.held, {})
  await keepRecord(handover, { outcome, reason, durationMs })
  wantLiveAgain(handover)
  await wakeAfterDrain(handover)
  return { kind: 'failed', generation, release: choice.release.id, reason, log, serving }
}
