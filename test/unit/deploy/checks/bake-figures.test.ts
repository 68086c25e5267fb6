import { describe, expect, it } from 'vitest'
import { addCounts, bakeWords, chanceOf, countsOf, findFault, isJudged, noCounts, quantileMs, subtractCounts, windowOf, type Counts, type Limits, type Observed } from '../../../../src/deploy/checks/bake-figures.js'
import { answered, latency, report } from '../private-servers.js'

const limits: Limits = { maxErrors: 0.01, maxSlowdown: 3, minRequests: 50 }

/** All that a new and an older generation answered; the newest part is all of it unless it is given. */
const observed = (fresh: Counts, older: Counts = answered(1000), over: Partial<Observed> = {}): Observed => ({ fresh, recent: fresh, newest: fresh, older, olderLife: older, ...over })
const kindOf = (...[seen, at, changed]: [Observed, ('middle' | 'end')?, Partial<Limits>?]): string | undefined => findFault(seen, { ...limits, ...changed }, at ?? 'end')?.kind

describe('the share of errors', () => {
  it.each<[requests: number, errors: number, middle: boolean, end: boolean]>([
    [50, 0, false, false],
    [50, 1, false, false], // one unlucky error
    [50, 2, false, false],
    [50, 3, false, true],
    [50, 5, true, true],
    [49, 9, false, false], // too few to judge
    [49, 10, true, true], // and yet no chance
    [44, 44, true, true],
    [10, 10, true, true],
    [9, 9, false, false],
    [150, 8, true, true], // 5 % of a steady stream
    [1000, 10, false, false], // what is allowed
    [1000, 14, false, false],
    [1000, 20, false, true],
    [1000, 30, true, true],
    [1_000_000, 10_500, true, true],
  ])('of %i requests, %i errors', (requests, errors, middle, end) => {
    expect(kindOf(observed(answered(requests, errors)), 'middle')).toBe(middle ? 'errors' : undefined)
    expect(kindOf(observed(answered(requests, errors)), 'end')).toBe(end ? 'errors' : undefined)
  })

  it('comes on top of what the older one has in the same time', () => {
    expect(kindOf(observed(answered(1000, 60), answered(1000, 60)))).toBeUndefined()
    expect(kindOf(observed(answered(1000, 60), answered(1000, 20)))).toBe('errors')
    // An outage behind both of them.
    expect(kindOf(observed(answered(1000, 1000), answered(40, 40), { olderLife: answered(1e6) }))).toBeUndefined()
  })

  it('is compared with the life of an older one that is idle, else with none', () => {
    expect(kindOf(observed(answered(1000, 60), answered(9, 9), { olderLife: answered(10_000, 600) }))).toBeUndefined()
    expect(kindOf(observed(answered(1000, 60), answered(9, 9), { olderLife: answered(10_000) }))).toBe('errors')
    expect(kindOf(observed(answered(1000, 60), noCounts, { olderLife: noCounts }))).toBe('errors')
  })

  it('of few answers must be beyond chance against the older one’s too', () => {
    expect(kindOf(observed(answered(40, 10), answered(1000, 100)))).toBeUndefined()
    expect(kindOf(observed(answered(40, 14), answered(1000, 100)))).toBe('errors')
    expect(kindOf(observed(answered(44, 44), answered(400, 400)))).toBeUndefined()
    expect(kindOf(observed(answered(44, 44)), 'end', { minRequests: 1_000_000 })).toBe('errors')
  })

  it('may be anything at 100 %, and nothing at 0 %', () => {
    expect(kindOf(observed(answered(1000, 1000)), 'end', { maxErrors: 1 })).toBeUndefined()
    expect(kindOf(observed(answered(50, 1)), 'middle', { maxErrors: 0 })).toBe('errors')
  })

  it('may be read between an error and its answer', () => {
    expect(kindOf(observed(answered(50, 60)))).toBe('errors')
    expect(windowOf(answered(50, 60), 1).errorShare).toBe(1)
  })

  it('is told with its limit', () => {
    expect(findFault(observed(answered(312, 16), answered(290)), limits, 'end')).toEqual({
      kind: 'errors', did: 'answered 16 of 312 requests with errors (5.1 %)', against: 'the older one 0 %: bake.max_errors allows 1 % more',
    })
  })
})

describe('slowness', () => {
  it('is that of the slowest 5 %, beyond the limit', () => {
    expect(kindOf(observed(answered(200, 0, 200), answered(200, 0, 20)))).toBe('slow')
    expect(kindOf(observed(answered(200, 0, 40), answered(200, 0, 20)))).toBeUndefined()
    const tail = (slow: number): Counts => ({ requests: 200, errors: 0, latency: latency({ 10: 200 - slow, 500: slow }) })
    expect(kindOf(observed(tail(30), answered(200)))).toBe('slow')
    expect(kindOf(observed(tail(5), answered(200)))).toBeUndefined()
  })

  it('needs more than chance: some slow answers among 50 are none in the middle', () => {
    const some = (slow: number): Counts => ({ requests: 50, errors: 0, latency: latency({ 10: 50 - slow, 500: slow }) })
    expect(kindOf(observed(some(4)), 'end')).toBeUndefined()
    expect(kindOf(observed(some(7)), 'middle')).toBeUndefined()
    expect(kindOf(observed(some(7)), 'end')).toBe('slow')
    expect(kindOf(observed(some(12)), 'middle')).toBe('slow')
  })

  it('is none below what a timer makes', () => {
    expect(kindOf(observed(answered(500, 0, 4), answered(500, 0, 0.3)))).toBeUndefined()
    expect(kindOf(observed(answered(500, 0, 11), answered(500, 0, 0.3)))).toBeUndefined()
    expect(kindOf(observed(answered(500, 0, 30), answered(500, 0, 0.3)))).toBe('slow')
  })

  it('is over once the newest answers are fast: a process is slow at first', () => {
    const warm = { requests: 300, errors: 0, latency: latency({ 10: 200, 500: 100 }) }
    expect(kindOf(observed(warm, answered(300), { recent: answered(60) }))).toBeUndefined()
    expect(kindOf(observed(warm, answered(300), { recent: answered(60, 0, 500) }))).toBe('slow')
  })

  it('has no verdict with too few answers; the older one’s life stands in for its time', () => {
    expect(kindOf(observed(answered(19, 0, 500)))).toBeUndefined()
    expect(kindOf(observed(answered(200, 0, 500), answered(19, 0, 10)))).toBeUndefined()
    expect(kindOf(observed(answered(200, 0, 500), answered(19, 0, 10), { olderLife: answered(5000, 0, 10) }))).toBe('slow')
    expect(kindOf(observed(answered(200, 0, 500), noCounts, { olderLife: answered(5000, 0, 400) }))).toBeUndefined()
  })

  it('of few answers must be half of them, and the newest too, beyond nearly all of the older one’s', () => {
    const half = (slow: number): Counts => ({ requests: 35, errors: 0, latency: latency({ 10: 35 - slow, 500: slow }) })
    for (const at of ['middle', 'end'] as const) {
      expect(kindOf(observed(answered(20, 0, 500), answered(20)), at)).toBe('slow')
      expect(kindOf(observed(half(20)), at)).toBe('slow')
      expect(kindOf(observed(half(15)), at)).toBeUndefined()
      expect(kindOf(observed(half(20), answered(400), { newest: answered(20) }), at)).toBeUndefined()
      expect(kindOf(observed(half(20), answered(400), { newest: answered(19, 0, 500) }), at)).toBeUndefined()
      expect(kindOf(observed(answered(35, 0, 20), answered(400)), at)).toBeUndefined()
      expect(kindOf(observed(answered(35, 0, 500), answered(19)), at)).toBeUndefined()
      // The slower of its time and its life.
      expect(kindOf(observed(answered(35, 0, 500), answered(400), { olderLife: answered(5000, 0, 400) }), at)).toBeUndefined()
      expect(kindOf(observed(answered(35, 0, 500), noCounts, { olderLife: answered(5000) }), at)).toBe('slow')
    }
    expect(findFault(observed(answered(35, 0, 80), answered(418, 0, 0.3)), limits, 'middle')).toEqual({
      kind: 'slow', did: expect.stringMatching(/^took more than [78]\d ms for half of 35 requests$/), against: expect.stringMatching(/^the older one at most 0\.3 ms for 95 %: bake\.max_slowdown allows 3 times as long, and 15 ms in any case$/),
    })
  })

  it('is told with its limit', () => {
    expect(findFault(observed(answered(200, 0, 200), answered(200, 0, 20)), limits, 'end')).toEqual({
      kind: 'slow', did: expect.stringMatching(/^answered 95 % of 200 requests within 2\d\d ms$/), against: expect.stringMatching(/^the older one within 2\d ms: bake\.max_slowdown allows 3 times as long, and 15 ms in any case$/),
    })
  })
})

describe('counters', () => {
  it('add up, and never go below nothing', () => {
    const [small, large] = [answered(3, 1), answered(10, 2)]
    expect(addCounts(small, large)).toEqual({ requests: 13, errors: 3, latency: latency({ 10: 13 }) })
    expect(subtractCounts(large, small)).toEqual({ requests: 7, errors: 1, latency: latency({ 10: 7 }) })
    expect(subtractCounts(small, large)).toEqual(noCounts)
    expect(countsOf(report(answered(5)))).toEqual(answered(5))
  })

  it('give a time within the bounds', () => {
    expect(quantileMs(noCounts, 0.5)).toBeUndefined()
    const median = quantileMs(answered(100, 0, 10), 0.5) as number
    expect(median).toBeGreaterThan(8)
    expect(median).toBeLessThan(11.4)
    expect(quantileMs({ requests: 1, errors: 0, latency: latency({ 1e9: 1 }) }, 0.95)).toBeGreaterThan(180_000)
    expect(windowOf(noCounts, 1.234)).toEqual({ requests: 0, errors: 0, errorShare: 0, seconds: 1.2 })
  })
})

it.each<[hits: number, tries: number, probability: number, expected: number]>([
  [3, 50, 0.01, 0.01382],
  [1, 1, 0.25, 0.25],
  [10, 10, 0.5, 1 / 1024],
  [8, 150, 0.01, 0.000_149_6],
  [70, 1000, 0.05, 0.00347],
  [0, 10, 0.5, 1],
  [5, 100, 0.05, 1],
  [11, 10, 0.5, 0],
  [1, 50, 0, 0],
  [50, 50, 1, 1],
  [2, 1_000_000, 0.05, 1],
  [900_000, 1_000_000, 0.05, 0],
])('the chance of %i or more in %i, each with %d, is %d', (hits, tries, probability, expected) => {
  expect(chanceOf(hits, tries, probability)).toBeCloseTo(expected, expected < 0.001 ? 6 : 4)
})

it('the figures in words', () => {
  const figures = { fresh: windowOf(answered(312, 16), 14), older: windowOf(answered(290, 0, 10), 14) }
  expect(bakeWords({ ...figures, minRequests: 50 })).toMatch(/^312 requests, 16 errors \(5\.1 %\), 95 % within 11 ms; the older one 290 requests, 0 errors, 95 % within 11 ms; in 14 s$/)
  expect(bakeWords({ fresh: windowOf(answered(1, 1, 2000), 60), older: windowOf(noCounts, 60), minRequests: 50 })).toMatch(
    /^1 request, 1 error \(100 %\), 95 % within 2(\.\d)? s, too few to judge \(bake\.min_requests is 50\); the older one no requests; in 60 s$/,
  )
  expect([isJudged({ ...figures, minRequests: 312 }), isJudged({ ...figures, minRequests: 313 }), isJudged(figures)]).toEqual([true, false, false])
  expect(bakeWords({ fresh: windowOf(noCounts, 2), older: windowOf(noCounts, 2) })).toBe('no requests; the older one no requests; in 2 s')
})
