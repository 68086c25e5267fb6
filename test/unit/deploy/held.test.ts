import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { reviveBesideHeld } from '../../../src/deploy/activate.js'
import { lookAgain } from '../../../src/deploy/after-drain.js'
import { isAsRecorded } from '../../../src/deploy/operation/apply.js'
import { newDeployId, type AbortRequest, type PromoteRequest } from '../../../src/deploy/operation/deploy-request.js'
import { drainApp } from '../../../src/deploy/drain.js'
import { handOver } from '../../../src/deploy/handover.js'
import { ownIdentity } from '../../../src/deploy/operation/deploy-owner.js'
import { releasesInUse } from '../../../src/deploy/releases-in-use.js'
import { tidy } from '../../../src/deploy/tidy.js'
import { readHistory, type HistoryEntry } from '../../../src/release/history.js'
import { writeManifest } from '../../../src/release/manifest.js'
import { holdFile } from '../../../src/release/standby.js'
import { readState } from '../../../src/release/state.js'
import { readRelease } from '../../../src/release/store.js'
import { run, serveOrders } from './app-on-disk.js'
import { makeHolding, makeStandbyShop, type StandbyShop } from './standby-shop.js'

const heldBack = (shop: StandbyShop, process = 1): boolean => existsSync(holdFile(shop.paths, { generation: 4, process }))
const outcomes = (shop: StandbyShop): [HistoryEntry['kind'], string, number][] => readHistory(shop.paths).map(({ kind, outcome, generation }) => [kind, outcome, generation])
const tellings = (shop: StandbyShop, event: string): string[] => shop.told.filter((one) => one.event === event).map(({ message }) => message)

const common = () => ({ id: newDeployId(), app: 'shop', by: 'anna', what: 'generation 4', generation: 4, env: {}, again: 'again', owner: ownIdentity() })
const abortRequest = (over: Partial<AbortRequest> = {}): AbortRequest => ({ kind: 'abort', ...common(), reason: 'anna aborted it', ...over })
const promoteRequest = (): PromoteRequest => ({ kind: 'promote', ...common() })

describe('a generation that is held', () => {
  it('runs beside the live one and accepts nothing, and is neither wanted nor live', async () => {
    const shop = await makeHolding({ processes: 2 })
    expect(readState(shop.paths)).toMatchObject({ generation: 4, wanted: 'r1', live: { generation: 3 }, held: { generation: 4, release: 'r2', processes: 2, kind: 'hold' } })
    expect([heldBack(shop, 1), heldBack(shop, 2)]).toEqual([true, true])
    expect(shop.up()).toEqual([shop.unit(3, 1), shop.unit(3, 2), shop.unit(4, 1), shop.unit(4, 2)])
    expect(outcomes(shop)).toEqual([['deploy', 'held', 4]])
    expect(readRelease(shop.paths, 'r2').outcome).toBe('untried')
  })

  it('has each process of the live one wake somebody at its end', async () => {
    const shop = await makeHolding({ processes: 2 })
    const written = readdirSync(shop.paths.runtimeUnits).filter((folder) => existsSync(join(shop.paths.runtimeUnits, folder, '11-holdfast.conf')))
    expect(written.sort()).toEqual([`${shop.unit(3, 1)}.d`, `${shop.unit(3, 2)}.d`])
  })

  it('does not keep a live one that had ended before from coming back: a connection would start nothing', async () => {
    const shop = await makeStandbyShop()
    shop.systemd.units.delete(shop.unit(3))
    expect(await shop.deploy({ hold: {} })).toMatchObject({ kind: 'held' })
    expect(shop.up()).toEqual([shop.unit(3), shop.unit(4)])
  })

  it('goes when another one goes live, is replaced by another that is held, or is gone by itself', async () => {
    const shop = await makeHolding()
    await handOver(shop.app, { from: 'record' })
    expect(outcomes(shop).slice(1)).toEqual([['abort', 'aborted', 4], ['start', 'live', 5]])
    expect([readState(shop.paths).held, shop.up()]).toEqual([undefined, [shop.unit(5)]])

    const other = await makeHolding()
    await other.deploy({ hold: {} })
    expect(outcomes(other)).toEqual([['deploy', 'held', 4], ['abort', 'aborted', 4], ['deploy', 'held', 5]])
    expect([readState(other.paths).held?.generation, other.up()]).toEqual([5, [other.unit(3), other.unit(5)]])

    const gone = await makeHolding()
    gone.systemd.units.delete(gone.unit(4))
    await handOver(gone.app, { from: 'record' })
    expect(readHistory(gone.paths)[1]).toMatchObject({ outcome: 'aborted', reason: expect.stringContaining('nothing of it runs any more') as string })
  })

  it('keeps its files and stays held back though somebody has stopped a process of it', async () => {
    const shop = await makeHolding({ processes: 2 })
    shop.systemd.units.delete(shop.unit(4, 2))
    await tidy(shop.app)
    expect([heldBack(shop, 2), existsSync(join(shop.paths.instances, '4.2'))]).toEqual([true, true])
    shop.systemd.units.delete(shop.unit(4, 1))
    await tidy(shop.app)
    expect([heldBack(shop, 1), existsSync(join(shop.paths.instances, '4.1'))]).toEqual([true, true])
    expect(releasesInUse(shop.paths, []).get('r2')).toBe('held')
  })

  it('is recorded as discarded once, whoever was first', async () => {
    const shop = await makeHolding()
    let aborted: ReturnType<typeof run> | undefined
    shop.systemd.onStart = (unit) => {
      if (unit === shop.unit(5)) aborted = run(shop, abortRequest())
      return {}
    }
    shop.app.config.start.settleMs = 1000
    await handOver(shop.app, { from: 'record' })
    expect((await aborted)?.end).toMatchObject({ outcome: 'aborted' })
    expect(outcomes(shop).filter(([, outcome]) => outcome === 'aborted')).toHaveLength(1)
  })

  it('is no reason to call a deploy failed whose end cannot be written down', async () => {
    const shop = await makeHolding()
    const history = join(shop.paths.state, 'history.jsonl')
    rmSync(history)
    mkdirSync(history)
    expect(await handOver(shop.app, { from: 'record' })).toMatchObject({ kind: 'live', generation: 5 })
    expect(tellings(shop, 'record-incomplete')[0]).toMatch(/^Generation 4 is no longer held, but not all of it could be written down: /)
    expect(shop.up()).toEqual([shop.unit(5)])
  })
})

describe('an abort', () => {
  it('discards what is held and touches nothing else', async () => {
    const shop = await makeHolding()
    expect((await run(shop, abortRequest())).end).toMatchObject({ outcome: 'aborted', generation: 4 })
    expect([readState(shop.paths).held, heldBack(shop), shop.up()]).toEqual([undefined, false, [shop.unit(3)]])
    expect(readState(shop.paths)).toMatchObject({ wanted: 'r1', live: { generation: 3 } })
    expect(outcomes(shop).at(-1)).toEqual(['abort', 'aborted', 4])
  })

  it('is refused where another one is held by now', async () => {
    const shop = await makeHolding()
    await shop.deploy({ hold: {} })
    expect(await run(shop, abortRequest())).toMatchObject({ status: 1, end: { outcome: 'failed' } })
    expect(shop.up()).toEqual([shop.unit(3), shop.unit(5)])
  })
})

describe('an expiry', () => {
  const withExpiry = async (): Promise<StandbyShop> => {
    const shop = await makeStandbyShop()
    writeManifest(shop.paths, { cli: '/usr/lib/holdfast/main.js', node: process.execPath, app: 'shop', scope: 'system', units: [] } as unknown as Parameters<typeof writeManifest>[1])
    return shop
  }

  it('is a timer of systemd’s, in the place of the one before and of whoever waits for it', async () => {
    const shop = await withExpiry()
    await shop.deploy({ hold: { expiresMs: 3_600_000 } })
    expect(shop.systemd.asked('transient')).toEqual(['shop-expiry'])
    shop.systemd.orders.length = 0
    await shop.deploy({ hold: { expiresMs: 60_000 } })
    expect(shop.systemd.orders.filter((order) => order.includes('expiry')).slice(-3)).toEqual(['stop shop-expiry.timer', 'stop shop-expiry.service', 'transient shop-expiry'])
    expect(readState(shop.paths).held?.expires).toBeDefined()
  })

  it('that systemd does not take is told', async () => {
    const shop = await withExpiry()
    shop.systemd.onTransient = () => ({ active: 'failed' })
    expect(await shop.deploy({ hold: { expiresMs: 60_000 } })).toMatchObject({ kind: 'held' })
    expect(tellings(shop, 'record-incomplete')[0]).toMatch(/^Generation 4 is held, .* generation 4 will not be discarded at /)
  })

  it('that comes after a promotion, which it waited for, is no news', async () => {
    const shop = await makeHolding()
    await shop.promote()
    const before = readHistory(shop.paths)
    expect(await run(shop, abortRequest({ by: 'its expiry', isExpiry: true }))).toMatchObject({ status: 0, end: { outcome: 'unchanged' } })
    expect(readHistory(shop.paths)).toEqual(before)
    expect(shop.up()).toEqual([shop.unit(4)])
  })
})

it('has no private socket left after a stop of the app, though somebody had stopped its instance', async () => {
  const shop = await makeHolding()
  for (const generation of [3, 4]) shop.systemd.set(`shop@${generation}.1.socket`)
  shop.systemd.units.delete(shop.unit(4))
  shop.systemd.jobs.set('shop-drain.service', 'stop')
  await drainApp(shop.app)
  expect([...shop.systemd.units.keys()].filter((unit) => unit.includes('@'))).toEqual([])
})

describe('what is live, beside what is held', () => {
  it('comes back when it has ended for good', async () => {
    const shop = await makeHolding()
    shop.systemd.units.delete(shop.unit(3))
    await reviveBesideHeld(shop.app)
    expect(shop.up()).toEqual([shop.unit(3), shop.unit(4)])
    expect(tellings(shop, 'live-revived')).toHaveLength(1)
  })

  it('comes back also where it ends while the unit that looks after that runs, or while canaries answer', async () => {
    const shop = await makeHolding({ processes: 2 }, { canary: { processes: 1, auto: false } })
    for (const process of [1, 2]) shop.systemd.units.delete(shop.unit(3, process))
    await lookAgain(shop.app)
    expect(shop.up()).toEqual([shop.unit(3, 1), shop.unit(3, 2), shop.unit(4, 1)])
  })

  it.each([['the app is stopped', 'inactive'], ['a handover is under way', 'activating']])('does not where %s', async (_, active) => {
    const shop = await makeHolding()
    shop.systemd.set('shop.service', { active })
    shop.systemd.units.delete(shop.unit(3))
    await reviveBesideHeld(shop.app)
    expect(shop.up()).toEqual([shop.unit(4)])
  })

  it('is as recorded, for an apply: canaries are somebody’s decision', async () => {
    const shop = await makeHolding({ processes: 2 }, { canary: { processes: 1, auto: false } })
    expect(await isAsRecorded(shop.app, readState(shop.paths), readRelease(shop.paths, 'r1'))).toBe(true)
  })
})

it('is promoted by an operation, from the record to the end', async () => {
  const shop = await makeHolding()
  serveOrders(shop)
  expect((await run(shop, promoteRequest())).end).toMatchObject({ outcome: 'live', generation: 4 })
  expect(outcomes(shop).at(-1)).toEqual(['promote', 'live', 4])
})
