import { describe, expect, it } from 'vitest'
import { planRollback } from '../../../../src/deploy/operation/rollback.js'
import { appendHistory } from '../../../../src/release/history.js'
import type { Release } from '../../../../src/release/release.js'
import { readState, type State } from '../../../../src/release/state.js'
import { addRelease, bringUp, makeApp, rollbackTo, run, serveOrders, writeState, type AppOnDisk } from '../app-on-disk.js'
import { historyOf } from '../releases.js'

/** r1, r2 and r3 went live one after the other. */
function makeShop(over: Record<string, Partial<Release>> = {}, state: Partial<State> = {}): AppOnDisk {
  const on = makeApp()
  for (const [day, id] of ['r1', 'r2', 'r3'].entries()) addRelease(on, id, { createdAt: `2026-01-0${day + 1}T00:00:00.000Z`, ...over[id] })
  for (const entry of historyOf('deploy r1', 'deploy r2', 'deploy r3')) appendHistory(on.paths, entry)
  bringUp(on, 'r3', 3, state)
  return on
}
const plan = ({ app, paths }: AppOnDisk, word?: string, force = false) => planRollback(app, readState(paths), word, { force })
const done = { at: '2026-01-04T00:00:00.000Z', outcome: 'done' } as const

it('goes to the good one before the live one, or to the one that is named', () => {
  const on = makeShop()
  expect(plan(on)).toMatchObject({ from: { release: 'r3', generation: 3 }, target: { id: 'r2' }, passed: [], cancels: undefined })
  expect(plan(on, 'r1')).toMatchObject({ target: { id: 'r1' } })
})

describe('is refused', () => {
  const refusal = (on: AppOnDisk, word?: string, force = true) => {
    try {
      plan(on, word, force)
    } catch (error) {
      return error
    }
    return undefined
  }
  it('past a hooks.after_drain that has run, unless it is forced', () => {
    const on = makeShop({ r3: { afterDrain: done } })
    expect(refusal(on, undefined, false)).toMatchObject({
      code: 'usage', message: `hooks.after_drain has run since release r2 was live, for r3 (${done.at}): what r2 needs of the database may be gone`,
      hint: expect.stringContaining('holdfast rollback shop r2 --force') as string,
    })
    expect(refusal(on, 'r1', false)).toMatchObject({ code: 'usage' })
    expect(plan(on, 'r1', true)).toMatchObject({ target: { id: 'r1' }, passed: [{ id: 'r3' }] })
  })
  it('to one that failed, even by force', () => {
    expect(refusal(makeShop({ r2: { outcome: 'failed', failure: 'it broke' } }), 'r2')).toMatchObject({ code: 'usage', message: 'release r2 has failed: it broke. A rollback goes to one that was good' })
  })
  it('to the one that is live', () => {
    expect(refusal(makeShop(), 'r3')).toMatchObject({ code: 'usage', message: 'release r3 is live already' })
  })
  it('with none before', () => {
    const on = makeShop({ r1: { outcome: 'failed' }, r2: { outcome: 'untried' } })
    expect(refusal(on)).toMatchObject({ code: 'usage', message: 'there is no good release of shop before r3, which is live' })
  })
  it('with nothing live', () => {
    const on = makeShop()
    writeState(on, { version: 1, generation: 3 })
    expect(refusal(on, 'r1')).toMatchObject({ code: 'usage', message: expect.stringContaining('no release of shop is live') as string })
  })
  it('of an app whose releases run in place: the folder has the new code alone', () => {
    const on = makeApp()
    const source = { kind: 'directory', path: `${on.folder}/source`, snapshot: false } as const
    for (const [day, id] of ['r1', 'r2'].entries()) addRelease(on, id, { source, createdAt: `2026-01-0${day + 1}T00:00:00.000Z` })
    for (const entry of historyOf('restart r1', 'restart r2')) appendHistory(on.paths, entry)
    bringUp(on, 'r2', 2)
    for (const word of [undefined, 'r1']) expect(refusal(on, word)).toMatchObject({ code: 'usage', message: expect.stringMatching(/in place|snapshot/) as string })
  })
})

it('tells which hooks.after_drain it cancels: one that waits, not one that has begun', () => {
  const waits = { release: 'r3', generation: 3, since: done.at }
  expect(plan(makeShop({}, { afterDrain: waits }))).toMatchObject({ cancels: 'r3' })
  expect(plan(makeShop({}, { afterDrain: { ...waits, begun: done.at } })).cancels).toBeUndefined()
})

it('looks again when its turn comes: what was allowed to the client may not be by then', async () => {
  const on = makeShop({ r3: { afterDrain: done } })
  serveOrders(on)
  const { status, end } = await run(on, rollbackTo('r2'))
  expect(status).toBe(1)
  expect(end?.failure?.message).toContain('hooks.after_drain has run since release r2 was live')
  expect(readState(on.paths)).toMatchObject({ generation: 3, wanted: 'r3', live: { release: 'r3' } })
  expect(await run(on, { ...rollbackTo('r2'), force: true })).toMatchObject({ status: 0, end: { outcome: 'live', release: 'r2', generation: 4 } })
  expect(readState(on.paths)).toMatchObject({ wanted: 'r2', live: { release: 'r2' } })
})

it('without a name goes to the one before what is live once its turn comes', async () => {
  const on = makeShop()
  serveOrders(on)
  const request = rollbackTo()
  addRelease(on, 'r4', { createdAt: '2026-01-04T00:00:00.000Z' })
  appendHistory(on.paths, { at: '2026-01-04T00:00:00.000Z', kind: 'deploy', generation: 4, release: 'r4', from: 'r3', outcome: 'live', durationMs: 1 })
  bringUp(on, 'r4', 4)
  expect(await run(on, request)).toMatchObject({ status: 0, end: { release: 'r3' } })
})

it('runs no hook, and cancels the one that waits', async () => {
  const on = makeShop({}, { afterDrain: { release: 'r3', generation: 3, since: done.at } })
  on.app.config.hooks.afterDrain = { text: 'true', argv: ['true'] }
  serveOrders(on)
  expect(await run(on, rollbackTo('r2'))).toMatchObject({ status: 0 })
  expect(readState(on.paths).afterDrain).toBeUndefined()
  expect(on.systemd.asked('transient')).toEqual([])
  expect(on.told.map(({ event }) => event)).toContain('after-drain-cancelled')
})
