/** What tests of the live view show: an app as it was seen at a moment. */
import type { WatchModel } from '../../../src/cli/watch-frame.js'
import { statusOf } from '../../../src/deploy/observe/app-status.js'
import type { AppObservation } from '../../../src/deploy/observe/observe-app.js'
import type { Rates } from '../../../src/deploy/observe/watch-rates.js'
import type { View } from '../../../src/deploy/observe/watch-view.js'
import type { Report } from '../../../src/runtime/report.js'
import { observed } from './observed.js'

export const now = Date.parse('2026-01-01T00:03:20Z')

export function report(change: Partial<Report> = {}): Report {
  return {
    version: 1, pid: 102, startedAt: '2026-01-01T00:00:00.000Z', accepting: true, draining: false, connections: 0, inFlight: 0, webSockets: 0,
    eventStreams: 0, jobs: 0, requests: 0, errors: 0, latency: [], ...change,
  }
}

export function rates(change: Partial<Rates> = {}): Rates {
  return { seconds: 5, requests: 6170, errors: 0, requestsPerSecond: 1234, errorsPerSecond: 0, p50Ms: 1.24, p95Ms: 12.4, ...change }
}

/** @param told what each instance tells, by `<generation>.<process>` */
export function view(change: Partial<AppObservation> = {}, told: Record<string, { report: Report; rates?: Rates }> = {}, all: Rates | null = null): View {
  const status = statusOf(observed(change))
  const instances = status.instances.map((instance) => {
    const { report = null, rates = null } = told[`${instance.generation}.${instance.process}`] ?? {}
    return { ...instance, report, rates }
  })
  return { at: now, status: { ...status, instances }, rates: all, mayAsk: true }
}

export const model = (change: Partial<WatchModel> = {}): WatchModel => ({ app: 'shop', view: view(), deploy: [], story: [], fault: undefined, ...change })
