import { existsSync, rmSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { readHistory } from '../../../src/release/history.js'
import { holdFile } from '../../../src/release/standby.js'
import { readState } from '../../../src/release/state.js'
import { readRelease } from '../../../src/release/store.js'
import { writeState } from './app-on-disk.js'
import { makeHolding, type StandbyShop } from './standby-shop.js'

const crashing = { active: 'activating', sub: 'auto-restart', result: 'exit-code', restarts: 7, exit: { how: 'exited', status: 1 } } as const
const heldBack = (shop: StandbyShop, process = 1): boolean => existsSync(holdFile(shop.paths, { generation: 4, process }))
const untouched = (shop: StandbyShop, wanted = 'r1'): void => expect(readState(shop.paths)).toMatchObject({ wanted, live: { generation: 3, release: 'r1' } })

describe('what is held', () => {
  it('goes live as it runs, and what was live leaves', async () => {
    const shop = await makeHolding()
    const { invocation } = shop.systemd.units.get(shop.unit(4))!
    shop.systemd.onStart = () => ({ invocation })
    expect(await shop.promote()).toMatchObject({ kind: 'live', generation: 4, release: 'r2' })
    expect(shop.up()).toEqual([shop.unit(4)])
    expect(heldBack(shop)).toBe(false)
    const state = readState(shop.paths)
    expect(state).toMatchObject({ wanted: 'r2', live: { generation: 4, release: 'r2', processes: 1 } })
    expect(state.held).toBeUndefined()
    expect(readHistory(shop.paths).map(({ kind, outcome, generation }) => [kind, outcome, generation])).toEqual([['deploy', 'held', 4], ['promote', 'live', 4]])
    expect(readRelease(shop.paths, 'r2').outcome).toBe('good')
  })

  it('stays held when it is not fit to go live now', async () => {
    const shop = await makeHolding()
    shop.systemd.onStart = () => crashing
    expect(await shop.promote()).toMatchObject({ kind: 'failed', serving: 3, reason: expect.stringContaining('shop@4.1.service exited with status 1') as string })
    untouched(shop)
    expect(readState(shop.paths).held).toMatchObject({ generation: 4 })
    expect([heldBack(shop), shop.up()]).toEqual([true, [shop.unit(3)]])
    expect(readRelease(shop.paths, 'r2').outcome).toBe('untried')
    expect(readHistory(shop.paths).at(-1)).toMatchObject({ kind: 'promote', outcome: 'failed', generation: 4 })
  })

  it('is rolled back where it does not stand its bake', async () => {
    const shop = await makeHolding()
    shop.app.config.start.settleMs = 1000
    shop.tell = (unit) => {
      if (unit === shop.unit(4) && !heldBack(shop)) shop.systemd.set(unit, crashing)
      return {}
    }
    expect(await shop.promote()).toMatchObject({ kind: 'failed', serving: 3 })
    untouched(shop)
    expect(readState(shop.paths).held).toBeUndefined()
    expect(shop.up()).toEqual([shop.unit(3)])
    expect(readHistory(shop.paths).at(-1)).toMatchObject({ kind: 'promote', outcome: 'rolled-back' })
  })

  it('is let in though its configuration has changed since', async () => {
    const shop = await makeHolding({ processes: 2 })
    shop.app.config.start.standby = false
    shop.app.config.processes = 3
    expect(await shop.promote()).toMatchObject({ kind: 'live' })
    expect([heldBack(shop, 1), heldBack(shop, 2)]).toEqual([false, false])
    // Others have no files.
    expect(shop.up()).toEqual([shop.unit(4, 1), shop.unit(4, 2)])
    expect(readState(shop.paths).live).toMatchObject({ generation: 4, processes: 2 })
  })

  it('has no process left behind where there are to be fewer by now', async () => {
    const shop = await makeHolding({ processes: 2 })
    shop.app.config.processes = 1
    await shop.promote()
    expect(readState(shop.paths).live).toMatchObject({ generation: 4, processes: 2 })
    expect([heldBack(shop, 1), heldBack(shop, 2)]).toEqual([false, false])
  })

  it('does not go on serving where it cannot be recorded', async () => {
    const shop = await makeHolding()
    shop.tell = () => {
      // Somebody else, just when it is let in.
      if (!heldBack(shop)) writeState(shop, { ...readState(shop.paths), generation: 9 })
      return {}
    }
    await expect(shop.promote()).rejects.toMatchObject({ code: 'state-changed' })
    expect(shop.up()).toEqual([shop.unit(3)])
    expect(readState(shop.paths).held).toBeUndefined()
    expect(readHistory(shop.paths).at(-1)).toMatchObject({ outcome: 'aborted', generation: 4 })
  })

  it('stays held where its promotion cannot begin', async () => {
    const shop = await makeHolding()
    shop.app.systemd.queueStart = () => Promise.reject(new Error('no bus'))
    await expect(shop.promote()).rejects.toThrow('no bus')
    expect([heldBack(shop), shop.up()]).toEqual([true, [shop.unit(3), shop.unit(4)]])
    expect(readState(shop.paths).held).toMatchObject({ generation: 4 })
  })

  it('is no longer what was meant', async () => {
    const shop = await makeHolding()
    await expect(shop.promote({ began: 'r0' })).rejects.toMatchObject({ code: 'state-changed' })
    shop.systemd.units.delete(shop.unit(4))
    await expect(shop.promote()).rejects.toThrow('generation 4 is no longer held')
    expect(readHistory(shop.paths).at(-1)).toMatchObject({ outcome: 'aborted', reason: expect.stringContaining('nothing of it runs any more') as string })
  })
})

describe('a promotion that was killed', () => {
  it('after it was recorded has the older ones leave when it runs again', async () => {
    const shop = await makeHolding()
    const order = { id: '20260201-000000-abcdef' }
    shop.app.systemd.beginStop = () => Promise.reject(new Error('killed'))
    await expect(shop.promote(order)).rejects.toThrow('killed')
    expect([readState(shop.paths).live?.generation, shop.up()]).toEqual([4, [shop.unit(3), shop.unit(4)]])
    delete (shop.app.systemd as Partial<typeof shop.systemd>).beginStop
    expect(await shop.promote(order)).toMatchObject({ kind: 'live', generation: 4 })
    expect(shop.up()).toEqual([shop.unit(4)])
    expect(readHistory(shop.paths).filter(({ kind }) => kind === 'promote')).toMatchObject([{ outcome: 'live', generation: 4 }])
  })

  it('after it was let in rolls back where it fails now: it is no longer held back', async () => {
    const shop = await makeHolding()
    rmSync(holdFile(shop.paths, { generation: 4, process: 1 }))
    shop.systemd.onStart = () => crashing
    expect(await shop.promote()).toMatchObject({ kind: 'failed', serving: 3 })
    expect(shop.systemd.units.has(shop.unit(4))).toBe(false)
    expect(readState(shop.paths).held).toBeUndefined()
    expect(readHistory(shop.paths).at(-1)).toMatchObject({ outcome: 'rolled-back' })
  })
})

describe('canaries', () => {
  const waiting = (processes: number, canaries: number): Promise<StandbyShop> => makeHolding({ processes }, { canary: { processes: canaries, auto: false } })

  it('are joined by the rest of their generation', async () => {
    const shop = await waiting(3, 1)
    expect(readState(shop.paths).held).toMatchObject({ generation: 4, kind: 'canary', processes: 1 })
    expect(shop.up()).toEqual([shop.unit(3, 1), shop.unit(3, 2), shop.unit(3, 3), shop.unit(4, 1)])
    expect(await shop.promote()).toMatchObject({ kind: 'live' })
    expect(shop.up()).toEqual([1, 2, 3].map((process) => shop.unit(4, process)))
    expect([1, 2, 3].map((process) => heldBack(shop, process))).toEqual([false, false, false])
    expect(readState(shop.paths).live).toMatchObject({ generation: 4, processes: 3 })
  })

  it('that crash by now do not take the place of what is live', async () => {
    const shop = await waiting(1, 1)
    shop.systemd.set(shop.unit(4), crashing)
    shop.systemd.onStart = () => crashing
    expect(await shop.promote()).toMatchObject({ kind: 'failed', serving: 3, reason: expect.stringContaining('exited with status 1') as string })
    untouched(shop)
    expect(readState(shop.paths).held).toMatchObject({ generation: 4 })
    expect(shop.up()).toEqual([shop.unit(3)])
  })

  it('that somebody has stopped are started again first', async () => {
    const shop = await waiting(2, 2)
    shop.systemd.units.delete(shop.unit(4, 2))
    expect(await shop.promote()).toMatchObject({ kind: 'live' })
    expect(shop.up()).toEqual([shop.unit(4, 1), shop.unit(4, 2)])
    expect(heldBack(shop, 2)).toBe(false)
  })

  it('are discarded where their generation does not become whole', async () => {
    const shop = await waiting(2, 1)
    shop.systemd.onStart = (unit) => (unit === shop.unit(4, 2) ? crashing : {})
    expect(await shop.promote()).toMatchObject({ kind: 'failed', serving: 3 })
    untouched(shop)
    expect(readState(shop.paths).held).toBeUndefined()
    expect(shop.up()).toEqual([shop.unit(3, 1), shop.unit(3, 2)])
  })
})
