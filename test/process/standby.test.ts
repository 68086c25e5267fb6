/** Instances that are held back: they listen, answer on their private socket, and accept nothing until they are let in. */
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { countUnaccepted } from './accept-queue.js'
import { ensureBuilt } from './built.js'
import { RawClient } from './raw-client.js'
import { Supervisor, type Instance, type SpawnOptions } from './supervisor.js'
import { Traffic } from './traffic.js'

beforeAll(ensureBuilt)

async function startHeld(supervisor: Supervisor, scenario = 'http.mjs', options: SpawnOptions = {}): Promise<Instance> {
  const instance = await supervisor.start(scenario, { listeners: ['http'], privateListener: 'http', held: true, ...options })
  await instance.untilReady()
  return instance
}

/** An answer that came over the private socket: by then the instance's event loop has turned. */
async function askPrivately(instance: Instance, path = '/now', answer = 'from '): Promise<void> {
  const client = new RawClient(instance.privateSocket)
  client.get(path)
  await client.untilReceived(answer)
  client.socket.destroy()
}

describe.each(['TCP', 'a unix socket'])('on %s', (kind) => {
  const listen = (supervisor: Supervisor): Promise<string> =>
    supervisor.listen('http', kind === 'TCP' ? '127.0.0.1:0' : join(supervisor.directory, 'public'))

  test('a held instance is ready, and accepts when it is let in', async () => {
    await using supervisor = new Supervisor()
    const address = await listen(supervisor)
    const instance = await startHeld(supervisor)
    const waiting = new RawClient(address)
    waiting.get('/now')
    await instance.until('no callback of listen()', () => /^listening [{"]/m.test(instance.output))
    await askPrivately(instance)
    await askPrivately(instance)
    expect([countUnaccepted(address), waiting.received]).toEqual([1, ''])
    expect(instance.statusText).toBe(`in standby: listens on http (${address}) when let in`)
    expect(await instance.report()).toMatchObject({ accepting: false, draining: false, requests: 0 })
    instance.letIn()
    await waiting.untilReceived(`now from ${instance.pid}`)
    expect(await instance.report()).toMatchObject({ accepting: true, requests: 1 })
    await instance.until('no status', () => instance.statusText === `serving http (${address})`)
  })

  test('a held cluster is ready, and accepts when it is let in', async () => {
    await using supervisor = new Supervisor()
    const address = await listen(supervisor)
    const instance = await startHeld(supervisor, 'cluster-app.mjs', { env: { PORT: kind === 'TCP' ? '3000' : address } })
    const waiting = new RawClient(address)
    waiting.get('/now')
    for (let count = 0; count < 4; count++) await askPrivately(instance)
    expect([countUnaccepted(address), waiting.received]).toEqual([1, ''])
    expect(await instance.report()).toMatchObject({ accepting: false, requests: 0 })
    instance.letIn()
    await waiting.untilReceived('now from ')
    expect(await instance.report()).toMatchObject({ accepting: true, requests: 1 })
  })
})

test.each(['https.mjs', 'http2.mjs', 'echo.mjs'])('%s is held back, too', async (scenario) => {
  await using supervisor = new Supervisor()
  const address = await supervisor.listen('http')
  const instance = await startHeld(supervisor, scenario)
  const waiting = new RawClient(address)
  await waiting.until('a connection', () => !waiting.socket.connecting)
  expect(await instance.report()).toMatchObject({ accepting: false, connections: 0 })
  expect(await instance.report()).toMatchObject({ accepting: false, connections: 0 })
  expect(countUnaccepted(address)).toBe(1)
  instance.letIn()
  await expect.poll(async () => await instance.report(), { interval: 10, timeout: 5000 }).toMatchObject({ accepting: true, connections: 1 })
  expect(countUnaccepted(address)).toBe(0)
})

test('several listeners accept together, and one that comes later accepts at once', async () => {
  await using supervisor = new Supervisor()
  const web = await supervisor.listen('web')
  const admin = await supervisor.listen('admin')
  const env = { WEB_PORT: web.split(':')[1] ?? '', ADMIN_PORT: admin.split(':')[1] ?? '' }
  const held = { listeners: ['web', 'admin'], env, held: true, privateListener: 'web' }
  const start = async (): Promise<Instance> => {
    const instance = await supervisor.start('two-servers.mjs', held)
    await askPrivately(instance, '/', 'web')
    return instance
  }
  const clients = [new RawClient(web), new RawClient(admin)]
  for (const client of clients) client.get('/')
  const both = await start()
  both.kill('SIGUSR2')
  await both.untilReady()
  await askPrivately(both, '/', 'web')
  expect([countUnaccepted(web), countUnaccepted(admin)]).toEqual([1, 1])
  both.letIn()
  await clients[0]?.untilReceived('web')
  await clients[1]?.untilReceived('admin')
  both.kill('SIGKILL')
  await both.untilExit()

  const late = await start()
  late.letIn()
  const first = new RawClient(web)
  first.get('/')
  await first.untilReceived('web')
  const second = new RawClient(admin)
  second.get('/')
  late.kill('SIGUSR2')
  await second.untilReceived('admin')
  await late.untilReady()
})

test('a go under load fails no request, and none was answered before', async () => {
  await using supervisor = new Supervisor()
  const address = await supervisor.listen('http')
  const old = await supervisor.start('http.mjs', { listeners: ['http'] })
  await old.untilReady()
  const traffic = new Traffic(address, { keepAlive: 20, fetch: 5, newConnections: 10, posts: 5, thinkMs: 10 })
  let live = old
  const retired: Instance[] = []
  for (let handover = 0; handover < 5; handover++) {
    const next = await startHeld(supervisor)
    await traffic.untilAnswered(300)
    expect(traffic.answeredBy.has(String(next.pid))).toBe(false)
    next.letIn()
    await expect.poll(async () => (await next.report()).accepting, { interval: 5, timeout: 5000 }).toBe(true)
    live.kill('SIGTERM')
    retired.push(live)
    live = next
    await traffic.untilAnswered(300)
    expect(traffic.answeredBy.has(String(next.pid))).toBe(true)
  }
  const statuses = await Promise.all(retired.map((instance) => instance.untilExit()))
  await traffic.stop()
  expect(traffic.errors).toEqual([])
  expect(statuses).toEqual([0, 0, 0, 0, 0])
}, 60_000)

test('SIGTERM in standby: it drains what came over the private socket, and has accepted nothing public', async () => {
  await using supervisor = new Supervisor()
  const address = await supervisor.listen('http')
  const instance = await startHeld(supervisor)
  const waiting = new RawClient(address)
  waiting.get('/now')
  // For as long as that takes, it could still look at the hold file.
  const slow = new RawClient(instance.privateSocket)
  slow.get('/slow?ms=1500')
  await expect.poll(async () => (await instance.report()).inFlight, { interval: 5, timeout: 5000 }).toBe(1)
  instance.kill('SIGTERM')
  await instance.until('STOPPING=1 did not come', () => instance.notified.some((text) => text.includes('STOPPING=1')))
  instance.letIn()
  await slow.untilReceived('hello from')
  expect(await instance.untilExit(5000)).toBe(0)
  expect(instance.output).toMatch(/drained in .*: 1 connection ended, 1 request answered; nothing was cut/)
  expect(instance.output).not.toContain('let in')
  expect([countUnaccepted(address), waiting.received, waiting.ended]).toEqual([1, '', undefined])
  const next = await supervisor.start('http.mjs', { listeners: ['http'] })
  await waiting.untilReceived(`now from ${next.pid}`)
})

test('a cluster drains at once in standby, too', async () => {
  await using supervisor = new Supervisor()
  const address = await supervisor.listen('http')
  const instance = await startHeld(supervisor, 'cluster-app.mjs')
  const waiting = new RawClient(address)
  waiting.get('/now')
  await askPrivately(instance)
  instance.kill('SIGTERM')
  expect(await instance.untilExit(5000)).toBe(0)
  expect([countUnaccepted(address), waiting.received]).toEqual([1, ''])
})

test('a server that is closed in standby stays closed, and what asks it privately is turned away', async () => {
  await using supervisor = new Supervisor()
  const address = await supervisor.listen('http')
  const instance = await startHeld(supervisor, 'closes.mjs', { env: { STAY: '1' } })
  await askPrivately(instance)
  instance.kill('SIGUSR2')
  await instance.until('was not closed', () => instance.output.includes('app: closed'))
  const client = new RawClient(instance.privateSocket)
  await client.untilEnded()
  instance.letIn()
  await instance.until('was not let in', () => instance.output.includes('let in'))
  const waiting = new RawClient(address)
  await waiting.until('a connection', () => !waiting.socket.connecting)
  expect(await instance.report()).toMatchObject({ accepting: false, connections: 0 })
  expect([countUnaccepted(address), instance.status]).toEqual([1, undefined])
})

test('an instance that has nothing but a server, and closes that in standby, ends by itself', async () => {
  await using supervisor = new Supervisor()
  await supervisor.listen('http')
  const instance = await startHeld(supervisor, 'closes.mjs')
  await askPrivately(instance)
  instance.kill('SIGUSR2')
  expect(await instance.untilExit(5000)).toBe(0)
  expect(instance.output).toContain('app: closed')
})

test('when all workers of a held cluster crash, the next one is held back, and served when let in', async () => {
  await using supervisor = new Supervisor()
  const address = await supervisor.listen('http')
  const instance = await startHeld(supervisor, 'cluster-app.mjs', { env: { WORKERS: '1', REFORK: '1' } })
  const forked = (): number[] => [...instance.output.matchAll(/app: forked (\d+)/g)].map(([, pid]) => Number(pid))
  const waiting = new RawClient(address)
  waiting.get('/now')
  await instance.until('no worker listens', () => instance.output.includes('listening {'))
  process.kill(forked()[0] ?? 0, 'SIGKILL')
  await instance.until('no new worker listens', () => forked().length === 2 && instance.output.split('listening {').length > 2)
  await askPrivately(instance)
  expect([countUnaccepted(address), waiting.received]).toEqual([1, ''])
  instance.letIn()
  await waiting.untilReceived(`now from ${forked()[1]}`)
})

test('without the hold file nothing is held back, and nothing is looked at', async () => {
  await using supervisor = new Supervisor()
  const address = await supervisor.listen('http')
  const instance = await supervisor.start('http.mjs', { listeners: ['http'], nodeArguments: ['--import', join(import.meta.dirname, 'scenarios/count-looks.mjs')] })
  await instance.untilReady()
  const client = new RawClient(address)
  client.get('/slow?ms=200')
  await client.untilReceived('hello from')
  expect(instance.statusText).toBe(`serving http (${address})`)
  client.socket.destroy()
  instance.kill('SIGTERM')
  await instance.untilExit()
  expect(instance.output).toContain('looks at the hold file: 0')
})

describe('level 2', () => {
  test('whenLive() and exclusive work wait until it is let in; the private socket is no listener', async () => {
    await using supervisor = new Supervisor()
    const address = await supervisor.listen('http')
    const instance = await startHeld(supervisor, 'when-live.mjs', { register: false })
    expect(instance.output).toContain('app: listeners [["http",true]]')
    await askPrivately(instance)
    const waiting = new RawClient(address)
    waiting.get('/')
    await askPrivately(instance)
    expect([countUnaccepted(address), waiting.received]).toEqual([1, ''])
    expect(instance.output).not.toMatch(/app: (polls|consumes)/)
    instance.letIn()
    await instance.until('neither begins', () => instance.output.includes('app: polls') && instance.output.includes('app: consumes false'))
    await waiting.untilReceived('now from')
  })

  test('one that is stopped in standby never was live', async () => {
    await using supervisor = new Supervisor()
    await supervisor.listen('http')
    const instance = await startHeld(supervisor, 'when-live.mjs', { register: false })
    instance.kill('SIGTERM')
    expect(await instance.untilExit(5000)).toBe(0)
    expect(instance.output).not.toMatch(/app: (polls|consumes)/)
  })

  test('outside whenLive() settles at once', async () => {
    await using supervisor = new Supervisor()
    const instance = await supervisor.start('when-live.mjs', { register: false, notify: false, holdfast: false })
    await instance.until('it waits', () => instance.output.includes('app: consumes false'))
  })
})
