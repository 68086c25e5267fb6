import { expect, test } from 'vitest'
import { latencyBoundsMs } from '../../../src/runtime/report.js'
import { addRequestCounts, bucketOf, noCounts } from '../../../src/runtime/request-counts.js'

test('each latency is counted at the first bound that it does not exceed', () => {
  for (const ms of [0, 0.001, 0.25, 0.26, 0.3, 1, 1.5, 2, 33, 99.9, 1000, 150_000, 185_000, 200_000, 1e9]) {
    const expected = latencyBoundsMs.findIndex((bound) => ms <= bound)
    expect([ms, bucketOf(ms)]).toEqual([ms, expected < 0 ? latencyBoundsMs.length : expected])
  }
})

test('the bounds themselves are in their own place, but for the last digit of a number', () => {
  for (const [index, bound] of latencyBoundsMs.entries()) {
    expect(bucketOf(bound * 0.9999)).toBe(index)
    expect(bucketOf(bound * 1.0001)).toBe(index + 1)
  }
})

test('two sums', () => {
  const one = { ...noCounts(), requests: 2, errors: 1 }
  one.latency[3] = 2
  const sum = addRequestCounts(one, one)
  expect([sum.requests, sum.errors, sum.latency.length, sum.latency[3]]).toEqual([4, 2, latencyBoundsMs.length + 1, 4])
  expect(one.latency[3]).toBe(2)
})
