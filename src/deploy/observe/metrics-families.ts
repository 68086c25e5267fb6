import type { HistoryEntry } from '../../release/history.js'
import { latencyBoundsMs, type Report } from '../../runtime/report.js'
import type { WaitingCounts } from '../../runtime/waiting.js'
import { plainText } from '../foreign-text.js'
import type { AppStatus, InstanceStatus } from './app-status.js'
import type { DrainFigures } from './drain-sums.js'
import type { Bucket, Labels, MetricFamily, Sample } from './metrics-text.js'

/** What the metrics of one app are made of. */
export interface AppMetrics {
  status: AppStatus
  /** All of it, oldest first. */
  history: readonly HistoryEntry[]
  /** What instances told of themselves, by the names of their units; absent: it told nothing. */
  reports: ReadonlyMap<string, Report>
  /** Of the generations that have drained lately, by their number. */
  drains: ReadonlyMap<number, DrainFigures>
}

/** One scrape. */
export interface Scrape {
  /** Of the program. */
  version: string
  apps: readonly AppMetrics[]
  /** Apps that could not be looked at. */
  failed: readonly string[]
  /** How long it took to look. */
  durationMs: number
}

/** Everything that `holdfast metrics` tells. Pure. Documented in docs/metrics.md; names and labels are stable. */
export function metricFamilies(scrape: Scrape): MetricFamily[] {
  return [
    ...perApp.map(({ of, ...family }) => ({ ...family, samples: scrape.apps.flatMap(of) })),
    {
      name: 'holdfast_scrape_errors', type: 'gauge', help: 'Whether an app could not be looked at: 1, and nothing else is told of it.',
      samples: [...scrape.apps.map(({ status }) => ({ labels: { app: status.app }, value: 0 })), ...scrape.failed.map((app) => ({ labels: { app }, value: 1 }))],
    },
    { name: 'holdfast_scrape_duration_seconds', type: 'gauge', unit: 'seconds', help: 'How long it took to look at all apps.', samples: [{ labels: {}, value: scrape.durationMs / 1000 }] },
    { name: 'holdfast_build', type: 'info', help: 'The version of Holdfast that looked.', samples: [{ labels: { version: scrape.version }, value: 1 }] },
  ]
}

type Definition = Omit<MetricFamily, 'samples'> & { of(app: AppMetrics): Sample[] }

/** In the order in which a reader asks: does it serve, what, what happened, how is it doing, what was cut. */
const perApp: readonly Definition[] = [
  gauge('holdfast_app_up', 'Whether an instance is ready and takes new connections.', ({ status }) => [appSample(status, Number(status.serving))]),
  gauge('holdfast_problems', 'How many things are not as they are recorded or should be: those of holdfast status.', ({ status }) => [appSample(status, status.problems.length)]),
  gauge('holdfast_listener_up', 'Whether systemd listens on the address: 1 where the socket unit is active.', ({ status }) =>
    status.listeners.map(({ name, active }) => ({ labels: { app: status.app, listener: name }, value: Number(active === 'active') }))),
  {
    name: 'holdfast_live_release', type: 'info', help: 'The generation that is recorded as live, with its release.',
    of: ({ status: { app, live } }) =>
      live === null ? [] : [{ labels: { app, release: live.release, version: plainText(live.version ?? ''), generation: String(live.generation) }, value: 1 }],
  },
  timestamp('holdfast_live_since_timestamp_seconds', 'When the live generation went live.', ({ status }) => status.live?.since),
  gauge('holdfast_generations', 'How many generations have an instance in this phase.', ({ status }) =>
    countBy(status, (instances) => new Set(instances.map(({ generation }) => generation)).size)),
  gauge('holdfast_instances', 'How many instances are in this phase.', ({ status }) => countBy(status, (instances) => instances.length)),
  {
    name: 'holdfast_deploys', type: 'counter', help: 'Handovers that have ended, and deploys that came to none, since the app was installed.',
    of: ({ status: { app }, history }) => deployCounts(history).map(({ kind, outcome, count }) => ({ labels: { app, kind, outcome }, value: count })),
  },
  {
    name: 'holdfast_deploy_duration_seconds', type: 'histogram', unit: 'seconds', help: 'How long these took, by how they ended.',
    of: ({ status: { app }, history }) => durationHistograms(app, history),
  },
  timestamp('holdfast_history_start_timestamp_seconds', 'Since when deploys are counted.', ({ history }) => history[0]?.at),
  timestamp('holdfast_last_handover_timestamp_seconds', 'When the last of these ended.', ({ status }) => status.lastHandover?.at),
  gauge('holdfast_last_handover_success', 'Whether the last of these did what it was to do: 0 where it failed, was rolled back or was interrupted.', ({ status }) =>
    status.lastHandover === null ? [] : [appSample(status, Number(!failures.has(status.lastHandover.outcome)))]),
  {
    ...gauge('holdfast_last_handover_duration_seconds', 'How long the last of these took.', ({ status }) =>
      status.lastHandover === null ? [] : [appSample(status, status.lastHandover.durationMs / 1000)]),
    unit: 'seconds',
  },
  {
    name: 'holdfast_instance_restarts', type: 'counter', help: 'Automatic restarts of an instance.',
    of: ({ status }) => status.instances.map((instance) => ({ labels: instanceLabels(status, instance), value: instance.restarts })),
  },
  {
    ...gauge('holdfast_instance_memory_bytes', 'Memory of an instance.', ({ status }) =>
      status.instances.flatMap((instance) => (instance.memoryBytes === null ? [] : [{ labels: instanceLabels(status, instance), value: instance.memoryBytes }]))),
    unit: 'bytes',
  },
  gauge('holdfast_report_up', 'Whether an instance told of itself: 0 for one without the runtime, and where the caller may not ask. One that drains is not asked.', ({ status, reports }) =>
    status.instances.filter(({ pid, phase }) => pid !== null && phase !== 'draining').map((instance) => ({ labels: instanceLabels(status, instance), value: Number(reports.has(instance.unit)) }))),
  { ...reported('holdfast_instance_start_timestamp_seconds', 'gauge', 'When the process of an instance started: since then its counters count.', ({ startedAt }) => Date.parse(startedAt) / 1000), unit: 'seconds' },
  reported('holdfast_instance_accepting', 'gauge', 'Whether an instance accepts on every public listener that the app listens on.', ({ accepting }) => Number(accepting)),
  reported('holdfast_requests', 'counter', 'HTTP requests that an instance has answered on the public listeners.', ({ requests }) => requests),
  reported('holdfast_request_errors', 'counter', 'Of these, those with a status of 500 and above, and those that the server cut off.', ({ errors }) => errors),
  {
    name: 'holdfast_request_duration_seconds', type: 'histogram', unit: 'seconds', help: 'From the head of a request to the end of its answer; event streams are not among them.',
    of: (app) => reportsOf(app).map(([labels, { latency }]) => ({ labels, buckets: latencyBuckets(latency) })),
  },
  open('holdfast_requests_in_flight', 'Requests that are being answered.', 'inFlight', 'requests'),
  reported('holdfast_connections', 'gauge', 'Open connections.', ({ connections }) => connections),
  open('holdfast_websockets', 'Open WebSockets.', 'webSockets', 'webSockets'),
  open('holdfast_event_streams', 'Open event streams.', 'eventStreams', 'eventStreams'),
  open('holdfast_jobs', 'Jobs that run.', 'jobs', 'jobs'),
  gauge('holdfast_drain_requests', 'What became of the requests in the drain of a generation, for those of the last handovers, as far as the journal tells.', ({ status: { app }, drains }) =>
    [...drains].flatMap(([generation, { requestsAnswered, requestsAborted, requestsCut }]) =>
      Object.entries({ answered: requestsAnswered, aborted: requestsAborted, cut: requestsCut }).map(([outcome, value]) => ({ labels: { app, generation: String(generation), outcome }, value })))),
  gauge('holdfast_drain_cut', 'What was cut at the hard end of these drains.', ({ status: { app }, drains }) =>
    [...drains].flatMap(([generation, { connectionsCut, webSocketsCut, eventStreamsCut, jobsCut }]) =>
      Object.entries({ connections: connectionsCut, websockets: webSocketsCut, event_streams: eventStreamsCut, jobs: jobsCut }).map(([what, value]) => ({ labels: { app, generation: String(generation), what }, value })))),
]

function gauge(name: string, help: string, of: Definition['of']): Definition {
  return { name, type: 'gauge', help, of }
}

/** @param at ISO 8601; absent: there is none */
function timestamp(name: string, help: string, at: (app: AppMetrics) => string | undefined): Definition {
  const of = (app: AppMetrics): Sample[] => {
    const seconds = Date.parse(at(app) ?? '') / 1000
    return Number.isNaN(seconds) ? [] : [appSample(app.status, seconds)]
  }
  return { name, type: 'gauge', unit: 'seconds', help, of }
}

/** A number of what each instance tells of itself. */
function reported(name: string, type: 'gauge' | 'counter', help: string, value: (report: Report) => number): Definition {
  return { name, type, help, of: (app) => reportsOf(app).map(([labels, report]) => ({ labels, value: value(report) })) }
}

/** What is open in an instance, also in one that drains: nobody can ask it any more, but its status says so. */
function open(name: string, help: string, inReport: 'inFlight' | 'webSockets' | 'eventStreams' | 'jobs', inWaiting: keyof WaitingCounts): Definition {
  return gauge(name, help, ({ status, reports }) => status.instances.flatMap((instance) => {
    const value = reports.get(instance.unit)?.[inReport] ?? instance.waiting?.[inWaiting]
    return value === undefined ? [] : [{ labels: instanceLabels(status, instance), value }]
  }))
}

function reportsOf({ status, reports }: AppMetrics): [Labels, Report][] {
  return status.instances.flatMap((instance) => {
    const report = reports.get(instance.unit)
    return report === undefined ? [] : [[instanceLabels(status, instance), report]]
  })
}

const appSample = ({ app }: AppStatus, value: number): Sample => ({ labels: { app }, value })

const instanceLabels = ({ app }: AppStatus, { generation, process }: InstanceStatus): Labels => ({ app, generation: String(generation), process: String(process) })

/** Told with a 0 too, so that an alert has something to compare; others as they come. */
const usualPhases: readonly string[] = ['starting', 'ready', 'standby', 'held', 'canary', 'live', 'restarting', 'draining', 'failed']

function countBy({ app, instances }: AppStatus, count: (instances: InstanceStatus[]) => number): Sample[] {
  const phases = new Set([...usualPhases, ...instances.map(({ phase }) => phase)])
  return [...phases].map((phase) => ({ labels: { app, phase }, value: count(instances.filter((instance) => instance.phase === phase)) }))
}

const failures: ReadonlySet<string> = new Set(['failed', 'interrupted', 'rolled-back'])

/** Told with a 0 too: a counter that begins with 1 has not grown, as Prometheus sees it. */
const usualDeploys = ['deploy', 'rollback', 'restart', 'start', 'apply', 'promote'].flatMap((kind) => ['live', 'failed', 'rolled-back'].map((outcome) => ({ kind, outcome })))

function deployCounts(history: readonly HistoryEntry[]): { kind: string; outcome: string; count: number }[] {
  const counts = new Map(usualDeploys.map((one) => [`${one.kind} ${one.outcome}`, { ...one, count: 0 }]))
  for (const { kind = 'unknown', outcome } of history) {
    const counted = counts.get(`${kind} ${outcome}`) ?? { kind, outcome, count: 0 }
    counts.set(`${kind} ${outcome}`, { ...counted, count: counted.count + 1 })
  }
  return [...counts.values()]
}

const durationBounds: readonly number[] = [1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600]

function durationHistograms(app: string, history: readonly HistoryEntry[]): Sample[] {
  const outcomes = [...new Set(['live', 'failed', ...history.map(({ outcome }) => outcome)])]
  return outcomes.map((outcome) => {
    const seconds = history.filter((entry) => entry.outcome === outcome && Number.isFinite(entry.durationMs)).map(({ durationMs }) => durationMs / 1000)
    return {
      labels: { app, outcome },
      buckets: [...durationBounds, Infinity].map((le) => ({ le, count: seconds.filter((value) => value <= le).length })),
      sum: seconds.reduce((sum, value) => sum + value, 0),
    }
  })
}

/** Every other bound, of 0.25 ms and its doubles: half the lines, and still within a factor of 2. */
function latencyBuckets(latency: readonly number[]): Bucket[] {
  let count = 0
  const all = [...latencyBoundsMs, Infinity].map((bound, i) => ({ le: bound / 1000, count: (count += latency[i] ?? 0) }))
  return all.filter(({ le }, i) => i % 2 === 0 || le === Infinity)
}
