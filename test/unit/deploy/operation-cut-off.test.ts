import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { ownIdentity } from '../../../src/deploy/operation/deploy-owner.js'
import { readDeployRecord, writeDeployRecord } from '../../../src/deploy/operation/deploy-record.js'
import { readOrder } from '../../../src/deploy/request.js'
import { HoldfastError } from '../../../src/errors.js'
import { readHistory } from '../../../src/release/history.js'
import { readState } from '../../../src/release/state.js'
import { readRelease, writeRelease } from '../../../src/release/store.js'
import { addRelease, deployOf, liveSince, rollbackTo, run, writeState } from './app-on-disk.js'
import { expectCleanedUp, expectUntouched, makeShop } from './operation-shop.js'

describe('an operation that is interrupted', () => {
  it('before its handover is undone', async () => {
    const on = makeShop()
    const interrupt = new AbortController()
    on.systemd.onTransient = () => (interrupt.abort(new HoldfastError('deploy-failed', 'SIGTERM')), {})
    const { status, end } = await run(on, deployOf(on.source), interrupt)
    expect([status, end?.failure]).toMatchObject([1, { step: 'install', message: expect.stringContaining('was interrupted by SIGTERM') as string, hint: 'holdfast deploy shop' }])
    expect(readHistory(on.paths)).toMatchObject([{ step: 'install', outcome: 'interrupted' }])
    expectUntouched(on)
  })

  it.each([['system', ''], ['user', ' --user']] as const)('in its handover leaves that to go on, and its record and what is wanted to whoever comes next (%s)', async (scope, user) => {
    const on = makeShop()
    on.paths.scope = scope
    addRelease(on, 'r2')
    const interrupt = new AbortController()
    const handOver = on.systemd.onRestart
    let end: () => void = () => {}
    const ended = new Promise<void>((resolve) => (end = resolve))
    on.systemd.onRestart = async (unit) => {
      interrupt.abort(new HoldfastError('deploy-failed', 'SIGTERM'))
      await ended
      return handOver(unit)
    }
    const request = { ...rollbackTo('r2'), owner: { ...ownIdentity(), start: '1' } } // its process has ended
    const result = await run(on, request, interrupt)
    expect([result.status, result.end?.failure]).toMatchObject([1, { step: 'handover', message: expect.stringContaining('The handover goes on without it.') as string, hint: `holdfast${user} status shop` }])
    expect(readDeployRecord(on.paths)).toMatchObject({ id: request.id, step: 'handover', release: 'r2' })
    expect(readState(on.paths)).toMatchObject({ wanted: 'r2', live: { release: 'r1' } })
    expect(readOrder(on.paths)?.id).toBe(request.id)
    expect(readHistory(on.paths)).toEqual([])

    // The next one waits for it.
    on.systemd.onRestart = handOver
    const next = run(on, rollbackTo('r1'))
    end()
    expect(await next).toMatchObject({ status: 0, end: { release: 'r1', generation: 5 } })
    expect(readHistory(on.paths).map(({ release, outcome }) => `${release} ${outcome}`)).toEqual(['r2 live', 'r1 live'])
    expectCleanedUp(on)
  })
})

it('a recovery that fails leaves the record of the killed deploy to the next one', async () => {
  const on = makeShop()
  addRelease(on, 'r2')
  const killed = { id: '20260101-000000-abcdef', by: 'bert', what: 'x', since: liveSince, step: 'record', began: 'r1', release: 'r2' } as const
  writeState(on, { ...readState(on.paths), wanted: 'r2' })
  writeDeployRecord(on.paths, killed)
  const show = vi.spyOn(on.systemd, 'show').mockRejectedValueOnce(new HoldfastError('systemd-failed', 'no answer'))
  onTestFinished(() => show.mockRestore())
  const { status, end } = await run(on, deployOf(on.source))
  expect([status, end?.failure?.message]).toEqual([1, 'no answer. Generation 3, release r1, serves on.'])
  expect(readDeployRecord(on.paths)).toEqual(killed)
  expect(readdirSync(join(on.paths.state, 'staging'))).toEqual([])
  const next = await run(on, deployOf(on.source))
  expect(next.status).toBe(0)
  expect(readHistory(on.paths)).toMatchObject([{ by: 'bert', release: 'r2', outcome: 'interrupted' }, { by: 'anna', outcome: 'live' }])
})

it('an operation lets a hook after a drain that has begun finish, and knows then what it did', async () => {
  const on = makeShop()
  addRelease(on, 'r0', { createdAt: '2025-12-31T00:00:00.000Z' })
  writeState(on, { ...readState(on.paths), afterDrain: { release: 'r1', generation: 3, since: liveSince, begun: liveSince } })
  on.systemd.set('shop-after-drain.service', { active: 'activating', sub: 'start' })
  const { show } = on.systemd
  let looks = 0
  on.systemd.show = async (units) => {
    if (units.includes('shop-after-drain.service') && ++looks === 3) {
      writeRelease(on.paths, { ...readRelease(on.paths, 'r1'), afterDrain: { at: liveSince, outcome: 'done' } })
      on.systemd.set('shop-after-drain.service', { active: 'inactive' })
    }
    return show.call(on.systemd, units)
  }
  const { status, events, end } = await run(on, rollbackTo('r0'))
  expect(events).toContainEqual({ type: 'note', text: expect.stringContaining('waiting for its end') as string })
  expect([status, end?.failure?.message]).toEqual([1, expect.stringContaining('hooks.after_drain has run since release r0 was live')])
  expect(readState(on.paths).wanted).toBe('r1')
})
