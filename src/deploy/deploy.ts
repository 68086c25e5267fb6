import { explainSystemError, HoldfastError } from '../errors.js'
import { appendHistory } from '../release/history.js'
import type { Release } from '../release/release.js'
import { readState, type State } from '../release/state.js'
import { newReleaseId } from '../release/store.js'
import { afterDrainService } from '../units/names.js'
import { groupOf } from './account-group.js'
import type { InstalledApp } from './app.js'
import { checkCode, planHooks, type CheckedCode, type HookPlan } from './deploy-check.js'
import { fetchAll, unpackAll } from './deploy-code.js'
import { runPlanned, StepError } from './deploy-hooks.js'
import type { DeployLog, StepTelling } from './deploy-log.js'
import { removeDeployRecord } from './deploy-record.js'
import { recoverDeploy } from './deploy-recover.js'
import { removeStaging, stagingFolder, type DeployRequest } from './deploy-request.js'
import type { DeploySite } from './deploy-site.js'
import { isServing, observeInstances } from './observe.js'
import { openRecord } from './open-record.js'
import { orderHandover } from './order.js'
import { stepNames } from './progress.js'
import { tidy } from './tidy.js'
import { sealRelease } from './seal-release.js'
import { recordWanted, restoreWanted } from './wanted.js'

/** A deploy at work. */
interface Deploy {
  app: InstalledApp
  request: DeployRequest
  log: DeployLog
  signal: AbortSignal
  /** ISO 8601, UTC. */
  since: string
}

type Outcome = { outcome: 'live'; release: string; generation: number } | { outcome: 'migrated' }

/**
 * One deploy, from its source to the live release; run by the one process that holds the lock. Whatever goes wrong, the
 * old release serves on and the record says so. Killed at any point, the next deploy finishes or undoes it: see
 * `recoverDeploy`.
 * @param signal aborted: the deploy ends as soon as it can, and undoes what it has begun
 * @returns the exit status
 */
export async function deploy(app: InstalledApp, request: DeployRequest, log: DeployLog, signal: AbortSignal): Promise<0 | 1> {
  const work: Deploy = { app, request, log, signal, since: new Date().toISOString() }
  log.tell({ type: 'deploy', id: request.id, app: app.paths.app, by: request.by, what: request.what, at: work.since, steps: [...stepNames] })
  let began: State | undefined
  try {
    await recoverDeploy(app, request.id, (text) => log.note(text))
    began = await openRecord(app)
    log.keepRecord({ id: request.id, by: request.by, what: request.what, since: work.since, step: 'fetch', ...(began.live === undefined ? {} : { began: began.live.release }) })
    app.story.tell('deploy-begun', `${request.by} deploys ${request.what}.`, began.live === undefined ? {} : { previousGeneration: began.live.generation, previousRelease: began.live.release })
    const result = await bringLive(work, began)
    if (result.outcome === 'migrated') await keepHistory(work, began, { outcome: 'migrated' })
    await cleanUp(work)
    log.tell({ type: 'end', status: 0, at: new Date().toISOString(), durationMs: log.durationMs, ...result })
    return 0
  } catch (error) {
    await fail(work, began, explainSystemError(error))
    return 1
  }
}

async function bringLive(work: Deploy, began: State): Promise<Outcome> {
  const { app, request, log, signal } = work
  const site: DeploySite = { app, request, staging: stagingFolder(app.paths, request.id), signal, ...(await groupOf(app.config)) }
  const { switches } = request

  const fetched = await log.run('fetch', (telling) => fetchAll(site, telling))
  const code = await log.run('unpack', (telling) => unpackAll(site, fetched, telling))
  const checked = await log.run('verify', (telling) => verify(site, code, telling))
  const plans = planHooks(site, checked, began)
  const id = newReleaseId(app.paths, new Date(), code.fingerprint)
  log.nameRelease(id)

  const runHookStep = async (step: 'install' | 'migrate', plan: HookPlan): Promise<boolean> => {
    if (plan.action !== 'skip') return log.run(step, (telling) => runPlanned(site, step, plan, checked, id, telling))
    log.skip(step, plan.why)
    return false
  }
  const touched = await runHookStep('install', plans.install)
  await runHookStep('migrate', plans.migrate)
  if (switches.migrateOnly) {
    for (const step of ['seal', 'record', 'handover', 'prune'] as const) log.skip(step, '--migrate-only')
    return { outcome: 'migrated' }
  }

  const release = await log.run('seal', (telling) => sealRelease(site, checked, { id, touched, install: plans.install }, telling))
  const wanted = await log.run('record', async () => recordWanted(app.paths, began, release))
  const live = await log.run('handover', (telling) => handOverTo(work, wanted, release, plans.afterDrain.action === 'run', telling))
  await prune(work)
  return { outcome: 'live', release: id, generation: live.generation }
}

async function verify(site: DeploySite, code: CheckedCode['code'], telling: StepTelling): Promise<CheckedCode> {
  const checked = checkCode(site, code)
  for (const note of checked.notes) telling.note(note)
  if (checked.unitDiff !== '') {
    telling.note('The release proposes other units than those that are installed, which stay in force:')
    for (const line of checked.unitDiff.trimEnd().split('\n')) telling.output(line)
  }
  if (checked.version !== undefined) telling.result(`version ${checked.version}`)
  return checked
}

async function handOverTo({ app, request, log, signal, since }: Deploy, wanted: State, release: Release, afterDrain: boolean, telling: StepTelling): Promise<{ generation: number }> {
  const interrupted = new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
  const ordered = orderHandover(app, {
    id: request.id, release: release.id, kind: 'deploy', by: request.by, since, afterDrain, events: log.file,
    ...(wanted.live === undefined ? {} : { began: wanted.live.release }),
  })
  // Nobody listens any more once it is interrupted.
  ordered.catch(() => {})
  const result = await Promise.race([ordered, interrupted])
  if (result.kind === 'failed') throw new StepError(result.reason, result.log, result.hint, 'handover-failed')
  telling.result(`generation ${result.generation}`)
  return result
}

/** What is live stays so, whatever becomes of this. */
async function prune({ app, log }: Deploy): Promise<void> {
  try {
    await log.run('prune', () => tidy(app))
  } catch (thrown) {
    const error = explainSystemError(thrown)
    if (!(error instanceof HoldfastError)) throw error
    log.note(`The release is live, but not everything that is old could be removed: ${error.message}`)
  }
}

async function fail(work: Deploy, began: State | undefined, error: unknown): Promise<void> {
  const { app, request, log, signal } = work
  const { step } = log
  const isInterrupted = signal.aborted
  const isOurs = !(error instanceof HoldfastError)
  const reason = isInterrupted ? `was interrupted by ${String(signal.reason instanceof Error ? signal.reason.message : signal.reason)}` : isOurs ? `a fault of holdfast itself: ${error instanceof Error ? error.stack : String(error)}` : error.message
  // The handover goes on by itself; whoever comes next finds the record, and what became of it.
  const goesOn = isInterrupted && step === 'handover'
  if (!goesOn) {
    if (began !== undefined) {
      await settleWanted(work)
      // A handover writes its own.
      if (step !== 'handover' || isInterrupted || !(error instanceof StepError)) await keepHistory(work, began, { outcome: isInterrupted ? 'interrupted' : 'failed', reason })
    }
    await cleanUp(work)
  }
  const serving = goesOn ? 'The handover goes on without it.' : await servingWords(app)
  const message = `${reason}. ${serving}`
  const log20 = error instanceof StepError ? error.log : []
  app.story.tell('deploy-ended', `The deploy of ${request.what} by ${request.by} ended at step ${step}: ${message}`, {})
  const hint = isInterrupted ? (goesOn ? `holdfast status ${app.paths.app}` : request.again) : error instanceof HoldfastError && error.hint !== undefined ? error.hint : `mend it, then: ${request.again}`
  log.tell({ type: 'end', outcome: 'failed', status: 1, at: new Date().toISOString(), durationMs: log.durationMs, failure: { step, message, log: log20, hint } })
}

/** What was to be brought up is not: what is live is wanted again. */
function settleWanted({ app, log }: Deploy): Promise<void> {
  return attempt(log, () => {
    const state = readState(app.paths)
    if (log.release !== undefined && state.wanted === log.release && state.live?.release !== log.release) restoreWanted(app.paths, state)
  })
}

function keepHistory({ app, request, log, since }: Deploy, began: State, result: { outcome: 'failed' | 'interrupted'; reason: string } | { outcome: 'migrated' }): Promise<void> {
  return attempt(log, () =>
    appendHistory(app.paths, {
      at: new Date().toISOString(), kind: 'deploy', by: request.by,
      ...(result.outcome === 'migrated' ? {} : { step: log.step }),
      generation: began.generation + (result.outcome === 'migrated' ? 0 : 1),
      ...(began.live === undefined ? {} : { from: began.live.release }),
      ...result, durationMs: Date.now() - Date.parse(since),
    }))
}

/** The record goes last: as long as it is there, the next deploy looks for what is left. */
async function cleanUp({ app, request, log }: Deploy): Promise<void> {
  await attempt(log, () => removeStaging(app.paths, request.id))
  await attempt(log, () => removeDeployRecord(app.paths))
  // One that has waited for older instances waits for the end of a deploy as well.
  await attempt(log, async () => {
    const { afterDrain } = readState(app.paths)
    if (afterDrain !== undefined && afterDrain.failed === undefined) await app.systemd.queueStart([afterDrainService(app.paths.app)])
  })
}

/** The book-keeping after the fact, whose own failure changes nothing of what was decided. */
async function attempt(log: DeployLog, work: () => void | Promise<void>): Promise<void> {
  try {
    await work()
  } catch (thrown) {
    const error = explainSystemError(thrown)
    if (!(error instanceof HoldfastError)) throw error
    log.note(`Not everything could be written down: ${error.message}`)
  }
}

/** What answers now, in one sentence. */
export async function servingWords({ paths, systemd }: Pick<InstalledApp, 'paths' | 'systemd'>): Promise<string> {
  const serving = (await observeInstances(systemd, paths.app)).filter(isServing).map(({ generation }) => generation)
  if (serving.length === 0) return 'Nothing serves.'
  const generation = Math.max(...serving)
  const { live } = readLive(paths)
  return `Generation ${generation}${live?.generation === generation ? `, release ${live.release},` : ''} serves on.`
}

function readLive(paths: InstalledApp['paths']): Pick<State, 'live'> {
  try {
    return readState(paths)
  } catch {
    return {}
  }
}

