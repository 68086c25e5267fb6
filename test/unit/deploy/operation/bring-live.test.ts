import { expect, it } from 'vitest'
import { bringLive } from '../../../../src/deploy/operation/bring-live.js'
import { readHistory } from '../../../../src/release/history.js'
import { readState, type State } from '../../../../src/release/state.js'
import { readWanted } from '../../../../src/release/wanted.js'
import { addRelease, bringUp, makeApp, rollbackTo, serveOrders, workOn, writeState, type AppOnDisk } from '../app-on-disk.js'

function makeShop(): { on: AppOnDisk; began: State } {
  const on = makeApp()
  for (const id of ['r1', 'r2', 'r3']) addRelease(on, id)
  serveOrders(on)
  return { on, began: bringUp(on, 'r3', 3) }
}
const bring = (on: AppOnDisk, began: State, id: string) => {
  const release = addRelease(on, id)
  return bringLive(workOn(on, rollbackTo(id)), began, release, { afterDrain: false })
}

it('refuses where another release has gone live since, and records nothing', async () => {
  const { on, began } = makeShop()
  const now = bringUp(on, 'r2', 4)
  await expect(bring(on, began, 'r1')).rejects.toMatchObject({
    code: 'state-changed', message: expect.stringContaining('began when release r3 was live, and release r2 is by now') as string,
  })
  expect(readState(on.paths)).toEqual(now)
  expect(readWanted(on.paths)).toBe('r2')
  expect(readHistory(on.paths)).toEqual([])
  expect(on.systemd.orders).toEqual([])
})

it('refuses where a first release has gone live since', async () => {
  const { on } = makeShop()
  await expect(bring(on, { version: 1, generation: 0 }, 'r1')).rejects.toMatchObject({ code: 'state-changed', message: expect.stringContaining('when nothing was live') as string })
})

it('takes a restart of the same release meanwhile for no other state', async () => {
  const { on, began } = makeShop()
  bringUp(on, 'r3', 4)
  expect(await bring(on, began, 'r1')).toEqual({ outcome: 'live', release: 'r1', generation: 5 })
  expect(readState(on.paths)).toMatchObject({ wanted: 'r1', live: { release: 'r1', generation: 5 } })
  expect(readHistory(on.paths)).toMatchObject([{ kind: 'rollback', by: 'anna', release: 'r1', from: 'r3', outcome: 'live' }])
})

it('lets the handover refuse where another release goes live between its order and its begin', async () => {
  const { on, began } = makeShop()
  const handOverTo = on.systemd.onRestart
  on.systemd.onRestart = (unit) => {
    writeState(on, { version: 1, generation: 4, wanted: 'r2', live: { generation: 4, release: 'r2', processes: 1, since: '2026-01-01T00:00:00.000Z' } })
    return handOverTo(unit)
  }
  await expect(bring(on, began, 'r1')).rejects.toMatchObject({ code: 'handover-failed', message: expect.stringContaining('r2 is live by now') as string })
  expect(readState(on.paths)).toMatchObject({ wanted: 'r2', live: { release: 'r2' } })
})
