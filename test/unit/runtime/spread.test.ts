import { describe, expect, test } from 'vitest'
import { shuffle, spreadMoments } from '../../../src/runtime/spread.js'

/** The most moments within any second. */
function peak(moments: readonly number[]): number {
  return Math.max(0, ...moments.map((from, index) => moments.slice(index).filter((moment) => moment < from + 1000).length))
}

describe('moments of closing', () => {
  test('are spread over the window', () => {
    const moments = spreadMoments(1000, { windowMs: 10_000, perSecond: 1000, availableMs: 60_000 })
    expect(moments).toEqual([...moments].sort((a, b) => a - b))
    expect(moments.at(-1)).toBeGreaterThan(9_900)
    expect(moments.at(-1)).toBeLessThan(10_000)
    expect(peak(moments)).toBeLessThanOrEqual(101)
  })

  test('keep the rate, and take longer for it', () => {
    const moments = spreadMoments(1000, { windowMs: 1_000, perSecond: 50, availableMs: 60_000 })
    expect(peak(moments)).toBeLessThanOrEqual(51)
    expect(moments.at(-1)).toBeGreaterThan(19_000)
  })

  test('all come before the end, whatever the rate', () => {
    const moments = spreadMoments(1000, { windowMs: 30_000, perSecond: 10, availableMs: 4_000 })
    expect(moments.at(-1)).toBeLessThan(4_000)
  })

  test('differ from drain to drain', () => {
    const limits = { windowMs: 10_000, perSecond: 100, availableMs: 60_000 }
    expect(spreadMoments(3, limits)).not.toEqual(spreadMoments(3, limits))
  })

  test('of none are none', () => expect(spreadMoments(0, { windowMs: 1, perSecond: 1, availableMs: 1 })).toEqual([]))
})

test('a shuffled list has the same items', () => {
  const items = Array.from({ length: 100 }, (_, index) => index)
  const shuffled = shuffle(items)
  expect(shuffled).not.toEqual(items)
  expect([...shuffled].sort((a, b) => a - b)).toEqual(items)
})
