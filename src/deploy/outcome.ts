import { setTimeout as delay } from 'node:timers/promises'
import { explainSystemError, HoldfastError } from '../errors.js'
import type { AppPaths } from '../release/paths.js'
import { changeState, readState, type Held, type State } from '../release/state.js'
import { queueLive, reviveLive } from './activate.js'
import { prepareAfterDrain, wakeAfterDrain, withAfterDrain } from './after-drain.js'
import type { InstalledApp } from './app.js'
import type { Failed } from './candidate.js'
import { guardListeners } from './listeners/guard.js'
import { endHold, hold } from './held.js'
import { isServing, isUp, observeInstances, servingGeneration, type RunningInstance } from './observe.js'
import type { Handover } from './plan.js'
import { keepRecord } from './record.js'
import { discard, retireAllBut } from './retire.js'
import { tellFailed, tellHeld, tellLive, tellStillHeld, tellStillUp } from './telling.js'
import { restoreWanted } from './wanted.js'

/** What a handover comes to. */
export type Outcome =
  | { kind: 'live'; generation: number; release: string; durationMs: number }
  /** It runs and waits for a promotion; what was live serves on. */
  | { kind: 'held'; generation: number; release: string; durationMs: number }
  /** Nothing is recorded yet, and no folder was to be taken. */
  | { kind: 'nothing-to-run' }
  /** `serving`: the older generation that still answers. */
  | { kind: 'failed'; generation: number; release: string; reason: string; log: string[]; serving: number | undefined }

/** The new generation is recorded as live, and only then do the older ones leave. */
export async function goLive(handover: Handover): Promise<Outcome> {
  const { app, state, choice, plan, begin } = handover
  const { generation } = plan
  const release = choice.release.id
  const live = { generation, release, processes: choice.config.processes, since: new Date().toISOString() }
  await prepareAfterDrain(handover)
  // As it is by now: somebody may have discarded it meanwhile.
  let ended: Held | undefined
  changeState(app.paths, state, (now) => {
    const { held, ...rest } = withAfterDrain(now, handover)
    ended = held
    return { ...rest, live, wanted: release }
  })
  const durationMs = performance.now() - begin
  tellLive(handover, durationMs)
  tellStillUp(handover, await retireAllBut(app, generation))
  await endHold(app, ended, { live: generation })
  await keepRecord(handover, { outcome: 'live', durationMs })
  await wakeAfterDrain(handover)
  await guardListeners(app)
  return { kind: 'live', generation, release, durationMs }
}

/** Stops before the switch, or in its midst: somebody is to look at it first. */
export async function keepHeld(handover: Handover, kind: Held['kind'], processes: number): Promise<Outcome> {
  const { app, request, state, choice, plan, begin } = handover
  const { generation } = plan
  const release = choice.release.id
  const order = request.from === 'order' ? request.order : undefined
  const since = new Date()
  const expiresMs = order?.hold?.expiresMs ?? order?.canary?.expiresMs ?? app.config.preview.expireMs
  const held: Held = {
    generation, release, processes, kind, since: since.toISOString(), afterDrain: order?.afterDrain === true,
    ...(order === undefined ? {} : { id: order.id }), ...(order?.by === undefined ? {} : { by: order.by }),
    ...(expiresMs === undefined ? {} : { expires: new Date(since.getTime() + expiresMs).toISOString() }),
  }
  await hold(app, state, held)
  // To systemd the app runs from now on: no connection would bring back what is live.
  if (state.live !== undefined && (await servingGeneration(app)) === undefined) await reviveLive(app)
  const durationMs = performance.now() - begin
  tellHeld(handover, held)
  await keepRecord(handover, { outcome: 'held', durationMs })
  await wakeAfterDrain(handover)
  return { kind: 'held', generation, release, durationMs }
}

/** It is not fit to go live now, and has answered nobody that it had not answered before: whoever holds it may mend what it lacks. */
export async function leaveHeld(handover: Handover, { unit, reason, invocation }: Failed): Promise<Outcome> {
  const { app, choice, plan, begin } = handover
  const text = `${unit} ${reason}`
  tellStillHeld(handover, text)
  await keepRecord(handover, { outcome: 'failed', reason: text, durationMs: performance.now() - begin, isStillHeld: true })
  wantLiveAgain(handover)
  return { kind: 'failed', generation: plan.generation, release: choice.release.id, reason: text, log: await app.systemd.logTail(unit, invocation, 60), serving: await servingGeneration(app) }
}

/** The new generation goes, and what was live is whole again. */
export async function giveUp(handover: Handover, failed: Failed, outcome: 'failed' | 'rolled-back'): Promise<Outcome> {
  const { app, choice, plan, begin, state } = handover
  const { generation } = plan
  await restoreLive(app, state)
  const readLog = (): Promise<string[]> => app.systemd.logTail(failed.unit, failed.invocation, 60)
  // Of one that runs, the last lines would be those of its drain.
  const before = failed.wasReady ? await readLog() : undefined
  await discard(app, generation)
  const log = before ?? (await readLog())

  const serving = await servingGeneration(app)
  const durationMs = performance.now() - begin
  const reason = `${failed.unit} ${failed.reason}`
  const { figures } = failed
  tellFailed(handover, { unit: failed.unit, reason, log, serving, durationMs, outcome, figures })
  if (state.held?.generation === generation) await endHold(app, state.held, {})
  await keepRecord(handover, { outcome, reason, durationMs, ...(figures === undefined ? {} : { figures }) })
  wantLiveAgain(handover)
  await wakeAfterDrain(handover)
  return { kind: 'failed', generation, release: choice.release.id, reason, log, serving }
}

/** How long processes of the live generation may take to be back, beyond their start, in milliseconds: they may still be draining. */
const backMs = 30_000

/**
 * Of the live generation, processes may have left already (`strategy = "rolling"`): before the new ones go, they come back. One
 * that still drains comes back when it has ended, which may take long; no generation that has failed is kept until then.
 */
export async function restoreLive(app: InstalledApp, { live }: Pick<State, 'live'>): Promise<void> {
  if (live === undefined) return
  const { paths, systemd } = app
  const observeLive = async (): Promise<RunningInstance[]> => (await observeInstances(systemd, paths.app)).filter(({ generation }) => generation === live.generation)
  const up = (await observeLive()).filter(isUp)
  if (up.length === 0 || up.length >= live.processes) return
  await queueLive(app, live)
  for (const deadline = Date.now() + app.config.start.timeoutMs + backMs; Date.now() < deadline; await delay(100)) {
    if ((await observeLive()).filter(isServing).length >= live.processes) return
  }
}

/** Whether a generation is one of those in the record. Where that cannot be read, nobody knows: what runs, runs on, and the next handover converges. */
export function isRecorded(paths: AppPaths, generation: number, as: readonly ('live' | 'held')[]): boolean {
  try {
    const state = readState(paths)
    return as.some((one) => state[one]?.generation === generation)
  } catch {
    return true
  }
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
