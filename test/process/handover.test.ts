import { beforeAll, expect, test } from 'vitest'
import { ensureBuilt } from './built.js'
import { Supervisor, type Instance } from './supervisor.js'
import { Traffic } from './traffic.js'

beforeAll(ensureBuilt)

test('10 overlapping handovers of one socket fail no request', async () => {
  await using supervisor = new Supervisor()
  const address = await supervisor.listen('http')
  const start = async (): Promise<Instance> => {
    const instance = await supervisor.start('http.mjs', { listeners: ['http'] })
    await instance.untilReady()
    return instance
  }
  let live = await start()
  const traffic = new Traffic(address, { keepAlive: 30, fetch: 10, newConnections: 5, posts: 5, thinkMs: 20 })
  const retired: Instance[] = []
  for (let handover = 0; handover < 10; handover++) {
    const next = await start()
    await traffic.untilAnswered(150)
    live.kill('SIGTERM')
    retired.push(live)
    live = next
    await traffic.untilAnswered(150)
  }
  const statuses = await Promise.all(retired.map((instance) => instance.untilExit()))
  await traffic.untilAnswered(100)
  await traffic.stop()
  expect(traffic.errors).toEqual([])
  expect(traffic.answered).toBeGreaterThan(3000)
  expect(statuses).toEqual(statuses.map(() => 0))
  // Each generation served, and each was gone within its keep-alive time of 5 s and a little.
  expect(traffic.answeredBy.size).toBe(11)
  for (const instance of retired) {
    expect(instance.output).toMatch(/drained in \d\.\d s: .* answered; nothing was cut/)
  }
}, 90_000)

test('without the runtime the same handovers do fail requests', async () => {
  await using supervisor = new Supervisor()
  const address = await supervisor.listen('http')
  const start = async (): Promise<Instance> => {
    const instance = await supervisor.start('bare.mjs', { listeners: ['http'], register: false })
    await instance.until('does not listen', () => instance.output.includes('listening'))
    return instance
  }
  let live = await start()
  const traffic = new Traffic(address, { keepAlive: 30, fetch: 10, newConnections: 5, posts: 5, thinkMs: 20 })
  for (let handover = 0; handover < 40 && traffic.errors.length === 0; handover++) {
    const next = await start()
    await traffic.untilAnswered(150)
    live.kill('SIGTERM')
    live = next
    await traffic.untilAnswered(150)
  }
  await traffic.stop()
  expect(traffic.errors.length).toBeGreaterThan(0)
}, 90_000)
