import { describe, expect, test } from 'vitest'
import { parseAddress } from '../traffic/address.js'
import { Ledger, summarizeLatency, type RequestRecord } from '../traffic/ledger.js'

function record(startMs: number, durationMs: number, more: Partial<RequestRecord> = {}): RequestRecord {
  return { kind: 'keepAlive', startMs, durationMs, release: '1', generation: '1', outcome: 'ok', ...more }
}

function ledgerOf(...records: RequestRecord[]) {
  const ledger = new Ledger()
  for (const each of records) ledger.add(each)
  return ledger
}

describe('latency', () => {
  test('is by nearest rank', () => {
    const records = Array.from({ length: 200 }, (_, index) => record(0, 200 - index))
    expect(summarizeLatency(records)).toEqual({ requests: 200, medianMs: 100, p99Ms: 198, maxMs: 200 })
    expect(summarizeLatency([record(0, 7)])).toEqual({ requests: 1, medianMs: 7, p99Ms: 7, maxMs: 7 })
    expect(summarizeLatency([])).toEqual({ requests: 0, medianMs: NaN, p99Ms: NaN, maxMs: NaN })
  })

  test('belongs to every stretch of time that the request was in flight in', () => {
    const ledger = ledgerOf(record(0, 10), record(90, 20), record(120, 500), record(190, 5), record(700, 1))
    expect(ledger.latency(100, 200)).toMatchObject({ requests: 3, maxMs: 500 })
    expect(ledger.latencyOutside([{ label: 'deploy', fromMs: 100, toMs: 200 }])).toMatchObject({ requests: 2, maxMs: 10 })
  })

  test('leaves out what is slow by design, and counts failures in', () => {
    const ledger = ledgerOf(record(0, 5_000, { kind: 'download' }), record(0, 9, { outcome: 'timeout' }), record(0, 1))
    expect(ledger.latency()).toMatchObject({ requests: 2, maxMs: 9 })
  })

  test('between marks', () => {
    const ledger = ledgerOf(record(0, 1), record(10, 2), record(20, 3))
    ledger.marks.push({ label: 'a', atMs: 5 }, { label: 'b', atMs: 15 })
    expect(ledger.latency('a', 'b')).toMatchObject({ requests: 1, maxMs: 2 })
    expect(() => ledger.latency('c')).toThrow('no mark "c"')
  })
})

test('a timeline counts good answers and failures when they ended', () => {
  const ledger = ledgerOf(record(0, 150), record(120, 1, { release: '2' }), record(0, 250, { release: '2', outcome: 'cut-body' }))
  ledger.endMs = 310
  expect(ledger.timeline(100)).toEqual({
    bucketMs: 100,
    buckets: 4,
    releases: { 1: [0, 1, 0, 0], 2: [0, 1, 0, 0] },
    failures: [0, 0, 1, 0],
  })
  expect(() => ledger.timeline(0)).toThrow(RangeError)
})

test('counts add up', () => {
  const ledger = ledgerOf(
    record(0, 1),
    record(0, 2, { generation: '2' }),
    record(0, 3, { kind: 'post', outcome: 'reset', release: '' }),
    record(0, 3, { kind: 'post', outcome: 'bad-body', release: '2' }),
  )
  expect(ledger.requests).toBe(4)
  expect(ledger.byRelease()).toEqual({ 1: 2 })
  expect(ledger.answeredBy('2')).toBe(0)
  expect(ledger.byGeneration()).toEqual({ 1: 1, 2: 1 })
  expect(ledger.failuresByOutcome()).toEqual({ reset: 1, 'bad-body': 1 })
  expect(ledger.byKind()).toMatchObject({ keepAlive: { requests: 2, failures: 0 }, post: { requests: 2, failures: 2 } })
})

test('addresses', () => {
  expect(parseAddress('127.0.0.1:80')).toEqual({ host: '127.0.0.1', port: 80 })
  expect(parseAddress('[::1]:80')).toEqual({ host: '::1', port: 80 })
  expect(parseAddress('80')).toEqual({ host: '127.0.0.1', port: 80 })
  expect(parseAddress('/run/shop/http.sock')).toEqual({ socketPath: '/run/shop/http.sock' })
  expect(() => parseAddress('[2001:db8::1]:80')).toThrow('loopback only')
  expect(() => parseAddress('127.0.0.1')).toThrow('not an address')
})
