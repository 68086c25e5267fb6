import { writeFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { readHistory } from '../../../../src/release/history.js'
import { readState } from '../../../../src/release/state.js'
import { readWanted, wantedFile } from '../../../../src/release/wanted.js'
import { addRelease, applyRequest, bringUp, makeApp, run, runInstance, serveOrders, writeState, type AppOnDisk } from '../app-on-disk.js'

/** r1 is live as generation 3, as recorded. */
function makeShop(): AppOnDisk {
  const on = makeApp('[hooks]\nmigrate = "false"\nafter_drain = "false"\n')
  addRelease(on, 'r1', { version: '1.1' })
  addRelease(on, 'r2', { version: '1.2', createdAt: '2026-01-02T00:00:00.000Z' })
  bringUp(on, 'r1', 3)
  serveOrders(on)
  return on
}

it('does nothing where what is recorded serves', async () => {
  const on = makeShop()
  expect(await run(on, applyRequest())).toMatchObject({ status: 0, end: { outcome: 'unchanged', release: 'r1', generation: 3 } })
  expect(on.systemd.orders).toEqual([])
  expect(readHistory(on.paths)).toEqual([])
})

it('does nothing where nothing is recorded, and says so', async () => {
  const on = makeApp()
  const { status, events, end } = await run(on, applyRequest())
  expect([status, end]).toMatchObject([0, { outcome: 'unchanged' }])
  expect(events).toContainEqual({ type: 'note', text: 'No release of shop is recorded yet: there is nothing to bring up.' })
  expect(on.systemd.orders).toEqual([])
})

it.each<[string, (on: AppOnDisk) => void]>([
  ['does not serve', (on) => on.systemd.set('shop@3.1.service', { active: 'failed' })],
  ['serves beside another generation', (on) => runInstance(on, 'r2', 2)],
  ['does not serve, and another generation does', (on) => {
    on.systemd.units.delete('shop@3.1.service')
    runInstance(on, 'r2', 2)
  }],
  ['serves, and the last restart failed', (on) => on.systemd.set('shop.service', { active: 'failed' })],
  ['serves by fewer processes', (on) => {
    const { live, ...rest } = readState(on.paths)
    if (live !== undefined) writeState(on, { ...rest, live: { ...live, processes: 2 } })
  }],
])('brings up what is recorded where that %s', async (_, change) => {
  const on = makeShop()
  change(on)
  const { status, end } = await run(on, applyRequest())
  expect([status, end]).toMatchObject([0, { outcome: 'live', release: 'r1', generation: 4 }])
  expect(readHistory(on.paths)).toMatchObject([{ kind: 'apply', by: 'anna', release: 'r1', from: 'r1', outcome: 'live' }])
  expect([...on.systemd.units.values()].filter(({ unit, active }) => unit.includes('@') && active === 'active').map(({ unit }) => unit)).toEqual(['shop@4.1.service'])
})

it('brings up what somebody wrote into the file wanted, and runs no hook', async () => {
  const on = makeShop()
  writeFileSync(wantedFile(on.paths), '1.2\n')
  expect(await run(on, applyRequest())).toMatchObject({ status: 0, end: { outcome: 'live', release: 'r2', generation: 4 } })
  expect(readState(on.paths)).toMatchObject({ wanted: 'r2', live: { release: 'r2' } })
  expect(readState(on.paths).afterDrain).toBeUndefined()
  expect(on.systemd.asked('transient')).toEqual([])
})

it('brings up what is live, not what an operation that was cut off had recorded', async () => {
  const on = makeShop()
  writeState(on, { ...readState(on.paths), wanted: 'r2' })
  writeFileSync(wantedFile(on.paths), 'r2\n')
  on.systemd.set('shop@3.1.service', { active: 'failed' })
  expect(await run(on, applyRequest())).toMatchObject({ status: 0, end: { release: 'r1', generation: 4 } })
  expect(readState(on.paths)).toMatchObject({ wanted: 'r1', live: { release: 'r1' } })
})

it('sets the file wanted back to what is live where what it names cannot be had', async () => {
  const on = makeShop()
  writeFileSync(wantedFile(on.paths), '9.9\n')
  const { status, end } = await run(on, applyRequest())
  expect([status, end?.failure?.step]).toEqual([1, 'fetch'])
  expect(readWanted(on.paths)).toBe('r1')
  expect(readState(on.paths)).toMatchObject({ generation: 3, wanted: 'r1', live: { release: 'r1' } })
  expect(readHistory(on.paths)).toMatchObject([{ kind: 'apply', step: 'fetch', outcome: 'failed' }])
})
