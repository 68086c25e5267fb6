import { writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { chooseRelease } from '../../../src/deploy/choose-release.js'
import { handOver } from '../../../src/deploy/handover.js'
import { orderHandover } from '../../../src/deploy/order.js'
import { planRollback } from '../../../src/deploy/operation/rollback.js'
import { appendHistory, readHistory } from '../../../src/release/history.js'
import { readState } from '../../../src/release/state.js'
import { readWanted, wantedFile } from '../../../src/release/wanted.js'
import { addRelease, bringUp, makeApp, makeOrder, serveOrders, type AppOnDisk } from './app-on-disk.js'
import { historyOf } from './releases.js'

function makeShop(): AppOnDisk {
  const on = makeApp()
  addRelease(on, 'r1', { version: '1.1' })
  addRelease(on, 'r2', { version: '1.2', createdAt: '2026-01-02T00:00:00.000Z' })
  addRelease(on, 'r3', { version: '1.3', createdAt: '2026-01-03T00:00:00.000Z', outcome: 'untried' })
  return on
}
const orderOf = (release: string, began?: string) => ({ from: 'order', order: makeOrder(release, began === undefined ? {} : { began }) }) as const

describe('an order', () => {
  it('is for the release that is live, or for none', async () => {
    const on = makeShop()
    expect((await chooseRelease(on.app, readState(on.paths), orderOf('r3')))?.release.id).toBe('r3')
    expect((await chooseRelease(on.app, bringUp(on, 'r1', 3), orderOf('r3', 'r1')))?.release.id).toBe('r3')
  })

  it.each<[string, string | undefined, string | undefined]>([
    ['another one is live', 'r1', 'r2'], ['nothing was live, and something is', undefined, 'r2'], ['something was live, and nothing is', 'r1', undefined],
  ])('is refused where %s', async (_, began, live) => {
    const on = makeShop()
    const state = live === undefined ? readState(on.paths) : bringUp(on, live, 3)
    await expect(chooseRelease(on.app, state, orderOf('r3', began))).rejects.toMatchObject({
      code: 'state-changed', message: `release r3 was to take the place of ${began ?? 'nothing'}, but ${live ?? 'nothing'} is live by now: somebody else has brought it up meanwhile`,
    })
  })

  it('of a handover that was killed once its release was recorded converges: the same release, as a new generation', async () => {
    const on = makeShop()
    bringUp(on, 'r3', 4)
    serveOrders(on)
    const order = makeOrder('r3', { began: 'r1' })
    expect(await orderHandover(on.app, order)).toMatchObject({ kind: 'live', generation: 5, release: 'r3' })
    expect(readState(on.paths)).toMatchObject({ wanted: 'r3', live: { release: 'r3', generation: 5 } })
    expect(readHistory(on.paths)).toMatchObject([{ kind: 'deploy', by: 'anna', generation: 5, release: 'r3', outcome: 'live' }])
  })
})

it('a release that a killed handover brought in is where a rollback goes after the next deploy', async () => {
  const on = makeShop()
  for (const entry of historyOf('deploy r1')) appendHistory(on.paths, entry)
  bringUp(on, 'r3', 4) // recorded, and killed before its line in the history
  addRelease(on, 'r4', { createdAt: '2026-01-04T00:00:00.000Z' })
  await handOver(on.app, orderOf('r3', 'r1'))
  await handOver(on.app, orderOf('r4', 'r3'))
  expect(readHistory(on.paths).map(({ release, from }) => [release, from])).toEqual([['r1', undefined], ['r3', 'r1'], ['r4', 'r3']])
  expect(planRollback(on.app, readState(on.paths), undefined, { force: false }).target.id).toBe('r3')
})

describe('the file wanted', () => {
  const write = (on: AppOnDisk): void => writeFileSync(wantedFile(on.paths), '1.2\n')
  const chosen = async (on: AppOnDisk, from: 'record' | 'folder') => (await chooseRelease(on.app, readState(on.paths), { from }))?.release.id

  it('is not obeyed by a boot, where something is live', async () => {
    const on = makeShop()
    bringUp(on, 'r1', 3)
    write(on)
    expect(await chosen(on, 'record')).toBe('r1')
    expect(await handOver(on.app, { from: 'record' })).toMatchObject({ release: 'r1', generation: 4 })
    expect(readWanted(on.paths)).toBe('1.2') // for the next restart
  })
  it('is left for the next restart by a boot that fails: it is not what failed', async () => {
    const on = makeShop()
    bringUp(on, 'r1', 3)
    write(on)
    on.systemd.onStart = () => ({ active: 'failed', result: 'exit-code' })
    expect(await handOver(on.app, { from: 'record' })).toMatchObject({ kind: 'failed', release: 'r1' })
    expect(readWanted(on.paths)).toBe('1.2')
  })
  it('is obeyed by a boot, where nothing is live', async () => {
    const on = makeShop()
    addRelease(on, 'r4', { createdAt: '2026-01-04T00:00:00.000Z' })
    write(on)
    expect(await chosen(on, 'record')).toBe('r2')
  })
  it('is obeyed by a restart', async () => {
    const on = makeShop()
    bringUp(on, 'r1', 3)
    write(on)
    expect(await chosen(on, 'folder')).toBe('r2')
  })
})

it('takes the newest good release where nothing is live, and none where none is good', async () => {
  const on = makeShop()
  expect((await chooseRelease(on.app, readState(on.paths), { from: 'record' }))?.release.id).toBe('r2')
  expect(await chooseRelease(makeApp().app, readState(on.paths), { from: 'record' })).toBeUndefined()
})
