import { explainSystemError, HoldfastError } from '../errors.js'
import { appendHistory, readState, writeState, type State } from '../release/state.js'
import { writeRelease, type Release } from '../release/store.js'
import { instanceUnit } from '../units/names.js'
import type { InstalledApp } from './app.js'
import { tryCandidate, type Verdict } from './candidate.js'
import { prepareInstances } from './instances.js'
import { requireListeners } from './listeners.js'
import { isServing, observeInstances } from './observe.js'
import { planHandover, type Plan } from './plan.js'
import { chooseRelease, type ReleaseChoice } from './choose-release.js'
import { clearFolderRequest } from './request.js'
import { discard, retire } from './retire.js'
import { tidy } from './tidy.js'

export type Outcome =
  | { kind: 'live'; generation: number; release: string }
  /** Nothing is recorded yet, and no folder was to be taken. */
  | { kind: 'nothing-to-run' }
  /** `serving`: whether an older generation still answers. */
  | { kind: 'failed'; generation: number; release: string; reason: string; serving: boolean }

/**
 * One handover: start the next generation, wait until it is ready and has settled, and only then tell
 * the older ones to drain. Whatever goes wrong before that, the old generation never left. Killed at
 * any point, it converges when it runs again: it looks at what systemd runs, not at what it meant to do.
 */
export async function handOver(app: InstalledApp, from: 'folder' | 'record'): Promise<Outcome> {
  try {
    return await attempt(app, from)
  } finally {
    // Not when it is killed: then the next one takes the folder again.
    clearFolderRequest(app.paths)
  }
}

async function attempt(app: InstalledApp, from: 'folder' | 'record'): Promise<Outcome> {
  const { paths, systemd, story } = app
  const begin = performance.now()
  const state = readState(paths)
  const choice = await chooseRelease(app, state, from)
  if (choice === undefined) {
    story.tell('nothing-recorded', nothingToRun(app))
    return { kind: 'nothing-to-run' }
  }
  await requireListeners(app)

  const plan = planHandover({ state, instances: await observeInstances(systemd, paths.app) })
  await undoLeftovers(app, plan)
  tellStart(app, state, choice, plan)

  const next: State = { ...state, generation: plan.generation, wanted: choice.release.id }
  writeState(paths, next)
  const verdict = await startAndWatch(app, choice, plan)
  return verdict.kind === 'settled'
    ? await goLive(app, next, choice, plan, begin)
    : await giveUp(app, next, choice, plan, begin, verdict)
}

async function startAndWatch(app: InstalledApp, choice: ReleaseChoice, { generation }: Plan): Promise<Verdict> {
  const { paths, systemd, story } = app
  const { release, config } = choice
  await prepareInstances(app, choice, generation)
  return tryCandidate(systemd, {
    units: processesOf(config.processes).map((n) => instanceUnit(paths.app, generation, n)),
    // A longer one than the unit's own needs `install`; see mergeRelease.
    ...(config.start.timeoutMs < app.config.start.timeoutMs ? { startTimeoutMs: config.start.timeoutMs } : {}),
    unitTimeoutMs: app.config.start.timeoutMs,
    settleMs: config.start.settleMs,
    onReady: (afterMs) => {
      const settle = config.start.settleMs / 1000
      story.tell('candidate-ready', `Generation ${generation} is ready after ${seconds(afterMs)}; it is watched for ${settle} s.`, {
        generation, release: release.id, durationMs: afterMs,
      })
    },
  })
}

async function goLive(app: InstalledApp, state: State, { release, config }: ReleaseChoice, plan: Plan, begin: number): Promise<Outcome> {
  const { paths, story } = app
  const durationMs = performance.now() - begin
  const { generation } = plan
  const live = { generation, release: release.id, processes: config.processes, since: new Date().toISOString() }
  try {
    writeState(paths, { ...state, live, wanted: release.id })
  } catch (error) {
    // What cannot be recorded must not become live: a reboot would bring back the other one.
    await discard(app, generation, { drain: true })
    throw error
  }

  const older = [...new Set(plan.retire.map((instance) => instance.generation))]
  const fields = { generation, release: release.id, durationMs, ...previous(state) }
  story.tell('deploy-live', `Generation ${generation} is live: release ${release.id}, after ${seconds(durationMs)}.`, fields)
  if (older.length > 0) {
    story.tell('drain-started', `${generationList(older)} told to stop accepting and to drain.`, fields)
  }
  await retire(app, plan.retire)
  await keepRecord(app, () => {
    markRelease(app, release, { outcome: 'good' })
    record(app, state, plan, release, durationMs, { outcome: 'live' })
  })
  return { kind: 'live', generation, release: release.id }
}

async function giveUp(
  app: InstalledApp, state: State, { release }: ReleaseChoice, plan: Plan, begin: number, verdict: Verdict & { kind: 'failed' },
): Promise<Outcome> {
  const { paths, systemd, story } = app
  const { generation } = plan
  const log = await systemd.logTail(verdict.unit, verdict.invocation, 10)
  await discard(app, generation, { drain: verdict.wasReady })

  const reason = `${verdict.unit} ${verdict.reason}`
  const { wanted: _, ...rest } = state
  writeState(paths, state.live === undefined ? rest : { ...rest, wanted: state.live.release })
  const durationMs = performance.now() - begin

  const serving = (await observeInstances(systemd, paths.app)).filter(isServing).map((instance) => instance.generation)
  const now = serving.length === 0 ? 'Nothing serves.' : `Generation ${Math.max(...serving)} serves on.`
  const manager = paths.scope === 'user' ? ' --user' : ''
  story.tell(
    'deploy-failed',
    [
      `Release ${release.id} did not become generation ${generation}: ${reason}. ${now}`,
      ...(log.length === 0 ? ['It logged nothing.'] : ['Its last lines:', ...log.map((line) => `    ${line}`)]),
      `See more: journalctl${manager} -u ${verdict.unit}`,
    ].join('\n'),
    { generation, release: release.id, durationMs, ...previous(state) },
  )
  await keepRecord(app, () => {
    if (release.outcome !== 'good') markRelease(app, release, { outcome: 'failed', failure: reason })
    record(app, state, plan, release, durationMs, { outcome: 'failed', reason })
  })
  return { kind: 'failed', generation, release: release.id, reason, serving: serving.length > 0 }
}

/** The book-keeping after the fact, whose own failure changes nothing of what is live. */
async function keepRecord(app: InstalledApp, write: () => void): Promise<void> {
  try {
    write()
    await tidy(app)
  } catch (thrown) {
    const error = explainSystemError(thrown)
    if (!(error instanceof HoldfastError)) throw error
    app.story.tell('record-incomplete', `The handover is done, but not all of it could be written down: ${error.message}`)
  }
}

/** A handover that was killed before it settled has left instances that serve beside the live ones. */
async function undoLeftovers(app: InstalledApp, plan: Plan): Promise<void> {
  if (plan.undo.length === 0) return
  const generations = [...new Set(plan.undo.map((instance) => instance.generation))]
  app.story.tell('leftover-undone', `A handover that did not end has left instances: ${generationList(generations)} told to drain.`)
  await retire(app, plan.undo)
}

function tellStart({ story }: InstalledApp, state: State, { release, reused, notes }: ReleaseChoice, plan: Plan): void {
  const live = state.live === undefined ? 'nothing is live yet' : `generation ${state.live.generation} is live`
  const kind = reused === undefined ? 'the recorded release' : reused ? 'the unchanged release' : 'the new release'
  story.tell('deploy-started', `Starting generation ${plan.generation} from ${kind} ${release.id}; ${live}.`, {
    generation: plan.generation, release: release.id, ...previous(state),
  })
  for (const note of notes) story.tell('setting-ignored', note, { generation: plan.generation, release: release.id })
}

function markRelease(app: InstalledApp, release: Release, mark: Pick<Release, 'outcome' | 'failure'>): void {
  const { failure: _, ...rest } = release
  writeRelease(app.paths, { ...rest, ...mark })
}

function record(
  app: InstalledApp, state: State, { generation }: Plan, release: Release, durationMs: number,
  result: { outcome: 'live' | 'failed'; reason?: string },
): void {
  appendHistory(app.paths, {
    at: new Date().toISOString(), generation, release: release.id,
    ...(state.live === undefined ? {} : { from: state.live.release }),
    ...result,
    durationMs: Math.round(durationMs),
  })
}

function nothingToRun({ config, paths }: InstalledApp): string {
  const { app } = paths
  return config.directory === undefined
    ? `Nothing to run: no release of ${app} is recorded yet.`
    : `Nothing to run: no release of ${app} is recorded yet. systemctl restart ${app} takes ${config.directory} as one.`
}

export const processesOf = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1)
const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`
const previous = ({ live }: State): { previousGeneration?: number; previousRelease?: string } =>
  live === undefined ? {} : { previousGeneration: live.generation, previousRelease: live.release }

function generationList(generations: number[]): string {
  const sorted = [...generations].sort((a, b) => a - b)
  return sorted.length === 1 ? `Generation ${sorted[0]} is` : `Generations ${sorted.slice(0, -1).join(', ')} and ${sorted.at(-1)} are`
}
