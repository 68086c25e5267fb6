/** Apps that use node:cluster: the primary accepts, its workers hold the connections. */
import { beforeAll, expect, test, vi } from 'vitest'
import { ensureBuilt } from './built.js'
import { Supervisor, type Instance } from './supervisor.js'
import { Traffic } from './traffic.js'

vi.setConfig({ testTimeout: 30_000 })
beforeAll(ensureBuilt)

test('overlapping handovers fail no request', async () => {
  await using supervisor = new Supervisor()
  const address = await supervisor.listen('http')
  const start = async (): Promise<Instance> => {
    const instance = await supervisor.start('cluster-app.mjs', { listeners: ['http'] })
    await instance.untilReady()
    return instance
  }
  let live = await start()
  const traffic = new Traffic(address, { keepAlive: 20, fetch: 5, newConnections: 5, posts: 5, thinkMs: 20 })
  const retired: Instance[] = []
  for (let handover = 0; handover < 4; handover++) {
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
  console.log(traffic.errors.length, traffic.answered, statuses, [...new Set(traffic.errors)], retired.map((each) => each.output))
  expect(traffic.errors).toEqual([])
}, 60_000)
