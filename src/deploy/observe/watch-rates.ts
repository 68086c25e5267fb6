import type { Report } from '../../runtime/report.js'
import { quantileMs } from '../checks/bake-figures.js'

/** A report, and when it was read. */
export interface Sample {
  /** Milliseconds since 1970. */
  at: number
  report: Report
}

/** What has been counted over a time. */
export interface CountedSpan {
  seconds: number
  requests: number
  errors: number
  /** As `Report.latency`. */
  latency: number[]
}

/** For people and programs. Null: nothing was answered in that time. */
export interface Rates {
  seconds: number
  requests: number
  errors: number
  requestsPerSecond: number
  errorsPerSecond: number
  p50Ms: number | null
  p95Ms: number | null
}

/**
 * The reports of one instance over a time that goes along. A restart begins anew: what the process before it has counted
 * is gone with it.
 */
export class SampleWindow {
  private samples: Sample[] = []

  /**
   * @param windowMs the time to look back over
   * @param sinceMs when the watching began, in milliseconds since 1970: all that an instance which is younger has done counts
   */
  constructor(private readonly windowMs: number, private readonly sinceMs: number) {}

  add(sample: Sample): void {
    const last = this.samples.at(-1)
    if (last !== undefined && !isSameRun(last.report, sample.report)) this.samples = []
    const begun = Date.parse(sample.report.startedAt)
    if (this.samples.length === 0 && begun < sample.at && (begun >= this.sinceMs || sample.at - begun < this.windowMs)) {
      this.samples.push({ at: begun, report: { ...sample.report, requests: 0, errors: 0, latency: [] } })
    }
    this.samples.push(sample)
    // A timer may be a little early.
    while (this.samples.length > 2 && (this.samples[1] as Sample).at <= sample.at - this.windowMs * 0.9) this.samples.shift()
  }

  /** Undefined before there are two. */
  counted(): CountedSpan | undefined {
    const [first, last] = [this.samples[0], this.samples.at(-1)]
    if (first === undefined || last === undefined || last.at <= first.at) return undefined
    return {
      seconds: (last.at - first.at) / 1000,
      requests: Math.max(0, last.report.requests - first.report.requests),
      errors: Math.max(0, last.report.errors - first.report.errors),
      latency: last.report.latency.map((count, i) => Math.max(0, count - (first.report.latency[i] ?? 0))),
    }
  }
}

const isSameRun = (a: Report, b: Report): boolean => a.pid === b.pid && a.startedAt === b.startedAt && b.requests >= a.requests

export function ratesOf(span: CountedSpan): Rates {
  const { seconds, requests, errors } = span
  return {
    seconds: round(seconds, 3),
    requests,
    errors,
    requestsPerSecond: round(requests / seconds, 2),
    errorsPerSecond: round(errors / seconds, 2),
    p50Ms: percentileMs(span, 0.5),
    p95Ms: percentileMs(span, 0.95),
  }
}

/**
 * Those of several instances together. What one answers in a second is a mean over the time that it was counted, which is
 * shorter for one that has just begun: the means are added, and so the sum is that of the rows. Undefined for none.
 */
export function ratesOfAll(spans: readonly CountedSpan[]): Rates | undefined {
  const all = addSpans(spans)
  if (all === undefined) return undefined
  const each = spans.map(ratesOf)
  return {
    ...ratesOf(all),
    requestsPerSecond: round(sum(each.map(({ requestsPerSecond }) => requestsPerSecond)), 2),
    errorsPerSecond: round(sum(each.map(({ errorsPerSecond }) => errorsPerSecond)), 2),
  }
}

/** Those of several instances as of one. Undefined for none. */
export function addSpans(spans: readonly CountedSpan[]): CountedSpan | undefined {
  if (spans.length === 0) return undefined
  // One that began in between has answered nothing before: its counts are those of the whole time.
  const seconds = Math.max(...spans.map((span) => span.seconds))
  const length = Math.max(...spans.map(({ latency }) => latency.length))
  return {
    seconds,
    requests: sum(spans.map(({ requests }) => requests)),
    errors: sum(spans.map(({ errors }) => errors)),
    latency: Array.from({ length }, (_, i) => sum(spans.map(({ latency }) => latency[i] ?? 0))),
  }
}

function percentileMs(counts: CountedSpan, share: number): number | null {
  const ms = quantileMs(counts, share)
  return ms === undefined ? null : round(ms, 2)
}

const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0)
const round = (value: number, digits: number): number => Math.round(value * 10 ** digits) / 10 ** digits
