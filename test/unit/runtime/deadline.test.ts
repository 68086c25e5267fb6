import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { aborted, Deadline } from '../../../src/runtime/deadline.js'

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }))
afterEach(() => void vi.useRealTimers())

/** After how many milliseconds a deadline is near, and over. */
function watch(deadline: Deadline): { nearMs?: number; overMs?: number } {
  const seen: { nearMs?: number; overMs?: number } = {}
  const from = performance.now()
  deadline.near.addEventListener('abort', () => (seen.nearMs = performance.now() - from))
  deadline.over.addEventListener('abort', () => (seen.overMs = performance.now() - from))
  return seen
}

test.each([
  ['a tenth of the time', 20_000, 18_000],
  ['a tenth of a short time', 100, 90],
  ['30 s of a long one', 3_600_000, 3_570_000],
  ['30 s from 5 min on', 300_000, 270_000],
])('is near %s before the end', (_, ms, nearMs) => {
  const deadline = new Deadline()
  expect(deadline.leftMs).toBe(Infinity)
  const seen = watch(deadline)
  deadline.set(ms)
  vi.advanceTimersByTime(nearMs - 1)
  expect(deadline.leftMs).toBe(ms - nearMs + 1)
  expect(seen).toEqual({})
  vi.advanceTimersByTime(ms)
  expect(seen).toEqual({ nearMs, overMs: ms })
  expect(deadline.leftMs).toBe(0)
})

test('comes closer: the later end does not count any more', () => {
  const deadline = new Deadline()
  const seen = watch(deadline)
  deadline.set(900_000)
  vi.advanceTimersByTime(10_000)
  deadline.set(90_000)
  expect(deadline.leftMs).toBe(90_000)
  expect(vi.getTimerCount()).toBe(2)
  vi.advanceTimersByTime(90_000)
  expect(seen).toEqual({ nearMs: 91_000, overMs: 100_000 })
})

test('never goes further away, whatever has passed of it', () => {
  const deadline = new Deadline()
  const seen = watch(deadline)
  deadline.set(10_000)
  deadline.set(60_000)
  expect(deadline.leftMs).toBe(10_000)
  vi.advanceTimersByTime(4_000)
  // A shorter time, but from now on: the end would be a later one.
  deadline.set(8_000)
  expect(deadline.leftMs).toBe(6_000)
  vi.advanceTimersByTime(60_000)
  expect(seen).toEqual({ nearMs: 9_000, overMs: 10_000 })
})

test('aborted() settles when the signal is, and at once when it was', async () => {
  const deadline = new Deadline()
  deadline.set(1_000)
  let isOver = false
  const over = aborted(deadline.over).then(() => (isOver = true))
  vi.advanceTimersByTime(999)
  await Promise.resolve()
  expect(isOver).toBe(false)
  vi.advanceTimersByTime(1)
  await over
  await aborted(deadline.over)
})
