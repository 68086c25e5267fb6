import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { handOver } from '../../../src/deploy/handover.js'
import { readHistory } from '../../../src/release/history.js'
import { readState } from '../../../src/release/state.js'
import { readRelease, writeRelease } from '../../../src/release/store.js'
import { readWanted } from '../../../src/release/wanted.js'
import { addRelease, bringUp, makeApp, makeOrder, runInstance, writeState, type AppOnDisk } from './app-on-disk.js'

/** Release r1 is live as generation 3, and r2 has never run. */
function makeShop(tables?: string): AppOnDisk {
  const on = makeApp(tables)
  addRelease(on, 'r1')
  addRelease(on, 'r2', { outcome: 'untried', createdAt: '2026-01-02T00:00:00.000Z' })
  bringUp(on, 'r1', 3)
  return on
}
const orderOf = (id: string, over: Parameters<typeof makeOrder>[1] = {}) => ({ from: 'order', order: makeOrder(id, { began: 'r1', ...over }) }) as const
const events = ({ told }: AppOnDisk): string[] => told.map(({ event }) => event)
const failing = { active: 'failed', sub: 'failed', result: 'exit-code', exit: { how: 'exited', status: 3 } } as const

describe('a handover that settles', () => {
  it('is recorded as live and wanted, in the history and on the release, and retires the one before', async () => {
    const on = makeShop()
    const { paths, systemd } = on
    expect(await handOver(on.app, orderOf('r2'))).toMatchObject({ kind: 'live', generation: 4, release: 'r2' })
    expect(readState(paths)).toMatchObject({ generation: 4, wanted: 'r2', live: { generation: 4, release: 'r2', processes: 1 } })
    expect(readState(paths).afterDrain).toBeUndefined()
    expect(readWanted(paths)).toBe('r2')
    expect(readHistory(paths)).toMatchObject([{ kind: 'deploy', by: 'anna', generation: 4, release: 'r2', from: 'r1', outcome: 'live' }])
    expect(readRelease(paths, 'r2').outcome).toBe('good')
    expect([systemd.active('shop@3.1.service'), systemd.active('shop@4.1.service')]).toEqual(['inactive', 'active'])
    expect(events(on)).toEqual(['deploy-started', 'candidate-ready', 'deploy-live', 'drain-started'])
  })

  it('lets the older one serve until the new one has settled', async () => {
    const on = makeShop()
    on.systemd.onStart = () => {
      expect(on.systemd.active('shop@3.1.service')).toBe('active')
      expect(readState(on.paths)).toMatchObject({ generation: 4, wanted: 'r2', live: { release: 'r1' } })
      return {}
    }
    await handOver(on.app, orderOf('r2'))
    expect(on.systemd.orders.filter((order) => order.includes('@'))).toEqual(['start shop@4.1.service', 'stop shop@3.1.service'])
  })

  it('gives no number out twice, not even that of files whose generation nobody recorded', async () => {
    const on = makeShop()
    runInstance(on, 'r2', 8)
    on.systemd.units.delete('shop@8.1.service')
    expect(await handOver(on.app, orderOf('r2'))).toMatchObject({ generation: 9 })
  })

  it('ends what a killed handover has left beside the live one', async () => {
    const on = makeShop()
    runInstance(on, 'r2', 4)
    expect(await handOver(on.app, { from: 'record' })).toMatchObject({ generation: 5, release: 'r1' })
    expect(on.systemd.asked('stop')).toEqual(['shop@4.1.service', 'shop@3.1.service'])
    expect(events(on)[0]).toBe('leftover-undone')
  })
})

describe('a handover that fails', () => {
  it('leaves the older one serving, recorded as live and wanted, and says why', async () => {
    const on = makeShop()
    const { paths, systemd } = on
    systemd.log = ['Error: no database']
    systemd.onStart = () => failing
    expect(await handOver(on.app, orderOf('r2'))).toMatchObject({
      kind: 'failed', generation: 4, reason: 'shop@4.1.service exited with status 3 before it was ready', log: ['Error: no database'], serving: 3,
    })
    expect(readState(paths)).toMatchObject({ generation: 4, wanted: 'r1', live: { generation: 3, release: 'r1' } })
    expect(readWanted(paths)).toBe('r1')
    expect(readHistory(paths)).toMatchObject([{ generation: 4, release: 'r2', from: 'r1', outcome: 'failed', reason: expect.stringContaining('status 3') as string }])
    expect(readRelease(paths, 'r2')).toMatchObject({ outcome: 'failed', failure: expect.stringContaining('status 3') as string })
    expect([systemd.active('shop@3.1.service'), systemd.units.has('shop@4.1.service')]).toEqual(['active', false])
  })

  it('takes down what of it is up: it is live as a whole or not at all', async () => {
    const on = makeShop()
    on.app.config.processes = 2
    on.systemd.onStart = (unit) => (unit.endsWith('.2.service') ? failing : {})
    expect(await handOver(on.app, orderOf('r2'))).toMatchObject({ kind: 'failed', reason: expect.stringContaining('shop@4.2.service') as string, serving: 3 })
    expect([...on.systemd.units.keys()].filter((unit) => unit.includes('@'))).toEqual(['shop@3.1.service'])
  })

  it('tells its own cause, once, though a deploy has recorded meanwhile what it wants', async () => {
    const on = makeShop()
    addRelease(on, 'r3')
    on.systemd.onStart = () => {
      writeState(on, { ...readState(on.paths), wanted: 'r3' })
      return failing
    }
    expect(await handOver(on.app, { from: 'record' })).toMatchObject({ kind: 'failed', release: 'r1', reason: expect.stringContaining('status 3') as string })
    expect(readHistory(on.paths)).toMatchObject([{ kind: 'start', release: 'r1', outcome: 'failed', reason: expect.stringContaining('status 3') as string }])
    expect(readState(on.paths)).toMatchObject({ wanted: 'r3', live: { release: 'r1' } })
  })

  it('is told apart from the live one’s own: a number is used up, and a file of it is removed', async () => {
    const on = makeShop()
    on.systemd.onStart = () => failing
    await handOver(on.app, orderOf('r2'))
    expect(existsSync(join(on.paths.instances, '4.1'))).toBe(false)
    on.systemd.onStart = () => ({})
    expect(await handOver(on.app, orderOf('r2'))).toMatchObject({ kind: 'live', generation: 5 })
    expect(readRelease(on.paths, 'r2').outcome).toBe('good')
    expect(readRelease(on.paths, 'r2').failure).toBeUndefined()
  })

  it('does not make a release bad that was good once', async () => {
    const on = makeShop()
    writeRelease(on.paths, { ...readRelease(on.paths, 'r2'), outcome: 'good' })
    on.systemd.onStart = () => failing
    await handOver(on.app, orderOf('r2'))
    expect(readRelease(on.paths, 'r2')).toMatchObject({ outcome: 'good' })
    expect(readRelease(on.paths, 'r2').failure).toBeUndefined()
  })

  it('takes what cannot be recorded down again: somebody else has changed the record meanwhile', async () => {
    const on = makeShop()
    const live = { generation: 9, release: 'r1', processes: 1, since: '2026-03-01T00:00:00.000Z' }
    on.systemd.onStart = () => {
      writeState(on, { version: 1, generation: 9, wanted: 'r1', live })
      return {}
    }
    await expect(handOver(on.app, orderOf('r2'))).rejects.toMatchObject({ code: 'state-changed' })
    expect(readState(on.paths)).toEqual({ version: 1, generation: 9, wanted: 'r1', live })
    expect(on.systemd.active('shop@4.1.service')).toBe('inactive')
    expect(on.systemd.active('shop@3.1.service')).toBe('active')
    expect(readRelease(on.paths, 'r2').outcome).toBe('untried')
  })
})

it('does nothing where nothing is recorded, and says so', async () => {
  const on = makeApp()
  expect(await handOver(on.app, { from: 'record' })).toEqual({ kind: 'nothing-to-run' })
  expect(on.systemd.orders).toEqual([])
  expect(existsSync(join(on.paths.state, 'state.json'))).toBe(false)
  expect(readHistory(on.paths)).toEqual([])
  expect(events(on)).toEqual(['nothing-recorded'])
})

it('keeps the mark of a hook that ended on the release meanwhile', async () => {
  const on = makeShop()
  const afterDrain = { at: '2026-01-03T00:00:00.000Z', outcome: 'done' } as const
  on.systemd.onStart = () => {
    writeRelease(on.paths, { ...readRelease(on.paths, 'r1'), afterDrain })
    return {}
  }
  await handOver(on.app, { from: 'record' })
  expect(readRelease(on.paths, 'r1')).toMatchObject({ outcome: 'good', afterDrain })
})

const hooked = '[hooks]\nafter_drain = "true"\n'

describe('with hooks.after_drain', () => {
  it('has each older instance wake the hook, which waits in the record', async () => {
    const on = makeShop(hooked)
    on.systemd.onStop = () => ({ active: 'deactivating', sub: 'stop-sigterm' })
    await handOver(on.app, orderOf('r2', { afterDrain: true }))
    expect(readState(on.paths).afterDrain).toMatchObject({ release: 'r2', generation: 4 })
    expect(readFileSync(join(on.paths.runtimeUnits, 'shop@3.1.service.d/11-holdfast.conf'), 'utf8')).toContain('shop-after-drain.service')
    expect(existsSync(join(on.paths.runtimeUnits, 'shop@4.1.service.d/11-holdfast.conf'))).toBe(false)
    expect(on.systemd.orders).toContain('daemon-reload')
    expect(on.systemd.asked('start').at(-1)).toBe('shop-after-drain.service')
  })

  it('cancels that of another release which still waits, and says so', async () => {
    const on = makeShop(hooked)
    recordHook(on, { release: 'r1', generation: 3, since: '2026-01-01T00:00:00.000Z' })
    await handOver(on.app, orderOf('r2'))
    expect(readState(on.paths).afterDrain).toBeUndefined()
    expect(events(on)).toContain('after-drain-cancelled')
    expect(on.systemd.asked('start')).not.toContain('shop-after-drain.service')
  })

  it('wakes it again where another release was to take its place, and failed', async () => {
    const on = makeShop(hooked)
    const afterDrain = { release: 'r1', generation: 3, since: '2026-01-01T00:00:00.000Z' }
    recordHook(on, afterDrain)
    on.systemd.onStart = (unit) => (unit.includes('@') ? failing : {})
    await handOver(on.app, orderOf('r2', { afterDrain: true }))
    expect(readState(on.paths)).toMatchObject({ wanted: 'r1', afterDrain })
    expect(events(on)).not.toContain('after-drain-cancelled')
    expect(on.systemd.asked('start').at(-1)).toBe('shop-after-drain.service')
  })

  it('lets that of the same release wait on over a restart, as it was', async () => {
    const on = makeShop(hooked)
    const afterDrain = { release: 'r1', generation: 3, since: '2026-01-01T00:00:00.000Z' }
    recordHook(on, afterDrain)
    await handOver(on.app, { from: 'record' })
    expect(readState(on.paths)).toMatchObject({ live: { generation: 4 }, afterDrain })
    expect(events(on)).not.toContain('after-drain-cancelled')
    expect(on.systemd.asked('start').at(-1)).toBe('shop-after-drain.service')
  })

  it('wakes none that has failed', async () => {
    const on = makeShop(hooked)
    recordHook(on, { release: 'r1', generation: 3, since: '2026-01-01T00:00:00.000Z', begun: '2026-01-01T00:00:00.000Z', failed: 'exited with status 1' })
    await handOver(on.app, { from: 'record' })
    expect(readState(on.paths).afterDrain).toMatchObject({ failed: 'exited with status 1' })
    expect(on.systemd.asked('start')).not.toContain('shop-after-drain.service')
  })
})

function recordHook(on: AppOnDisk, afterDrain: NonNullable<ReturnType<typeof readState>['afterDrain']>): void {
  writeState(on, { ...readState(on.paths), afterDrain })
}
