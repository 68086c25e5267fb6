import type { HistoryEntry, HistoryOutcome } from '../../release/history.js'
import type { AppState, AppStatus, InstanceStatus, Phase } from './app-status.js'
import type { Problem } from './app-problems.js'
import type { DeployEvent } from '../operation/progress.js'
import type { Look } from './watch-app.js'
import type { Rates } from './watch-rates.js'
import type { DrainedRequests, StoryLine } from './watch-story.js'
import { gaugesOf, sumGauges, type Gauges, type View, type WatchedInstance, type WatchedStatus } from './watch-view.js'

/** How much an instance, or all of an app, has to do. Numbers that it does not tell are null. */
export interface Load extends Record<keyof Gauges, number | null> {
  rates: Rates | null
}

export interface InstanceLoad extends Load {
  unit: string
  generation: number
  process: number
  phase: Phase
  memoryBytes: number | null
  accepting: boolean | null
}

/** What every event has: when, ISO 8601 UTC, and of which app. */
interface Common {
  at: string
  app: string
}

/** What `holdfast watch --json` prints, one object per line; documented in docs/cli.md, and stable. */
export type WatchEvent = Common &
  (
    | { type: 'snapshot'; status: AppStatus; load: Load; instances: InstanceLoad[] }
    | { type: 'state'; from: AppState; to: AppState; serving: boolean; problems: Problem[] }
    | { type: 'phase'; unit: string; generation: number; process: number; release: string | null; from: Phase | null; to: Phase | null; failure: string | null }
    | { type: 'deploy'; id: string; event: DeployEvent }
    | {
        type: HistoryOutcome
        kind: HistoryEntry['kind'] | null; by: string | null; generation: number | null; release: string | null; previousRelease: string | null
        step: string | null; reason: string | null; durationMs: number
        /** Of `held` alone. */
        expires?: string | null
      }
    | { type: 'drained'; generation: number; release: string | null; durationMs: number | null; requestsAnswered: number | null; requestsAborted: number | null; requestsCut: number | null }
    | { type: 'story'; event: string; text: string; generation: number | null; release: string | null }
    | { type: 'rates'; load: Load; instances: InstanceLoad[] }
    | { type: 'uninstalled' }
    | { type: 'error'; message: string }
  )

const iso = (ms: number): string => new Date(ms).toISOString()

export function snapshotEvent(view: View): WatchEvent {
  const { instances, ...status } = view.status
  return {
    type: 'snapshot', at: iso(view.at), app: status.app,
    status: { ...status, instances: instances.map(({ report: _report, rates: _rates, ...instance }): InstanceStatus => instance) },
    ...loads(view),
  }
}

export const ratesEvent = (view: View): WatchEvent => ({ type: 'rates', at: iso(view.at), app: view.status.app, ...loads(view) })

export const storyEvent = (app: string, { at, event, text, generation, release }: StoryLine): WatchEvent =>
  ({ type: 'story', at: iso(at), app, event, text, generation, release })

/** The phases of what has answered, and drains before it ends. */
const answered: readonly Phase[] = ['live', 'canary', 'ready', 'draining']

/**
 * Generations that have answered and of which nothing is there any more. A short drain may lie between two looks.
 * @returns with the begin of the drain in milliseconds, where that was seen
 */
export function findDrained(before: View, view: View): { generation: number; release: string | null; since: number | null }[] {
  const gone = before.status.instances.filter(({ phase, generation }) => answered.includes(phase) && !view.status.instances.some((now) => now.generation === generation))
  return [...new Set(gone.map(({ generation }) => generation))].map((generation) => {
    const own = gone.filter((instance) => instance.generation === generation)
    const begun = own.flatMap(({ phase, since }) => (phase === 'draining' && since !== null ? Date.parse(since) : []))
    return { generation, release: own[0]?.release ?? null, since: begun.length === 0 ? null : Math.min(...begun) }
  })
}

/** What has happened between two looks at an app. Pure. @param drains what was logged of the drains that have ended */
export function changeEvents(before: View, { view, ended, deployEvents }: Look, drains: ReadonlyMap<number, DrainedRequests>): WatchEvent[] {
  const { status } = view
  const common: Common = { at: iso(view.at), app: status.app }
  return [
    ...deployEvents.map(({ id, event }): WatchEvent => ({ type: 'deploy', ...common, at: 'at' in event ? event.at : common.at, id, event })),
    ...phaseEvents(before.status, status, common),
    ...ended.map((entry) => endedEvent(entry, status, common.app)),
    ...drainedEvents(before, view, drains, common),
    ...stateEvents(before.status, status, common),
  ]
}

function phaseEvents(before: WatchedStatus, { instances }: WatchedStatus, common: Common): WatchEvent[] {
  const units = [...new Set([...before.instances, ...instances].map(({ unit }) => unit))]
  return units.flatMap((unit): WatchEvent[] => {
    const [old, now] = [before.instances.find((one) => one.unit === unit), instances.find((one) => one.unit === unit)]
    const { generation, process, release } = (now ?? old) as WatchedInstance
    // One that has ended by itself may be up again before anybody has looked.
    if (old?.phase === now?.phase && old?.restarts === now?.restarts) return []
    return [{ type: 'phase', ...common, unit, generation, process, release, from: old?.phase ?? null, to: now?.phase ?? null, failure: now?.failure ?? null }]
  })
}

function endedEvent({ at, outcome, kind, by, generation, release, from, step, reason, durationMs }: HistoryEntry, { held }: WatchedStatus, app: string): WatchEvent {
  return {
    type: outcome, at, app, kind: kind ?? null, by: by ?? null, generation: release === undefined ? null : generation, release: release ?? null,
    previousRelease: from ?? null, step: step ?? null, reason: reason ?? null, durationMs,
    ...(outcome === 'held' ? { expires: held?.generation === generation ? held.expires : null } : {}),
  }
}

function drainedEvents(before: View, view: View, drains: ReadonlyMap<number, DrainedRequests>, common: Common): WatchEvent[] {
  return findDrained(before, view).map(({ generation, release, since }): WatchEvent => {
    const { requestsAnswered = null, requestsAborted = null, requestsCut = null } = drains.get(generation) ?? {}
    return { type: 'drained', ...common, generation, release, durationMs: since === null ? null : Math.max(0, view.at - since), requestsAnswered, requestsAborted, requestsCut }
  })
}

function stateEvents(before: WatchedStatus, { state, serving, problems }: WatchedStatus, common: Common): WatchEvent[] {
  const same = before.state === state && before.serving === serving && JSON.stringify(before.problems) === JSON.stringify(problems)
  return same ? [] : [{ type: 'state', ...common, from: before.state, to: state, serving, problems }]
}

const unknown: Record<keyof Gauges, null> = { inFlight: null, connections: null, webSockets: null, eventStreams: null, jobs: null }

function loads({ status: { instances }, rates }: View): { load: Load; instances: InstanceLoad[] } {
  return {
    load: { ...(sumGauges(instances.flatMap((instance) => gaugesOf(instance) ?? [])) ?? unknown), rates },
    instances: instances.map((instance) => {
      const { unit, generation, process, phase, memoryBytes, report } = instance
      return { unit, generation, process, phase, memoryBytes, accepting: report?.accepting ?? null, ...(gaugesOf(instance) ?? unknown), rates: instance.rates }
    }),
  }
}
