import { expect, it } from 'vitest'
import { Attention } from '../../../../src/deploy/observe/watch-attention.js'
import { instance, unit } from '../../cli/observed.js'
import { view } from '../../cli/watched.js'

const needed = (change: Parameters<typeof view>[0], isTold = true): boolean => {
  const attention = new Attention(isTold)
  attention.seen('shop', view(change))
  return attention.isNeededBy('shop', 0)
}

it('is needed while something passes', () => {
  expect(needed({})).toBe(false)
  expect(needed({ instances: [instance(2), instance(1, { active: 'deactivating' })] })).toBe(true)
  expect(needed({ instances: [instance(2), { ...instance(3), heldBack: true }] })).toBe(true)
  expect(needed({ service: unit('shop.service', { active: 'activating', sub: 'start' }) })).toBe(true)
  expect(needed({ deploy: { isRunning: true, record: undefined } })).toBe(true)
  expect(needed({ deploy: { isRunning: false, record: undefined } })).toBe(false)
})

it('is needed by all where the journal tells nothing', () => expect(needed({}, false)).toBe(true))

it('is needed for a while after something has happened', () => {
  const attention = new Attention(true)
  attention.happened('shop', 1_000)
  expect([1_000, 3_999, 4_000].map((now) => attention.isNeededBy('shop', now))).toEqual([true, true, false])
  expect(attention.isNeededBy('other', 1_000)).toBe(false)
  attention.happened('shop', 9_000)
  attention.forget('shop')
  expect(attention.isNeededBy('shop', 9_000)).toBe(false)
})
