import { expect, test } from 'vitest'
import { peakWithin } from '../traffic/crowd.js'

test('the peak is that of any second, not of those that begin with the first', () => {
  expect(peakWithin([], 1_000)).toBe(0)
  expect(peakWithin([0, 1_000, 2_000], 1_000)).toBe(1)
  expect(peakWithin([0, 900, 950, 1_100, 1_899, 1_900], 1_000)).toBe(4)
})
