import { existsSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { readHistory } from '../../../src/release/history.js'
import { holdBack, holdFile } from '../../../src/release/standby.js'
import { readState } from '../../../src/release/state.js'
import { writeState } from './app-on-disk.js'
import { makeStandbyShop, type StandbyShop } from './standby-shop.js'

const crashing = { active: 'failed', sub: 'failed', result: 'exit-code', exit: { how: 'exited', status: 1 } } as const
const heldBack = (shop: StandbyShop, process = 1, generation = 4): boolean => existsSync(holdFile(shop.paths, { generation, process }))
const steps = (shop: StandbyShop): string[] => shop.systemd.orders.filter((order) => /@\d/.test(order))

describe('a handover of an app that knows standby', () => {
  it('starts it held back, and lets it in before the older one leaves', async () => {
    const shop = await makeStandbyShop()
    shop.systemd.onStart = (unit) => {
      expect([unit, heldBack(shop)]).toEqual([shop.unit(4), true])
      return {}
    }
    shop.systemd.onStop = (unit) => {
      expect([unit, heldBack(shop)]).toEqual([shop.unit(3), false])
      return {}
    }
    expect(await shop.deploy()).toMatchObject({ kind: 'live', generation: 4 })
    expect(steps(shop)).toEqual([`start ${shop.unit(4)}`, `stop ${shop.unit(3)}`])
  })

  it('never lets in what fails before', async () => {
    const shop = await makeStandbyShop()
    shop.app.config.start.settleMs = 300
    shop.tell = (unit) => {
      // Ready, and then it crashes.
      if (unit === shop.unit(4)) shop.systemd.set(unit, crashing)
      return {}
    }
    shop.systemd.onStop = (unit) => {
      expect([unit, heldBack(shop)]).toEqual([shop.unit(4), true])
      return {}
    }
    expect(await shop.deploy()).toMatchObject({ kind: 'failed', serving: 3 })
    expect(readHistory(shop.paths).at(-1)).toMatchObject({ outcome: 'failed' })
    expect(shop.up()).toEqual([shop.unit(3)])
    // Gone with what it was for.
    expect(heldBack(shop)).toBe(false)
  })

  it('is refused where the release has no runtime that could hold it back', async () => {
    const shop = await makeStandbyShop()
    shop.tell = (unit) => (unit === shop.unit(4) ? { accepting: true } : {})
    expect(await shop.deploy({ hold: {} })).toMatchObject({ kind: 'failed', serving: 3, reason: 'shop@4.1.service accepts connections, although it is to be held back' })
    expect(readState(shop.paths).held).toBeUndefined()
    expect(shop.up()).toEqual([shop.unit(3)])
  })

  it('takes a release whose runtime tells nothing where nothing else serves, as after a boot', { timeout: 20_000 }, async () => {
    const shop = await makeStandbyShop()
    shop.systemd.units.delete(shop.unit(3))
    shop.tell = () => undefined
    expect(await shop.deploy()).toMatchObject({ kind: 'live', generation: 4 })
    expect(heldBack(shop)).toBe(false)
  })

  it('lets in what is started without a standby, whatever a file of that number says', async () => {
    const shop = await makeStandbyShop()
    holdBack(shop.paths, [{ generation: 4, process: 1 }])
    shop.app.config.start.standby = false
    shop.systemd.onStart = () => {
      expect(heldBack(shop)).toBe(false)
      return {}
    }
    expect(await shop.deploy()).toMatchObject({ kind: 'live', generation: 4 })
  })
})

describe('a rolling handover', () => {
  const rolling = async (options: Parameters<typeof makeStandbyShop>[0] = { processes: 3 }): Promise<StandbyShop> => {
    const shop = await makeStandbyShop(options)
    shop.app.config.strategy = 'rolling'
    return shop
  }

  it('replaces one process after the other, the first after its bake, and one of the older ones stays to the end', async () => {
    const shop = await rolling()
    const seen: number[] = []
    shop.systemd.onStart = (unit) => {
      seen.push(shop.up().filter((name) => name !== unit).length)
      return {}
    }
    expect(await shop.deploy()).toMatchObject({ kind: 'live' })
    expect(steps(shop)).toEqual([
      `start ${shop.unit(4, 1)}`, `stop ${shop.unit(3, 1)}`, `start ${shop.unit(4, 2)}`, `stop ${shop.unit(3, 2)}`, `start ${shop.unit(4, 3)}`, `stop ${shop.unit(3, 3)}`,
    ])
    expect(seen).toEqual([3, 3, 3])
    expect([1, 2, 3].map((process) => heldBack(shop, process))).toEqual([false, false, false])
  })

  it.each([[1, 3], [4, 2]])('from %i processes to %i', async (live, processes) => {
    const shop = await rolling({ live, processes })
    let fewest = live
    shop.systemd.onStop = () => {
      fewest = Math.min(fewest, shop.up().length - 1)
      // The last of them stays until others are recorded.
      if (shop.up().filter((unit) => unit.startsWith('shop@3.')).length === 1) expect(readState(shop.paths).live?.generation).toBe(4)
      return {}
    }
    expect(await shop.deploy()).toMatchObject({ kind: 'live' })
    expect(shop.up()).toEqual(Array.from({ length: processes }, (_, i) => shop.unit(4, i + 1)))
    expect(fewest).toBeGreaterThanOrEqual(Math.min(live, processes))
  })

  it('has those that have left come back before the new ones go', async () => {
    const shop = await rolling()
    shop.systemd.onStart = (unit) => (unit === shop.unit(4, 3) ? crashing : {})
    shop.systemd.onStop = (unit) => {
      if (unit === shop.unit(4, 1)) expect(shop.up().filter((name) => name.startsWith('shop@3.'))).toHaveLength(3)
      return {}
    }
    expect(await shop.deploy()).toMatchObject({ kind: 'failed', serving: 3 })
    expect(shop.up()).toEqual([1, 2, 3].map((process) => shop.unit(3, process)))
    expect(readHistory(shop.paths).at(-1)).toMatchObject({ outcome: 'rolled-back' })
  })

  it('has them come back where it cannot be recorded', async () => {
    const shop = await rolling()
    shop.systemd.onStart = (unit) => {
      if (unit === shop.unit(4, 3)) writeState(shop, { ...readState(shop.paths), generation: 9 })
      return {}
    }
    await expect(shop.deploy()).rejects.toMatchObject({ code: 'state-changed' })
    expect(shop.up()).toEqual([1, 2, 3].map((process) => shop.unit(3, process)))
  })

  it('has them come back after it was killed, before it undoes what is left', async () => {
    const shop = await rolling()
    shop.systemd.units.delete(shop.unit(3, 1))
    for (const process of [1, 2]) shop.systemd.set(shop.unit(4, process))
    writeState(shop, { ...readState(shop.paths), generation: 4 })
    const began = steps(shop).length
    shop.systemd.onStart = (unit) => (unit.startsWith('shop@5.') ? crashing : {})
    expect(await shop.deploy()).toMatchObject({ kind: 'failed', generation: 5 })
    expect(steps(shop).slice(began, began + 5).slice(-2)).toEqual([`stop ${shop.unit(4, 1)}`, `stop ${shop.unit(4, 2)}`])
    expect(shop.up()).toEqual([1, 2, 3].map((process) => shop.unit(3, process)))
  })

  it('holds the whole generation, and brings up as many canaries as are asked for', async () => {
    const shop = await rolling()
    expect(await shop.deploy({ hold: {} })).toMatchObject({ kind: 'held' })
    expect(readState(shop.paths).held).toMatchObject({ generation: 4, processes: 3 })
    expect(await shop.deploy({ canary: { processes: 2, auto: false } })).toMatchObject({ kind: 'held', generation: 5 })
    expect(readState(shop.paths).held).toMatchObject({ generation: 5, processes: 2, kind: 'canary' })
    expect(shop.up().filter((unit) => !unit.startsWith('shop@3.'))).toEqual([shop.unit(5, 1), shop.unit(5, 2)])
  })
})

it('goes on by itself after its canaries where it was asked to', async () => {
  const shop = await makeStandbyShop({ processes: 3 })
  expect(await shop.deploy({ canary: { processes: 1, auto: true } })).toMatchObject({ kind: 'live' })
  expect(steps(shop).slice(0, 3)).toEqual([`start ${shop.unit(4, 1)}`, `start ${shop.unit(4, 2)}`, `start ${shop.unit(4, 3)}`])
  expect(shop.up()).toEqual([1, 2, 3].map((process) => shop.unit(4, process)))
})
