import { describe, expect, it } from 'vitest'
import { orderHandover, writeResult } from '../../../src/deploy/order.js'
import { endRequest, readOrder, requestFolder, takeRequest, writeOrder } from '../../../src/deploy/request.js'
import { bringUp, liveSince, makeApp, makeOrder } from './app-on-disk.js'

describe('a request', () => {
  it('that is an order stays one until its handover has ended', () => {
    const { paths } = makeApp()
    const order = makeOrder('r2')
    writeOrder(paths, order)
    expect(takeRequest(paths, 0)).toEqual({ request: { from: 'order', order }, retries: 0 })
    // Killed: systemd runs it again; then somebody restarts the app in its middle.
    requestFolder(paths)
    expect(takeRequest(paths, 1)).toEqual({ request: { from: 'order', order }, retries: 1 })
    requestFolder(paths)
    expect(takeRequest(paths, 0)).toEqual({ request: { from: 'order', order }, retries: 0 })
    expect(readOrder(paths)).toEqual(order)
    endRequest(paths, 0)
    expect(readOrder(paths)).toBeUndefined()
    expect(takeRequest(paths, 0)).toEqual({ request: { from: 'record' }, retries: 0 })
  })

  it('that was no order is not made one by an automatic restart', () => {
    const { paths } = makeApp()
    takeRequest(paths, 0)
    writeOrder(paths, makeOrder('r2'))
    expect(takeRequest(paths, 1).request).toEqual({ from: 'record' })
  })
})

describe('an order', () => {
  const order = makeOrder('r2', { since: '2026-02-01T00:00:00.000Z', began: 'r1' })
  const told = { kind: 'live', generation: 7, release: 'r2', durationMs: 1 } as const

  it('ends with what its own handover tells, not with what one of the same name told before', async () => {
    const { app, paths, systemd } = makeApp()
    writeResult(paths, order.id, { ...told, generation: 3 })
    systemd.onRestart = async () => writeResult(paths, order.id, told)
    expect(await orderHandover(app, order)).toMatchObject(told)
    expect(systemd.orders).toEqual(['restart shop.service'])
  })

  it('waits for a handover that systemd runs again', async () => {
    const { app, paths, systemd } = makeApp()
    systemd.onRestart = async () => {
      // Its first run was killed: between the two, no systemd job is queued.
      setImmediate(() => {
        systemd.set('shop.service', { sub: 'exited' })
        writeResult(paths, order.id, told)
      })
      return { active: 'activating', sub: 'auto-restart' }
    }
    expect(await orderHandover(app, order)).toMatchObject(told)
  })

  /** One whose handover ended without a word. */
  async function judged(live: { release: string; since: string }, active = 'active') {
    const on = makeApp()
    bringUp(on, live.release, 4, { live: { generation: 4, release: live.release, processes: 1, since: live.since } })
    on.systemd.onRestart = async () => ({ active })
    const result = await orderHandover(on.app, order)
    expect(readOrder(on.paths)).toBeUndefined()
    return result
  }

  it('is a success where its release went live since', async () => {
    expect(await judged({ release: 'r2', since: '2026-02-01T00:00:01.000Z' })).toMatchObject({ kind: 'live', generation: 4, release: 'r2' })
  })
  it('is one where what it brought up is held, and be it as canaries', async () => {
    const on = makeApp()
    const held = { generation: 5, release: 'r2', processes: 1, kind: 'canary', since: order.since, id: order.id, afterDrain: false } as const
    bringUp(on, 'r1', 4, { generation: 5, held })
    expect(await orderHandover(on.app, { ...order, canary: { processes: 1, auto: false } })).toMatchObject({ kind: 'held', generation: 5, release: 'r2' })
    expect(await orderHandover(on.app, { ...order, id: '20260301-000000-abcdef', hold: {} })).toMatchObject({ kind: 'failed' })
  })
  it('is none where its release was live before', async () => {
    expect(await judged({ release: 'r2', since: liveSince })).toMatchObject({ kind: 'failed', reason: 'the handover came to no end that it could tell', serving: 4 })
  })
  it('is none where another release went live since', async () => {
    expect(await judged({ release: 'r1', since: '2026-02-01T00:00:01.000Z' })).toMatchObject({ kind: 'failed' })
  })
  it('tells of somebody who stopped the app', async () => {
    expect(await judged({ release: 'r1', since: liveSince }, 'inactive')).toMatchObject({ kind: 'failed', reason: 'shop was stopped by somebody else in the middle of the handover' })
  })
})
