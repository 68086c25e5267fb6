import { explainSystemError, HoldfastError } from '../../errors.js'
import { holdfastCommand } from '../../release/command-words.js'
import { appendHistory } from '../../release/history.js'
import { readState, tryReadLive, type State } from '../../release/state.js'
import { startWaiting, waitForAfterDrain } from '../after-drain.js'
import { applyRecord } from './apply.js'
import type { InstalledApp } from '../app.js'
import { atBest } from '../book-keeping.js'
import { isStarted } from './bring-live.js'
import { deploySource } from './deploy.js'
import { StepError } from './deploy-hooks.js'
import type { DeployLog } from './deploy-log.js'
import { removeDeployRecord } from './deploy-record.js'
import { recoverDeploy } from './deploy-recover.js'
import { removeStaging, type OperationRequest } from './deploy-request.js'
import { notify, type NotifyEvent } from '../notify.js'
import { servingGeneration } from '../observe.js'
import { openRecord } from '../open-record.js'
import { operationNouns, operationWords, stepNames, stepsOf } from './progress.js'
import { abortHeld, promoteHeld } from './promote.js'
import { rollBack } from './rollback.js'
import { restoreWanted } from '../wanted.js'

/** A deploy, a rollback or an apply at work. */
export interface Operation<Request = OperationRequest> {
  app: InstalledApp
  request: Request
  log: DeployLog
  signal: AbortSignal
  /** ISO 8601, UTC. */
  since: string
  /** Whether the app was started, and not stopped, when it began. Default false. */
  wasStarted?: boolean
}

export type Outcome =
  | { outcome: 'live' | 'held' | 'aborted'; release: string; generation: number }
  /** `--migrate-only`: the hooks have run, and what is live is as it was. */
  | { outcome: 'migrated' }
  /** Of an apply: what is recorded serves already, or nothing is recorded. Of an expiry: somebody was sooner. */
  | { outcome: 'unchanged'; release?: string; generation?: number }

/**
 * Runs an operation, in the one process that holds the lock. Whatever goes wrong, what was live serves on and the record
 * says so. Killed at any point, the next one finishes or undoes it: see `recoverDeploy`.
 * @param signal aborted: it ends as soon as it can, and undoes what it has begun
 * @returns the exit status
 */
export async function operate(app: InstalledApp, request: OperationRequest, log: DeployLog, signal: AbortSignal): Promise<0 | 1> {
  const work: Operation = { app, request, log, signal, since: new Date().toISOString() }
  const steps = stepsOf[request.kind]
  log.tell({ type: 'deploy', kind: request.kind, id: request.id, app: app.paths.app, by: request.by, what: request.what, at: work.since, steps: [...steps] })
  let began: State | undefined
  try {
    await recoverDeploy(app, request.id, signal, (text) => log.note(text))
    began = await openRecord(app)
    log.keepRecord({ id: request.id, kind: request.kind, by: request.by, what: request.what, since: work.since, step: steps[0] ?? stepNames[0], ...(began.live === undefined ? {} : { began: began.live.release }) })
    work.wasStarted = await isStarted(app)
    await waitForAfterDrain(app, signal, (text) => log.note(text))
    app.story.tell('deploy-begun', `${request.by} ${operationWords(request.kind, request.what)}.`, began.live === undefined ? {} : { previousGeneration: began.live.generation, previousRelease: began.live.release })
    if (request.kind !== 'abort') tellNotifier(work, { event: 'started' })
    const result = await carryOut(work, began)
    if (result.outcome === 'migrated') await keepHistory(work, began, { outcome: 'migrated' })
    await cleanUp(work)
    log.tell({ type: 'end', status: 0, at: new Date().toISOString(), durationMs: log.durationMs, ...result })
    return 0
  } catch (error) {
    await fail(work, began, explainSystemError(error))
    return 1
  }
}

function carryOut(work: Operation, began: State): Promise<Outcome> {
  const { request } = work
  switch (request.kind) {
    case 'deploy':
      return deploySource({ ...work, request }, began)
    case 'rollback':
      return rollBack({ ...work, request }, began)
    case 'apply':
      return applyRecord({ ...work, request }, began)
    case 'promote':
      return promoteHeld({ ...work, request }, began)
    case 'abort':
      return abortHeld({ ...work, request }, began)
  }
}

async function fail(work: Operation, began: State | undefined, error: unknown): Promise<void> {
  const { app, request, log, signal } = work
  const { step } = log
  const isInterrupted = signal.aborted
  const isOurs = !(error instanceof HoldfastError)
  const reason = isInterrupted ? `was interrupted by ${String(signal.reason instanceof Error ? signal.reason.message : signal.reason)}` : isOurs ? `a fault of holdfast itself: ${error instanceof Error ? error.stack : String(error)}` : error.message
  // The handover goes on by itself; whoever comes next finds the record, and what became of it.
  const goesOn = isInterrupted && step === 'handover'
  // A handover tells of its own failure.
  if (!goesOn && !(error instanceof StepError && error.isTold && !isInterrupted)) tellNotifier(work, { event: 'failed', reason })
  if (!goesOn) {
    if (began !== undefined) {
      await settleWanted(work)
      // A handover writes its own.
      if (step !== 'handover' || isInterrupted || !(error instanceof StepError && error.isTold)) await keepHistory(work, began, { outcome: isInterrupted ? 'interrupted' : 'failed', reason })
    }
    await cleanUp(work)
  }
  const serving = goesOn ? 'The handover goes on without it.' : await servingWords(app)
  const message = `${reason.replace(/\.$/, '')}. ${serving}`
  app.story.tell('deploy-ended', `${operationNouns[request.kind]} ${request.what} by ${request.by} ended at step ${step}: ${message}`, {})
  const hint = isInterrupted ? (goesOn ? `${holdfastCommand(app.paths)} status ${app.paths.app}` : request.again) : error instanceof HoldfastError && error.hint !== undefined ? error.hint : `mend it, then: ${request.again}`
  log.tell({ type: 'end', outcome: 'failed', status: 1, at: new Date().toISOString(), durationMs: log.durationMs, failure: { step, message, log: error instanceof StepError ? error.log : [], hint } })
}

function tellNotifier({ app, request, log }: Operation, told: Pick<NotifyEvent, 'event' | 'reason'>): void {
  const { kind, by } = request
  notify(app, { ...told, app: app.paths.app, at: new Date().toISOString(), kind, by, ...(log.release === undefined ? {} : { release: log.release }), durationMs: log.durationMs })
}

/** What was to be brought up is not: what is live is wanted again. */
function settleWanted({ app, request, log }: Operation): Promise<void> {
  return attempt(log, () => {
    const state = readState(app.paths)
    // Of an apply, the file is what was asked for: it failed, wherever it did.
    const isAsked = log.release !== undefined && state.wanted === log.release && state.live?.release !== log.release
    if (isAsked || (request.kind === 'apply' && state.live !== undefined)) restoreWanted(app.paths, state)
  })
}

function keepHistory({ app, request, log, since }: Operation, began: State, result: { outcome: 'failed' | 'interrupted'; reason: string } | { outcome: 'migrated' }): Promise<void> {
  return attempt(log, () =>
    appendHistory(app.paths, {
      at: new Date().toISOString(), kind: request.kind, by: request.by,
      ...(result.outcome === 'migrated' ? {} : { step: log.step }),
      generation: began.generation + (result.outcome === 'migrated' ? 0 : 1),
      ...(began.live === undefined ? {} : { from: began.live.release }),
      ...result, durationMs: Date.now() - Date.parse(since),
    }))
}

/** The record goes last: as long as it is there, the next deploy looks for what is left. */
async function cleanUp({ app, request, log }: Operation): Promise<void> {
  await attempt(log, () => removeStaging(app.paths, request.id))
  await attempt(log, () => removeDeployRecord(app.paths, request.id))
  // One that has waited for older instances waits for the end of a deploy as well.
  await attempt(log, () => startWaiting(app))
}

/** The book-keeping after the fact, whose own failure changes nothing of what was decided. */
const attempt = (log: DeployLog, work: () => void | Promise<void>): Promise<void> => atBest(work, (message) => log.note(`Not everything could be written down: ${message}`))

/** What answers now, in one sentence. */
export async function servingWords(app: Pick<InstalledApp, 'paths' | 'systemd'>): Promise<string> {
  const generation = await servingGeneration(app)
  if (generation === undefined) return 'Nothing serves.'
  const live = tryReadLive(app.paths)
  return `Generation ${generation}${live?.generation === generation ? `, release ${live.release},` : ''} serves on.`
}
