import type { HistoryOutcome } from '../../release/history.js'
import type { Scope } from '../../release/paths.js'
import { sourceWords } from '../../release/source-words.js'
import { parseWaiting, type WaitingCounts } from '../../runtime/waiting.js'
import { describeEnd, findPreviewProblems, findProblems, findUnfinished, isHandingOver, isStopped, isStopping, type Problem } from './app-problems.js'
import { hasEnded, isDraining, isServing, isUp } from '../observe.js'
import type { OperationKind } from '../operation/progress.js'
import type { AppObservation, ObservedInstance } from './observe-app.js'

/**
 * How an app is doing, in one word:
 * - `live`: what is recorded serves
 * - `handover`: one is under way; `serving` tells whether something answers meanwhile
 * - `starting`: a connection came while nothing ran
 * - `failed-deploy`: the last handover failed; what is recorded serves on
 * - `degraded`: something serves, but not what is recorded, or not all of it
 * - `idle`: nothing runs; the next connection starts it
 * - `down`: nothing serves although it should
 * - `stopping`, `stopped`: by `systemctl stop`
 * - `empty`: no release is recorded yet
 */
export type AppState =
  | 'live' | 'handover' | 'starting' | 'failed-deploy' | 'degraded' | 'idle' | 'down' | 'stopping' | 'stopped' | 'empty'

export type Phase =
  /** Not ready yet. */
  | 'starting'
  /** Ready, but not what is recorded as live: the candidate of a handover, or a leftover. */
  | 'ready'
  /** The same, and not let in: it accepts nothing public. */
  | 'standby'
  /** It waits for a promotion; `held` not let in, `canary` beside the live ones. */
  | 'held'
  | 'canary'
  | 'live'
  /** Ended by itself; systemd starts it again in a moment. */
  | 'restarting'
  | 'draining'
  | 'failed'

/** The answer of `holdfast status APP --json`; documented in docs/cli.md, and stable. */
export interface AppStatus {
  app: string
  scope: Scope
  state: AppState
  /** Whether an instance is ready and has not been told to drain. */
  serving: boolean
  live: {
    generation: number; release: string; processes: number; since: string
    version: string | null
    /** In a few words. */
    source: string | null
  } | null
  /** One that is under way, or that was cut off (`running` false). What is not known of it is null. */
  deploy: { running: boolean; kind: OperationKind; id: string | null; by: string | null; what: string | null; since: string | null; step: string | null } | null
  /** A generation that waits for `holdfast promote` or `holdfast abort`; `canary` accepts connections beside the live one. */
  held: {
    generation: number; release: string; version: string | null; kind: 'hold' | 'canary'; processes: number; since: string
    by: string | null; expires: string | null
  } | null
  /** `hooks.after_drain` of the live release, until it is done. `waitsFor`: generations that have not ended. */
  afterDrain: { release: string; state: 'waiting' | 'running' | 'failed'; since: string; waitsFor: number[] } | null
  /** What somebody wrote into the file `wanted`: the next restart brings it up. `release`: its id, if it is on disk. */
  wanted: { text: string; release: string | null } | null
  service: { unit: string; active: string; sub: string; result: string }
  listeners: { name: string; unit: string; addresses: string[]; active: string; result: string }[]
  /** `[preview] address`: where other people reach what is held. */
  preview: { address: string; unit: string; active: string } | null
  /** Newest generation first. */
  instances: InstanceStatus[]
  lastHandover: {
    at: string; generation: number; release: string | null; previousRelease: string | null
    outcome: HistoryOutcome; reason: string | null; durationMs: number
  } | null
  problems: Problem[]
}

export interface InstanceStatus {
  unit: string
  generation: number
  process: number
  release: string | null
  phase: Phase
  /** ISO 8601, UTC: when the phase began; of `live`, when it became ready. */
  since: string | null
  pid: number | null
  memoryBytes: number | null
  /** Automatic restarts. */
  restarts: number
  /** What the app said by `STATUS=`. */
  status: string | null
  /** Of `draining`, by the numbers in `status`: what it still waits for. Null where the app has no runtime that says so. */
  waiting: WaitingCounts | null
  /** Of `restarting` and `failed`: how it ended. */
  failure: string | null
}

/** Judges what was observed. Pure. */
export function statusOf(observation: AppObservation): AppStatus {
  const { paths, live, liveRelease, wanted, lastHandover, service, listeners, preview, instances } = observation
  const running = findProblems(observation)
  const shown = instances.filter((instance) => phaseOf(instance, observation) !== undefined)
  return {
    app: paths.app,
    scope: paths.scope,
    state: stateOf(observation, running),
    serving: instances.some(answers),
    live: live === undefined ? null : {
      generation: live.generation, release: live.release, processes: live.processes, since: live.since,
      version: liveRelease?.version ?? null, source: liveRelease === undefined ? null : sourceWords(liveRelease),
    },
    deploy: deployStatus(observation),
    held: heldStatus(observation),
    afterDrain: afterDrainStatus(observation),
    wanted: wanted === undefined ? null : { text: wanted.word, release: wanted.release ?? null },
    service: { unit: service.unit, active: service.active, sub: service.sub, result: service.result },
    listeners: listeners.map(({ listener, state, believed }) => ({ name: listener, unit: state.unit, addresses: believed, active: state.active, result: state.result })),
    preview: preview === undefined ? null : { address: preview.address, unit: preview.state.unit, active: preview.state.active },
    instances: shown
      .map((instance) => instanceStatus(instance, observation))
      .sort((a, b) => b.generation - a.generation || a.process - b.process),
    lastHandover: lastHandover === undefined ? null : {
      at: lastHandover.at,
      generation: lastHandover.generation,
      release: lastHandover.release ?? null,
      previousRelease: lastHandover.from ?? null,
      outcome: lastHandover.outcome,
      reason: lastHandover.reason ?? null,
      durationMs: lastHandover.durationMs,
    },
    problems: [...running, ...findUnfinished(observation), ...findPreviewProblems(observation)],
  }
}

/** Ready, and let in. */
const answers = (instance: ObservedInstance): boolean => isServing(instance) && !instance.heldBack

function heldStatus({ held, heldRelease }: AppObservation): AppStatus['held'] {
  if (held === undefined) return null
  const { generation, release, kind, processes, since, by = null, expires = null } = held
  return { generation, release, version: heldRelease?.version ?? null, kind, processes, since, by, expires }
}

function deployStatus({ deploy }: AppObservation): AppStatus['deploy'] {
  if (deploy === undefined) return null
  const { kind = 'deploy', id = null, by = null, what = null, since = null, step = null } = deploy.record ?? {}
  return { running: deploy.isRunning, kind, id, by, what, since, step }
}

function afterDrainStatus({ afterDrain, instances }: AppObservation): AppStatus['afterDrain'] {
  if (afterDrain === undefined) return null
  const { release, generation, since, begun, failed } = afterDrain
  const older = instances.filter((instance) => instance.generation < generation && !hasEnded(instance)).map((instance) => instance.generation)
  return {
    release,
    state: failed !== undefined ? 'failed' : begun !== undefined ? 'running' : 'waiting',
    since: begun ?? since,
    waitsFor: begun === undefined ? [...new Set(older)].sort((a, b) => a - b) : [],
  }
}

/** The exit status of `holdfast status`: 0 live and as recorded; 1 serving, but with a problem; 3 not serving. */
export function exitStatusOf({ serving, problems }: Pick<AppStatus, 'serving' | 'problems'>): 0 | 1 | 3 {
  if (!serving) return 3
  return problems.length > 0 ? 1 : 0
}

function stateOf(observation: AppObservation, problems: readonly Problem[]): AppState {
  const { live, service, activate, listeners, instances } = observation
  const serving = instances.some(answers)
  const up = instances.some(isUp)
  if (isStopping(observation)) return 'stopping'
  if (isHandingOver(observation)) return 'handover'
  if (activate?.active === 'activating') return 'starting'
  if (isStopped(observation)) return instances.some(isDraining) ? 'stopping' : live === undefined ? 'empty' : 'stopped'
  if (serving) {
    if (problems.length > 0) return 'degraded'
    return service.active === 'failed' ? 'failed-deploy' : 'live'
  }
  if (live === undefined && !up && service.active !== 'failed') return 'empty'
  const wakes = listeners.length > 0 && listeners.every(({ state }) => state.active === 'active')
  const isCalm = service.active === 'active' || service.active === 'inactive'
  return isCalm && !up && wakes ? 'idle' : 'down'
}

/** Undefined for an instance that has ended in order. */
export function phaseOf({ generation, state, heldBack }: Pick<ObservedInstance, 'generation' | 'state' | 'heldBack'>, { live, held }: Pick<AppObservation, 'live' | 'held'>): Phase | undefined {
  switch (state.active) {
    case 'active':
    case 'reloading':
      if (generation === live?.generation) return 'live'
      if (generation === held?.generation) return held.kind === 'hold' ? 'held' : 'canary'
      return heldBack ? 'standby' : 'ready'
    case 'activating':
      return state.sub === 'auto-restart' ? 'restarting' : 'starting'
    case 'deactivating':
      return 'draining'
    case 'failed':
      return 'failed'
    default:
      return undefined
  }
}

function instanceStatus(instance: ObservedInstance, observation: AppObservation): InstanceStatus {
  const { live, releases } = observation
  const { generation, process, state } = instance
  const phase = phaseOf(instance, observation) as Phase
  const ready = isServing(instance)
  return {
    unit: state.unit,
    generation,
    process,
    release: generation === live?.generation ? live.release : (releases.get(generation) ?? null),
    phase,
    since: (ready ? state.activeSince : instance.changedAt) ?? null,
    pid: state.mainPid === 0 ? null : state.mainPid,
    memoryBytes: instance.memory ?? null,
    restarts: state.restarts,
    status: state.status === '' ? null : state.status,
    waiting: phase === 'draining' ? (parseWaiting(state.status) ?? null) : null,
    failure: phase === 'restarting' || phase === 'failed' ? describeEnd(instance) : null,
  }
}
