// @ts-check
/**
 * One request, from the client's side. Times are milliseconds since the traffic began.
 *
 * @typedef {object} RequestRecord
 * @property {string} kind the kind of client: `keepAlive`, `fetch`, …
 * @property {number} startMs
 * @property {number} durationMs until the last byte of the answer, or until it failed
 * @property {string} release the answer's `x-release`, or '' when no answer began
 * @property {string} generation the answer's `x-generation`, or ''
 * @property {string} outcome `ok` or a kind of failure, see failure.js
 * @property {string} [detail] of a failure
 * @property {number} [repeats] how often it was sent again because its connection was closed in an order that makes it certain
 *   that nothing was done: GOAWAY, or a WebSocket's 1001
 */
/**
 * @typedef {{ label: string, atMs: number }} Mark
 * @typedef {{ label: string, fromMs: number, toMs: number }} Span
 * @typedef {{ requests: number, medianMs: number, p99Ms: number, maxMs: number }} Latency
 * @typedef {{ requests: number, failures: number, medianMs: number, p99Ms: number, maxMs: number }} KindSummary
 * @typedef {{ bucketMs: number, buckets: number, releases: Record<string, number[]>, failures: number[] }} Timeline
 */

/** Long by design, or with pauses of their own: their durations would drown the latency of everything else. */
const slowKinds = new Set(['download', 'upload', 'curl', 'eventSource', 'idle', 'rude'])

/** Every request that has ended, and what can be asked about them. Has no clock: it is given everything. */
export class Ledger {
  /** @type {RequestRecord[]} in the order in which they ended */
  records = []
  /** @type {RequestRecord[]} those whose outcome is not `ok` */
  failures = []
  /** @type {Mark[]} */
  marks = []
  /** @type {Span[]} */
  spans = []
  /** When the traffic ended, ms; undefined while it runs. @type {number | undefined} */
  endMs = undefined
  /** @type {Map<string, number>} */
  #answered = new Map()

  /** @param {RequestRecord} record */
  add(record) {
    this.records.push(record)
    if (record.outcome === 'ok') this.#answered.set(record.release, (this.#answered.get(record.release) ?? 0) + 1)
    else this.failures.push(record)
  }

  /** All requests that have ended, failed ones too. */
  get requests() {
    return this.records.length
  }

  /**
   * Requests answered well by a release; cheap enough to poll.
   *
   * @param {string} release
   */
  answeredBy(release) {
    return this.#answered.get(release) ?? 0
  }

  /** @returns {Record<string, number>} requests answered well, by release, in order of first answer */
  byRelease() {
    return Object.fromEntries(this.#answered)
  }

  /** @returns {Record<string, number>} requests answered well, by generation */
  byGeneration() {
    return countBy(this.records.filter((record) => record.outcome === 'ok'), (record) => record.generation)
  }

  /** @param {string} kind of client @returns {number} see RequestRecord */
  repeatsOf(kind) {
    return this.records.reduce((sum, record) => sum + (record.kind === kind ? (record.repeats ?? 0) : 0), 0)
  }

  /**
   * @param {string} kind of client
   * @returns {string[]} the generations that answered it well, in order of first answer
   */
  generationsSeenBy(kind) {
    const seen = this.records.filter((record) => record.kind === kind && record.outcome === 'ok' && record.generation !== '')
    return [...new Set(seen.map((record) => record.generation))]
  }

  /** @returns {Record<string, number>} failed requests, by kind of failure; empty when all is well */
  failuresByOutcome() {
    return countBy(this.failures, (record) => record.outcome)
  }

  /** @returns {Record<string, KindSummary>} by kind of client */
  byKind() {
    /** @type {Map<string, RequestRecord[]>} */
    const groups = new Map()
    for (const record of this.records) {
      const group = groups.get(record.kind)
      if (group === undefined) groups.set(record.kind, [record])
      else group.push(record)
    }
    return Object.fromEntries(
      [...groups].map(([kind, records]) => [
        kind,
        { ...summarizeLatency(records), failures: records.filter((record) => record.outcome !== 'ok').length },
      ]),
    )
  }

  /**
   * Latency of the requests that were in flight at some time in [from, to): one that was sent before a handover and
   * waited for its end belongs to it. Downloads and uploads, slow by design, are left out; failures are counted in,
   * since a request that timed out is the slowest of all.
   *
   * @param {number | string} [from] ms since the start, or a mark's label
   * @param {number | string} [to]
   * @returns {Latency}
   */
  latency(from = 0, to = Infinity) {
    const fromMs = this.#resolve(from)
    const toMs = this.#resolve(to)
    return summarizeLatency(
      this.records.filter((record) => !slowKinds.has(record.kind) && overlaps(record, fromMs, toMs)),
    )
  }

  /**
   * Latency of the requests that touched none of the given spans.
   *
   * @param {Span[]} [spans]
   * @returns {Latency}
   */
  latencyOutside(spans = this.spans) {
    return summarizeLatency(
      this.records.filter(
        (record) => !slowKinds.has(record.kind) && !spans.some((span) => overlaps(record, span.fromMs, span.toMs)),
      ),
    )
  }

  /**
   * Good answers by release, and failures, by the time at which they ended.
   *
   * @param {number} bucketMs
   * @returns {Timeline}
   */
  timeline(bucketMs) {
    if (!(bucketMs > 0)) throw new RangeError(`a bucket of ${bucketMs} ms`)
    let lastMs = this.endMs ?? 0
    for (const record of this.records) lastMs = Math.max(lastMs, record.startMs + record.durationMs)
    const buckets = Math.max(1, Math.ceil(lastMs / bucketMs))
    /** @type {Record<string, number[]>} */
    const releases = {}
    const failures = emptyRow(buckets)
    for (const record of this.records) {
      const bucket = Math.min(buckets - 1, Math.floor((record.startMs + record.durationMs) / bucketMs))
      const row = record.outcome === 'ok' ? (releases[record.release] ??= emptyRow(buckets)) : failures
      row[bucket] = (row[bucket] ?? 0) + 1
    }
    return { bucketMs, buckets, releases, failures }
  }

  /** @param {number | string} point */
  #resolve(point) {
    if (typeof point === 'number') return point
    const mark = this.marks.find((candidate) => candidate.label === point)
    if (mark === undefined) throw new RangeError(`no mark ${JSON.stringify(point)} in the ledger`)
    return mark.atMs
  }
}

/** @param {number} length @returns {number[]} */
function emptyRow(length) {
  return Array.from({ length }, () => 0)
}

/**
 * @param {RequestRecord} record
 * @param {number} fromMs
 * @param {number} toMs
 */
function overlaps(record, fromMs, toMs) {
  return record.startMs < toMs && record.startMs + record.durationMs >= fromMs
}

/**
 * @param {RequestRecord[]} records
 * @returns {Latency} percentiles by nearest rank; NaN of nothing
 */
export function summarizeLatency(records) {
  const sorted = records.map((record) => record.durationMs).sort((a, b) => a - b)
  const rank = (/** @type {number} */ share) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? NaN
  return { requests: sorted.length, medianMs: rank(0.5), p99Ms: rank(0.99), maxMs: rank(1) }
}

/**
 * @template T
 * @param {T[]} items
 * @param {(item: T) => string} key
 * @returns {Record<string, number>}
 */
function countBy(items, key) {
  /** @type {Record<string, number>} */
  const counts = {}
  for (const item of items) counts[key(item)] = (counts[key(item)] ?? 0) + 1
  return counts
}
