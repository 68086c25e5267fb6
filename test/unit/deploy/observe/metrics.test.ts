import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { statusOf } from '../../../../src/deploy/observe/app-status.js'
import type { AppObservation } from '../../../../src/deploy/observe/observe-app.js'
import { metricFamilies, type AppMetrics } from '../../../../src/deploy/observe/metrics-families.js'
import { formatOpenMetrics, formatPrometheus } from '../../../../src/deploy/observe/metrics-text.js'
import type { HistoryEntry } from '../../../../src/release/history.js'
import { latencyBoundsMs, type Report } from '../../../../src/runtime/report.js'
import { readOpenMetrics, readPrometheus, valueOf, type Family } from '../../../openmetrics.js'
import { instance, listener, observed } from '../../cli/observed.js'

const report = (over: Partial<Report> = {}): Report => ({
  version: 1, pid: 102, startedAt: '2026-01-01T00:00:00.000Z', accepting: true, draining: false, connections: 5, inFlight: 2, webSockets: 1, eventStreams: 3,
  jobs: 4, requests: 10, errors: 1, latency: Array.from({ length: latencyBoundsMs.length + 1 }, (_, i) => (i === 3 ? 6 : i === latencyBoundsMs.length ? 4 : 0)), ...over,
})
const entry = (over: Partial<HistoryEntry> = {}): HistoryEntry => ({ at: '2026-01-01T00:00:00.000Z', kind: 'deploy', generation: 2, release: 'r2', outcome: 'live', durationMs: 4000, ...over })

function app(change: Partial<AppObservation> = {}, over: Partial<AppMetrics> = {}): AppMetrics {
  return { status: statusOf(observed(change)), history: [entry()], reports: new Map(), drains: new Map(), ...over }
}

const scrape = (apps: AppMetrics[], failed: string[] = []): Family[] =>
  readOpenMetrics(formatOpenMetrics(metricFamilies({ version: '1.2.3', apps, failed, durationMs: 250 })))

describe('the metrics of an app', () => {
  it('tell whether it serves, and what', () => {
    const families = scrape([app()])
    expect(valueOf(families, 'holdfast_app_up', { app: 'shop' })).toBe(1)
    expect(valueOf(families, 'holdfast_live_release_info', { app: 'shop', release: 'r2', generation: '2', version: '' })).toBe(1)
    expect(valueOf(families, 'holdfast_live_since_timestamp_seconds')).toBe(Date.parse('2026-01-01T00:00:00.000Z') / 1000)
    expect(valueOf(families, 'holdfast_listener_up', { listener: 'http' })).toBe(1)
    expect(valueOf(families, 'holdfast_problems')).toBe(0)
    expect(valueOf(families, 'holdfast_scrape_errors', { app: 'shop' })).toBe(0)
    expect(valueOf(families, 'holdfast_build_info', { version: '1.2.3' })).toBe(1)
    expect(valueOf(families, 'holdfast_scrape_duration_seconds')).toBe(0.25)
  })

  it('tell what does not', () => {
    const families = scrape([app({ instances: [], live: undefined, lastHandover: undefined, listeners: [listener({ active: 'failed' })] }, { history: [] })])
    expect(valueOf(families, 'holdfast_app_up')).toBe(0)
    expect(valueOf(families, 'holdfast_listener_up')).toBe(0)
    expect(valueOf(families, 'holdfast_problems')).toBeGreaterThan(0)
    expect(families.map(({ name }) => name)).not.toContain('holdfast_live_release')
    expect(families.map(({ name }) => name)).not.toContain('holdfast_last_handover_success')
    expect(valueOf(families, 'holdfast_deploys_total', { kind: 'deploy', outcome: 'failed' })).toBe(0)
  })

  it('count generations and instances by phase', () => {
    const draining = [instance(1, { active: 'deactivating' }, 1), instance(1, { active: 'deactivating' }, 2)]
    const families = scrape([app({ instances: [instance(2, { restarts: 3 }), ...draining] })])
    expect(valueOf(families, 'holdfast_generations', { phase: 'draining' })).toBe(1)
    expect(valueOf(families, 'holdfast_instances', { phase: 'draining' })).toBe(2)
    expect(valueOf(families, 'holdfast_instances', { phase: 'live' })).toBe(1)
    expect(valueOf(families, 'holdfast_instances', { phase: 'held' })).toBe(0)
    expect(valueOf(families, 'holdfast_instance_restarts_total', { generation: '2' })).toBe(3)
    expect(valueOf(families, 'holdfast_instance_memory_bytes', { generation: '1', process: '2' })).toBe(50 * 2 ** 20)
  })

  it('count what was deployed, by kind and outcome', () => {
    const history = [entry({ at: '2025-12-01T00:00:00.000Z' }), entry(), entry({ kind: 'rollback', outcome: 'failed', durationMs: 700 }), entry({ outcome: 'rolled-back', durationMs: 90_000 })]
    const families = scrape([app({ lastHandover: history.at(-1) }, { history })])
    expect(valueOf(families, 'holdfast_deploys_total', { kind: 'deploy', outcome: 'live' })).toBe(2)
    expect(valueOf(families, 'holdfast_deploys_total', { kind: 'rollback', outcome: 'failed' })).toBe(1)
    expect(valueOf(families, 'holdfast_deploy_duration_seconds_bucket', { outcome: 'live', le: '2.5' })).toBe(0)
    expect(valueOf(families, 'holdfast_deploy_duration_seconds_bucket', { outcome: 'live', le: '5.0' })).toBe(2)
    expect(valueOf(families, 'holdfast_deploy_duration_seconds_sum', { outcome: 'live' })).toBe(8)
    expect(valueOf(families, 'holdfast_deploy_duration_seconds_count', { outcome: 'rolled-back' })).toBe(1)
    expect(valueOf(families, 'holdfast_history_start_timestamp_seconds')).toBe(Date.parse('2025-12-01T00:00:00.000Z') / 1000)
    expect(valueOf(families, 'holdfast_last_handover_success')).toBe(0)
    expect(valueOf(families, 'holdfast_last_handover_duration_seconds')).toBe(90)
  })

  it.each([['live', 1], ['held', 1], ['aborted', 1], ['failed', 0], ['interrupted', 0]] as const)('take a handover that ended %s for %i', (outcome, success) => {
    expect(valueOf(scrape([app({ lastHandover: entry({ outcome }) })]), 'holdfast_last_handover_success')).toBe(success)
  })

  it('tell what instances told, each with its labels', () => {
    const other = instance(1, { active: 'deactivating' })
    const families = scrape([app({ instances: [instance(2), other] }, { reports: new Map([['shop@2.1.service', report()]]) })])
    const labels = { app: 'shop', generation: '2', process: '1' }
    expect(valueOf(families, 'holdfast_requests_total', labels)).toBe(10)
    expect(valueOf(families, 'holdfast_request_errors_total', labels)).toBe(1)
    expect(valueOf(families, 'holdfast_requests_in_flight', labels)).toBe(2)
    expect(valueOf(families, 'holdfast_connections', labels)).toBe(5)
    expect(valueOf(families, 'holdfast_websockets', labels)).toBe(1)
    expect(valueOf(families, 'holdfast_event_streams', labels)).toBe(3)
    expect(valueOf(families, 'holdfast_jobs', labels)).toBe(4)
    expect(valueOf(families, 'holdfast_instance_accepting', labels)).toBe(1)
    expect(valueOf(families, 'holdfast_report_up', labels)).toBe(1)
    expect(valueOf(families, 'holdfast_report_up', { generation: '1' })).toBeUndefined()
    expect(valueOf(families, 'holdfast_requests_total', { generation: '1' })).toBeUndefined()
  })

  it('tell of one that does not tell, and what is open in one that drains', () => {
    const draining = instance(1, { active: 'deactivating', status: 'draining: 3 requests, 1 job (nightly-report, 4 min), 12 WebSockets' })
    const families = scrape([app({ instances: [instance(2), draining] })])
    expect(valueOf(families, 'holdfast_report_up', { generation: '2' })).toBe(0)
    const labels = { app: 'shop', generation: '1', process: '1' }
    expect(['holdfast_requests_in_flight', 'holdfast_jobs', 'holdfast_websockets', 'holdfast_event_streams'].map((name) => valueOf(families, name, labels))).toEqual([3, 1, 12, 0])
  })

  it('have the latencies in every other bound, each with all below it', () => {
    const families = scrape([app({}, { reports: new Map([['shop@2.1.service', report()]]) })])
    const buckets = families.find(({ name }) => name === 'holdfast_request_duration_seconds')?.samples ?? []
    // The fourth count is that up to 0.25 ms * 2^(3/2).
    expect(buckets.map(({ labels, value }) => [labels['le'], value])).toEqual([
      ['0.00025', 0], ['0.0005', 0], ...[0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192, 16.384, 32.768, 65.536, 131.072].map((le) => [String(le), 6]), ['+Inf', 10],
    ])
  })

  it('tell what drains have cut', () => {
    const figures = { requestsAnswered: 7, requestsAborted: 2, requestsCut: 1, connectionsCut: 4, webSocketsCut: 3, eventStreamsCut: 0, jobsCut: 5 }
    const families = scrape([app({}, { drains: new Map([[1, figures]]) })])
    expect(valueOf(families, 'holdfast_drain_requests', { generation: '1', outcome: 'cut' })).toBe(1)
    expect(valueOf(families, 'holdfast_drain_requests', { generation: '1', outcome: 'answered' })).toBe(7)
    expect(valueOf(families, 'holdfast_drain_cut', { generation: '1', what: 'jobs' })).toBe(5)
  })
})

describe('the metrics of several apps', () => {
  it('are one family each, and one that cannot be looked at hides no other', () => {
    const other = app()
    const families = scrape([app(), { ...other, status: { ...other.status, app: 'web' } }], ['broken'])
    expect(valueOf(families, 'holdfast_app_up', { app: 'web' })).toBe(1)
    expect(valueOf(families, 'holdfast_app_up', { app: 'broken' })).toBeUndefined()
    expect(['shop', 'web', 'broken'].map((name) => valueOf(families, 'holdfast_scrape_errors', { app: name }))).toEqual([0, 0, 1])
  })
  it('of none are still in order', () => {
    expect(valueOf(scrape([]), 'holdfast_build_info')).toBe(1)
  })
})

describe('the text of metrics', () => {
  const families = metricFamilies({ version: '1', apps: [app({}, { reports: new Map([['shop@2.1.service', report()]]) })], failed: [], durationMs: 1 })
  const nasty = 'a "b" \\ c\nd é \ud800'

  it('escapes what is in a label', () => {
    const family = { name: 'x', type: 'gauge' as const, help: 'a \\ b', samples: [{ labels: { a: nasty }, value: 1 }] }
    expect(formatOpenMetrics([family])).toContain('x{a="a \\"b\\" \\\\ c\\nd é')
    expect(readOpenMetrics(formatOpenMetrics([family]))[0]?.samples[0]?.labels).toEqual({ a: nasty })
    expect(readPrometheus(formatPrometheus([family]))[0]?.samples[0]?.labels).toEqual({ a: nasty })
    expect(formatPrometheus([family])).toContain('# HELP x a \\\\ b\n')
  })

  it('of node_exporter has the same values under the same names', () => {
    const values = (read: Family[]): string[] => read.flatMap(({ samples }) => samples).filter(({ name }) => !/duration_seconds_(bucket|count|sum)$/.test(name)).map(({ name, labels, value }) => `${name} ${JSON.stringify(labels)} ${value}`)
    const prometheus = readPrometheus(formatPrometheus(families))
    expect(values(prometheus)).toEqual(values(readOpenMetrics(formatOpenMetrics(families))))
    expect(prometheus.find(({ name }) => name === 'holdfast_live_release_info')?.type).toBe('gauge')
    expect(formatPrometheus(families)).not.toMatch(/# (EOF|UNIT)/)
  })

  it('of node_exporter has a count for each histogram, and no sum that was never known', () => {
    const text = formatPrometheus(families)
    expect(text).toMatch(/^holdfast_request_duration_seconds_sum\{.*\} NaN$/m)
    expect(text).toMatch(/^holdfast_request_duration_seconds_count\{.*\} 10$/m)
    expect(text).toMatch(/^holdfast_deploy_duration_seconds_sum\{.*outcome="live"\} 4$/m)
    expect(formatOpenMetrics(families)).not.toMatch(/request_duration_seconds_(sum|count)/)
  })

  it('has a row for each family in docs/metrics.md, with its type', () => {
    const rows = [...readFileSync(join(import.meta.dirname, '../../../../docs/metrics.md'), 'utf8').matchAll(/^\| `(holdfast_[a-z_]+)` \| (\w+) \|/gm)].map(([, name, type]) => `${name} ${type}`)
    const suffixes = { counter: '_total', info: '_info', gauge: '', histogram: '' }
    expect(rows.toSorted()).toEqual(families.map(({ name, type }) => `${name}${suffixes[type]} ${type}`).toSorted())
  })
})
