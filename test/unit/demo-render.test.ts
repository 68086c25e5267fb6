import { describe, expect, test } from 'vitest'
import { chooseBucketMs, foldJournal, formatCount, formatMs, listFailures, makePaint, renderChart, renderFailures, renderLatency } from '../../demo/render.js'
import type { RequestRecord } from '../traffic/ledger.js'

const plain = makePaint(false)

function failure(kind: string, outcome: string): RequestRecord {
  return { kind, outcome, startMs: 0, durationMs: 1, release: '', generation: '' }
}

describe('the chart', () => {
  const timeline = {
    bucketMs: 1_000,
    buckets: 14,
    releases: { '1.0.0': [80, 80, 80, 40, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0], '2.0.0': [0, 0, 0, 40, 79, 80, 80, 80, 80, 80, 80, 80, 80, 8] },
    failures: Array.from({ length: 14 }, () => 0),
  }
  const handovers = [
    { label: '2.0.0', ok: true, fromMs: 1_500, toMs: 4_200 },
    { label: '3.1.0', ok: false, fromMs: 7_000, toMs: 9_999 },
  ]

  test('has a row for each release, marks and an axis', () => {
    expect(renderChart(timeline, ['1.0.0', '2.0.0', '3.1.0'], handovers, plain)).toEqual([
      '1.0.0     ███▄▁',
      '2.0.0        ▄█████████▁',
      '3.1.0     not one request',
      'handovers  ├2─┤  ├✗┤',
      '          |0 s',
    ])
  })

  test('shows when a request failed', () => {
    const failures = timeline.failures.map((_, index) => (index === 3 ? 2 : 0))
    expect(renderChart({ ...timeline, failures }, ['1.0.0'], [], plain)).toContain('failed       ✗')
  })

  test('never hides a single request', () => {
    const releases = { a: [100_000, 1] }
    expect(renderChart({ bucketMs: 1, buckets: 2, releases, failures: [0, 0] }, ['a'], [], plain)[0]).toBe('a         █▁')
  })

  test('labels the axis every ten seconds, where there is room', () => {
    const lines = renderChart({ bucketMs: 1_000, buckets: 25, releases: {}, failures: [] }, [], [], plain)
    expect(lines.at(-1)).toBe('          |0 s      |10 s     |20 s')
  })

  for (const totalMs of [1, 6_999, 7_001, 55_000, 63_123, 180_000]) {
    test(`fits 80 columns at ${totalMs} ms`, () => {
      const bucketMs = chooseBucketMs(totalMs)
      const buckets = Math.max(1, Math.ceil(totalMs / bucketMs))
      const full = { bucketMs, buckets, releases: { 'a-long-version-1.2.3': Array(buckets).fill(5) }, failures: Array(buckets).fill(1) }
      const spans = [{ label: 'a-long-version-1.2.3', ok: true, fromMs: 0, toMs: totalMs }]
      for (const line of renderChart(full, ['a-long-version-1.2.3'], spans, plain)) expect([...line].length).toBeLessThanOrEqual(80)
    })
  }
})

describe('the tables', () => {
  test('latency', () => {
    expect(renderLatency([
      ['before and between', { requests: 12_345, medianMs: 1.24, p99Ms: 8.06, maxMs: 131.7 }],
      ['handover to 2.0.0', { requests: 0, medianMs: NaN, p99Ms: NaN, maxMs: NaN }],
    ], plain)).toEqual([
      '                               requests     median        p99        max',
      'before and between               12 345     1.2 ms     8.1 ms     132 ms',
      'handover to 2.0.0                     0          -          -          -',
    ])
  })

  test('failures: zeros are shown', () => {
    expect(renderFailures({ keepAlive: { requests: 9_210 }, post: { requests: 3 } }, [], plain)).toEqual([
      '            requests refused  reset hang-up timeout   cut status  wrong  other',
      'keep-alive     9 210       0      0       0       0     0      0      0      0',
      'POST               3       0      0       0       0     0      0      0      0',
      'all            9 213       0      0       0       0     0      0      0      0',
    ])
  })

  test('failures: each is in exactly one column', () => {
    const all = ['refused', 'reset', 'hang-up', 'timeout', 'stuck', 'cut-body', 'bad-status-503', 'bad-body', 'bad-protocol', 'other-EBADF']
    const lines = renderFailures({ post: { requests: 10 } }, all.map((outcome) => failure('post', outcome)), plain)
    expect(lines.at(-1)).toMatch(/^all +10 +1 +1 +1 +2 +1 +1 +2 +1$/)
    expect(lines.at(-2)).toMatch(/^POST +10 +1 +1 +1 +2 +1 +1 +2 +1$/)
  })

  test('fit 80 columns', () => {
    const big = { requests: 1_234_567 }
    const lines = [
      ...renderFailures({ keepAlive: big, connect: big, pipeline: big }, [failure('connect', 'reset')], plain),
      ...renderLatency([['handover to 3.1.0, failed', { requests: 1e6, medianMs: 99_999, p99Ms: 99_999, maxMs: 99_999 }]], plain),
    ]
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(80)
  })
})

test('the first failures are told in words', () => {
  const lines = listFailures([{ ...failure('post', 'reset'), startMs: 16_789, detail: 'read ECONNRESET' }])
  expect(lines).toEqual(['POST, sent at 16.789 s, failed after 1.0 ms: reset, answered by nobody (read', '      ECONNRESET)'])
})

test('the journal is folded at 80 columns, and nothing of it is lost', () => {
  const long = `Nov 21 02:00:01 holdfast[77]: ${'word '.repeat(40).trim()}`
  const path = `Nov 21 02:00:01 shop[88]: ${'x'.repeat(200)}`
  const lines = foldJournal(`${long}\nshort\n${path}\n`)
  for (const line of lines) expect(line.length).toBeLessThanOrEqual(80)
  expect(lines).toContain('short')
  expect(lines.join('').replaceAll(' ', '')).toBe(`${long}short${path}`.replaceAll(' ', ''))
})

test('further lines of a message in the journal move to the left', () => {
  const first = 'Nov 21 02:00:01 holdfast[77]: Generation 3 serves on.'
  const indent = ' '.repeat('Nov 21 02:00:01 holdfast[77]: '.length)
  const text = `${first}\n${indent}Its last lines:\n${indent}  at start\n${indent}${'word '.repeat(15)}end\nnext`
  expect(foldJournal(text)).toEqual([
    first,
    '      Its last lines:',
    '        at start',
    `      ${'word '.repeat(14)}word`,
    '        end',
    'next',
  ])
})

test('figures', () => {
  expect([0, 999, 1_000, 1_234_567].map(formatCount)).toEqual(['0', '999', '1 000', '1 234 567'])
  expect([0.04, 99.94, 100, 1_500, 12_345, NaN].map(formatMs)).toEqual(['0.0 ms', '99.9 ms', '100 ms', '1 500 ms', '12.3 s', '-'])
})

test('colour only where it is wanted', () => {
  expect(makePaint(false)('red', 'x')).toBe('x')
  expect(makePaint(true)('red', 'x')).toBe('\u001B[31mx\u001B[39m')
})
