import { explainSystemError, HoldfastError } from '../errors.js'
import { listInstanceFolders } from '../release/instance.js'
import type { AppPaths } from '../release/paths.js'
import { changeState } from '../release/state.js'
import { instanceUnit, processNumbers } from '../units/names.js'
import { prepareAfterDrain, wakeAfterDrain, withAfterDrain } from './after-drain.js'
import type { InstalledApp } from './app.js'
import { tryCandidate, type Verdict } from './candidate.js'
import { chooseRelease } from './choose-release.js'
import { prepareInstances } from './instances.js'
import { requireListeners } from './listeners.js'
import { observeInstances, servingGeneration } from './observe.js'
import { planHandover, type Handover } from './plan.js'
import { keepRecord } from './record.js'
import { openRecord } from './open-record.js'
import type { HandoverRequest } from './request.js'
import { discard, retireAllBut } from './retire.js'
import { recordWanted, restoreWanted } from './wanted.js'
import { tellFailed, tellLeftovers, tellLive, tellNothingToRun, tellReady, tellStart, tellStillUp } from './telling.js'

export type Outcome =
  | { kind: 'live'; generation: number; release: string; durationMs: number }
  /** Nothing is recorded yet, and no folder was to be taken. */
  | { kind: 'nothing-to-run' }
  /** `serving`: the older generation that still answers. */
  | { kind: 'failed'; generation: number; release: string; reason: string; log: string[]; serving: number | undefined }

/**
 * One handover: start the next generation, wait until it is ready and has settled, and only then tell
 * the older ones to drain. Whatever goes wrong before that, the old generation never left. Killed at
 * any point, it converges when it runs again: it looks at what systemd runs, not at what it meant to do.
 */
export async function handOver(app: InstalledApp, request: HandoverRequest): Promise<Outcome> {
  const { paths, systemd } = app
  const begin = performance.now()
  const recorded = await openRecord(app)
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

  const wanted = recordWanted(paths, recorded, choice.release, { keepsFile: request.from === 'record' && recorded.live !== undefined })
  const state = changeState(paths, wanted, (now) => ({ ...now, generation: plan.generation }))
  const handover: Handover = { app, request, state, choice, plan, begin }
  tellStart(handover)
  const verdict = await startAndWatch(handover)
  return verdict.kind === 'settled' ? await goLive(handover) : await giveUp(handover, verdict)
}

/** A number is never given out twice, not even after a state file was lost. */
const startedGeneration = (paths: AppPaths): number => Math.max(0, ...listInstanceFolders(paths).map((folder) => folder.generation))

async function startAndWatch(handover: Handover): Promise<Verdict> {
  const { app, choice, plan } = handover
  const { start, processes } = choice.config
  try {
    await prepareInstances(app, choice, plan.generation)
    return await tryCandidate(app.systemd, {
      units: processNumbers(processes).map((n) => instanceUnit(app.paths.app, plan.generation, n)),
      // One that is longer than the unit's own needs `install`; see mergeRelease.
      ...(start.timeoutMs < app.config.start.timeoutMs ? { startTimeoutMs: start.timeoutMs } : {}),
      unitTimeoutMs: app.config.start.timeoutMs,
      settleMs: start.settleMs,
      onReady: (afterMs) => tellReady(handover, afterMs),
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
    changeState(app.paths, state, (now) => ({ ...withAfterDrain(now, handover), live, wanted: release }))
  } catch (error) {
    // What cannot be recorded must not become live: a reboot would bring back the other one.
    await discard(app, generation)
    throw error
  }
  const durationMs = performance.now() - begin
  tellLive(handover, durationMs)
  tellStillUp(handover, await retireAllBut(app, generation))
  await keepRecord(handover, { outcome: 'live', durationMs })
  await wakeAfterDrain(handover)
  return { kind: 'live', generation, release, durationMs }
}

/** Last of all: a full disk, which may be why it failed, must not keep that from being told. */
function wantLiveAgain({ app, state }: Handover): void {
  try {
    restoreWanted(app.paths, state)
  } catch (thrown) {
    const error = explainSystemError(thrown)
    if (!(error instanceof HoldfastError)) throw error
    // A deploy that has recorded meanwhile what it wants has the last word.
    if (error.code !== 'state-changed') app.story.tell('record-incomplete', `What is live could not be recorded as wanted again: ${error.message}`)
  }
}

async function giveUp(handover: Handover, verdict: Verdict & { kind: 'failed' }): Promise<Outcome> {
  const { app, choice, plan, begin } = handover
  const { generation } = plan
  await discard(app, generation)
  const log = await app.systemd.logTail(verdict.unit, verdict.invocation, 60)

  const serving = await servingGeneration(app)
  const durationMs = performance.now() - begin
  const reason = `${verdict.unit} ${verdict.reason}`
  tellFailed(handover, { unit: verdict.unit, reason, log, serving, durationMs })
  await keepRecord(handover, { outcome: 'failed', reason, durationMs })
  wantLiveAgain(handover)
  await wakeAfterDrain(handover)
  return { kind: 'failed', generation, release: choice.release.id, reason, log, serving }
}
