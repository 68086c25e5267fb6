/** Apps that use node:cluster: the primary accepts, its workers hold the connections. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { countUnaccepted } from './accept-queue.js'
import { ensureBuilt } from './built.js'
import { RawClient } from './raw-client.js'
import { Supervisor, type Instance } from './supervisor.js'
import { Traffic } from './traffic.js'

vi.setConfig({ testTimeout: 30_000 })
beforeAll(ensureBuilt)

const goingAway = Buffer.from([0x88, 0x02, 0x03, 0xe9]).toString('latin1')
const maskedClose = Buffer.from([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9])

/** A ready instance on one listener whose workers all listen, and its address. */
async function startApp(supervisor: Supervisor, env: Record<string, string> = {}): Promise<[Instance, string]> {
  const address = supervisor.addresses.get('http') ?? (await supervisor.listen('http'))
  const instance = await supervisor.start('cluster-app.mjs', { listeners: ['http'], env })
  await instance.untilReady()
  await instance.until('not all workers run', () => forked(instance).length === Number(env.WORKERS ?? 2))
  if (env.SERVER === undefined) await instance.until('not all workers listen', () => instance.output.split('listening {').length > Number(env.WORKERS ?? 2))
  return [instance, address]
}

const forked = (instance: Instance): number[] => [...instance.output.matchAll(/app: forked (\d+)/g)].map(([, pid]) => Number(pid))

/** Workers that wanted to listen when the drain had begun. */
const late = (instance: Instance): number[] => [...instance.output.matchAll(/process (\d+)\) wants to listen/g)].map(([, pid]) => Number(pid))

const ended = (instance: Instance): number[] => [...instance.output.matchAll(/app: ended (\d+)/g)].map(([, pid]) => Number(pid))

async function drain(instance: Instance): Promise<void> {
  instance.kill('SIGTERM')
  await instance.until('STOPPING=1 did not come', () => instance.notified.some((text) => text.includes('STOPPING=1')))
}

/** A connection that is kept, and the process that serves it. */
async function keepConnection(address: string): Promise<{ client: RawClient; pid: number }> {
  const client = new RawClient(address)
  client.get('/now')
  await client.until('an answer', () => /now from \d+/.test(client.received))
  return { client, pid: Number(/now from (\d+)/.exec(client.received)?.[1]) }
}

/** Kept connections, one or more with each worker. */
async function keepEach(address: string, workers = 2, times = 1): Promise<{ client: RawClient; pid: number }[]> {
  const kept: { client: RawClient; pid: number }[] = []
  const counts = new Map<number, number>()
  while ([...counts.values()].filter((count) => count >= times).length < workers) {
    const each = await keepConnection(address)
    kept.push(each)
    counts.set(each.pid, (counts.get(each.pid) ?? 0) + 1)
  }
  return kept
}

/** Has the same connection answered with `Connection: close`. */
async function expectLastAnswer({ client, pid }: { client: RawClient; pid: number }): Promise<void> {
  client.received = ''
  client.get('/now')
  await client.untilEnded()
  expect([client.ended, client.received]).toEqual(['end', expect.stringMatching(new RegExp(`Connection: close\\r\\n[^]*now from ${pid}`))])
}

describe('handovers', () => {
  test.each(['deploy', 'stop'])('4 that overlap (%s) fail no request', async (reason) => {
    await using supervisor = new Supervisor()
    const stopFile = join(supervisor.directory, 'reason')
    writeFileSync(stopFile, `${reason}\n`)
    let [live, address] = await startApp(supervisor, { HOLDFAST_STOP_FILE: stopFile })
    const traffic = new Traffic(address, { keepAlive: 20, fetch: 5, newConnections: 5, posts: 5, thinkMs: 20 })
    const retired: Instance[] = []
    const slow: RawClient[] = []
    for (let handover = 0; handover < 4; handover++) {
      const kept = await keepConnection(address)
      kept.client.get('/slow?ms=1200')
      slow.push(kept.client)
      const [next] = await startApp(supervisor, { HOLDFAST_STOP_FILE: stopFile })
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
    expect(statuses).toEqual([0, 0, 0, 0])
    for (const client of slow) expect([client.ended, client.received]).toEqual(['end', expect.stringContaining('hello from')])
    // Both workers of each generation served.
    expect(traffic.answeredBy.size).toBe(10)
    for (const instance of retired) {
      expect(instance.output).toMatch(new RegExp(`draining: .*[1-9]\\d* (request|idle connection).*reason=${reason}[^]*drained in \\d\\.\\d s: [1-9]\\d* connections ended, [1-9]\\d* requests answered; nothing was cut`))
      expect(instance.output).not.toContain('app: message')
    }
  }, 60_000)

  test('connections that wait in the primary for a worker are served', async () => {
    await using supervisor = new Supervisor()
    // Whenever it hands one over, the worker is done with that long before it may get the next one.
    const [instance, address] = await startApp(supervisor, { BUSY: '1' })
    const kept = await keepEach(address)
    const blocked = new Map(kept.map(({ client, pid }) => [pid, client]))
    for (const client of blocked.values()) client.send('GET /block?ms=3000 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n')
    for (const { client } of kept) if (![...blocked.values()].includes(client)) client.socket.end()
    const waiting = Array.from({ length: 12 }, () => new RawClient(address))
    for (const client of waiting) client.send('GET /now HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n')
    await Promise.all(waiting.map((client) => client.until('a connection', () => !client.socket.connecting)))
    await vi.waitFor(() => expect(countUnaccepted(address)).toBe(0), { interval: 10 })
    await drain(instance)
    expect(waiting.filter(({ received }) => received !== '')).toEqual([])
    await Promise.all(waiting.map((client) => client.untilEnded()))
    for (const client of waiting) expect(client.received).toMatch(/Connection: close\r\n[^]*now from/)
    expect(await instance.untilExit()).toBe(0)
    expect(instance.output).toMatch(/nothing was cut/)
  })

  test('the old generation accepts no more', async () => {
    await using supervisor = new Supervisor()
    const [old, address] = await startApp(supervisor)
    const kept = await keepEach(address)
    const slow = new RawClient(address)
    slow.get('/slow?ms=1000')
    await keepConnection(address)
    await drain(old)
    const late = new RawClient(address)
    late.get('/now')
    await slow.untilEnded()
    expect([late.received, countUnaccepted(address)]).toEqual(['', 1])
    await startApp(supervisor)
    await late.untilReceived('now from')
    expect(kept.map(({ pid }) => `now from ${pid}`)).not.toContain(/now from \d+/.exec(late.received)?.[0])
  })
})

test('an app with several listeners is ready when its workers have them all', async () => {
  await using supervisor = new Supervisor()
  const address = await supervisor.listen('web')
  const path = join(supervisor.directory, 'admin.sock')
  await supervisor.listen('admin', path)
  const env = { SERVER: 'port-and-path.mjs', WEB_PORT: address.split(':')[1] ?? '', ADMIN_PATH: path }
  const instance = await supervisor.start('cluster-app.mjs', { listeners: ['web', 'admin'], env })
  await instance.untilReady()
  expect(instance.notified.join()).toContain(`serving web (${address}), admin (${path})`)
  const clients = [new RawClient(address), new RawClient(path)]
  for (const client of clients) client.get('/')
  await Promise.all([clients[0]?.untilReceived('web'), clients[1]?.untilReceived('admin')])
  await drain(instance)
  for (const client of clients) client.get('/')
  await Promise.all(clients.map((client) => client.untilEnded()))
  for (const client of clients) expect([client.ended, client.received]).toEqual(['end', expect.stringMatching(/200 OK[^]*200 OK[^]*Connection: close/)])
  expect(await instance.untilExit()).toBe(0)
})

describe('in the workers', () => {
  test('an idle connection is kept for its promised time, and the status says what the workers wait for', async () => {
    await using supervisor = new Supervisor()
    const [instance, address] = await startApp(supervisor, { KEEP_ALIVE_MS: '2500' })
    const kept = await keepEach(address)
    const slow = new RawClient(address)
    slow.get('/slow?ms=2000')
    const other = await keepConnection(address)
    await drain(instance)
    await instance.until('no status of the workers', () => instance.notified.some((text) => /^STATUS=draining: 1 request, \d idle connections/.test(text)))
    for (const each of kept) await expectLastAnswer(each)
    await slow.untilEnded()
    expect(slow.received).toContain('hello from')
    await other.client.untilEnded()
    expect(other.client.ended).toBe('end')
    expect(await instance.untilExit()).toBe(0)
    expect(instance.output).toMatch(new RegExp(`drained in \\d\\.\\d s: ${kept.length + 2} connections ended, ${kept.length + 1} requests answered; nothing was cut`))
  })

  test('a WebSocket and an event stream are moved', async () => {
    await using supervisor = new Supervisor()
    const [instance, address] = await startApp(supervisor, { SERVER: 'long-lived.mjs' })
    const events = new RawClient(address)
    events.get('/events')
    const webSocket = new RawClient(address)
    webSocket.socket.setEncoding('latin1')
    webSocket.send('GET /chat HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
    await Promise.all([events.untilReceived('tick'), webSocket.untilReceived('101')])
    instance.kill('SIGTERM')
    await webSocket.until('the close frame', () => webSocket.received.includes(goingAway))
    webSocket.socket.write(maskedClose)
    await webSocket.untilEnded()
    await events.untilReceived('\r\n0\r\n\r\n')
    events.get('/')
    await events.untilEnded()
    expect(events.received).toContain('hello')
    expect(await instance.untilExit()).toBe(0)
    expect(instance.output).toMatch(/1 WebSocket moved, 1 event stream moved; nothing was cut/)
  })

  test('together they close no more connections per second than one process may', async () => {
    await using supervisor = new Supervisor()
    const [instance, address] = await startApp(supervisor, { SERVER: 'long-lived.mjs', HOLDFAST_RECONNECT_RATE: '8' })
    await instance.until('not all workers run', () => forked(instance).length === 2)
    const clients = Array.from({ length: 16 }, () => new RawClient(address))
    for (const client of clients) {
      client.socket.setEncoding('latin1')
      client.send('GET /chat HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
    }
    await Promise.all(clients.map((client) => client.untilReceived('101')))
    const startedAt = performance.now()
    instance.kill('SIGTERM')
    await Promise.all(clients.map(async (client) => {
      await client.until('the close frame', () => client.received.includes(goingAway))
      client.socket.write(maskedClose)
    }))
    // One worker has 8 or more, each in a slot of a quarter of a second. At the whole rate the last would come within 1 s.
    expect(performance.now() - startedAt).toBeGreaterThan(1700)
    expect(await instance.untilExit()).toBe(0)
    expect(instance.output).toMatch(/16 WebSockets moved; nothing was cut/)
  })

  test('drain hooks run, are waited for, and know the reason; a worker sends nothing to systemd', async () => {
    await using supervisor = new Supervisor()
    const stopFile = join(supervisor.directory, 'reason')
    writeFileSync(stopFile, 'deploy\n')
    const [instance] = await startApp(supervisor, { SERVER: 'worker-hook.mjs', HOOK_MS: '3000', HOLDFAST_STOP_FILE: stopFile })
    await instance.until('not all workers listen', () => instance.output.split('app: instance').length > 2)
    expect(instance.output.match(/app: instance .*/g)).toEqual(['app: instance 1.1 not-supervised', 'app: instance 1.1 not-supervised'])
    await drain(instance)
    await instance.until('no status of the hooks', () => instance.notified.some((text) => text.includes('draining: 2 drain hooks')))
    expect(await instance.untilExit()).toBe(0)
    expect(instance.output.match(/app: hook .*/g)).toEqual(['app: hook done, deploy true', 'app: hook done, deploy true'])
    expect(instance.notified.filter((text) => text.includes('STOPPING=1'))).toHaveLength(1)
  })

  test('the hard end cuts and counts, also what a worker has that does not answer', async () => {
    await using supervisor = new Supervisor()
    const [instance, address] = await startApp(supervisor, { HOLDFAST_DRAIN_TIMEOUT_MS: '2500' })
    const kept = await keepEach(address)
    const [first] = kept
    for (const { client } of kept) client.get('/stream?ms=60000')
    await Promise.all(kept.map(({ client }) => client.untilReceived('line')))
    await drain(instance)
    process.kill(first?.pid ?? 0, 'SIGSTOP')
    await instance.until('the drain did not end', () => instance.output.includes('cut: '))
    // As systemd does it; it holds the output open.
    process.kill(first?.pid ?? 0, 'SIGKILL')
    expect(await instance.untilExit()).toBe(0)
    const count = kept.length
    expect(instance.output).toMatch(new RegExp(`the time of this drain was over\\. It drained in .*; cut: ${count} connections, ${count} requests`))
  })

  test('a shutdown of the machine shortens a drain that is under way', async () => {
    await using supervisor = new Supervisor()
    const stopFile = join(supervisor.directory, 'reason')
    writeFileSync(stopFile, 'deploy\n')
    const [instance, address] = await startApp(supervisor, { HOLDFAST_STOP_FILE: stopFile, HOLDFAST_SHUTDOWN_TIMEOUT_MS: '1500' })
    const { client } = await keepConnection(address)
    client.get('/stream?ms=60000')
    await client.untilReceived('line')
    await drain(instance)
    await instance.until('no status of the workers', () => instance.notified.some((text) => text.startsWith('STATUS=draining: 1 request')))
    writeFileSync(stopFile, 'shutdown\n')
    const changedAt = performance.now()
    expect(await instance.untilExit()).toBe(0)
    expect(performance.now() - changedAt).toBeLessThan(5000)
    expect(instance.output).toMatch(/the drain goes on, now because of a shutdown[^]*cut: 1 connection, 1 request/)
  })
})

describe('what the app does with its workers', () => {
  test.each([['kill', 3], ['disconnect', 4]])('a SIGTERM handler of the primary (%s) finds them drained', async (what, status) => {
    await using supervisor = new Supervisor()
    const [instance, address] = await startApp(supervisor, { ON_SIGTERM: what })
    const kept = await keepEach(address)
    const slow = new RawClient(address)
    slow.get('/slow?ms=1500')
    const other = await keepConnection(address)
    await drain(instance)
    for (const each of [...kept, other]) await expectLastAnswer(each)
    expect(instance.output).not.toContain('app: heard')
    await slow.untilEnded()
    expect(slow.received).toContain('hello from')
    expect(await instance.untilExit(10_000)).toBe(status)
    // In either order: the signal is passed as soon as there is nothing that the handler could cut.
    for (const text of ['nothing was cut', 'app: heard']) expect(instance.output).toContain(text)
  })

  test('an app that replaces each worker that ends does not do so in a drain', async () => {
    await using supervisor = new Supervisor()
    const [instance, address] = await startApp(supervisor, { REFORK: '1' })
    const kept = await keepEach(address)
    await drain(instance)
    for (const each of kept) await expectLastAnswer(each)
    expect(await instance.untilExit()).toBe(0)
    expect(forked(instance)).toHaveLength(2)
  })

  test('what a worker had that is killed in a drain was cut, and the one forked in its place idles', async () => {
    await using supervisor = new Supervisor()
    const [instance, address] = await startApp(supervisor, { WORKERS: '3', REFORK: '1' })
    const kept = await keepEach(address, 3, 4)
    const victim = kept[0]?.pid ?? 0
    const [first, second, third, ...rest] = kept.filter(({ pid }) => pid === victim)
    const [slow, ...others] = kept.filter(({ pid }) => pid !== victim)
    for (const each of [first, second]) each?.client.get('/stream?ms=60000')
    third?.client.send('GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
    slow?.client.get('/slow?ms=6000')
    await Promise.all([first?.client.untilReceived('line'), second?.client.untilReceived('line'), third?.client.untilReceived('101')])
    await drain(instance)
    for (const each of [...others, ...rest]) await expectLastAnswer(each)
    await instance.until('not all reports came', () => instance.notified.at(-1) === 'STATUS=draining: 3 requests, 1 WebSocket')
    process.kill(victim, 'SIGKILL')
    await instance.until('the new worker did not try to listen', () => late(instance).length > 0)
    await slow?.client.untilEnded()
    expect(slow?.client.received).toContain('hello from')
    expect(await instance.untilExit()).toBe(0)
    expect(ended(instance)).toEqual([victim])
    expect(late(instance)).toEqual(forked(instance).slice(3))
    expect(late(instance)).toHaveLength(1)
    expect(instance.output).toMatch(new RegExp(`process ${victim}\\) ended in the middle of its drain; it still had 2 requests, 1 WebSocket`))
    const line = `${kept.length - 3} connections ended, ${kept.length - 3} requests answered; cut: 3 connections, 2 requests, 1 WebSocket phase=drain-cut`
    expect(instance.output).toContain(line)
    expect(instance.output).not.toContain('the time of this drain was over')
  })

  test('when all workers have died in a drain, those forked in their place may die, too', async () => {
    await using supervisor = new Supervisor()
    const [instance] = await startApp(supervisor, { REFORK: '1', HOLD: '1' })
    await drain(instance)
    for (const pid of forked(instance)) process.kill(pid, 'SIGKILL')
    for (const count of [2, 3]) {
      await instance.until('the new workers did not try to listen', () => late(instance).length >= count)
      expect(late(instance)).toHaveLength(count)
      process.kill(late(instance).at(-1) ?? 0, 'SIGKILL')
    }
    await instance.until('no worker was forked', () => late(instance).length === 4)
    instance.kill('SIGHUP')
    expect(await instance.untilExit()).toBe(0)
    expect(ended(instance)).toHaveLength(4)
    expect(instance.output).toMatch(/nothing was cut/)
  })

  test('a worker that is killed in a drain holds nothing up, nor does the one forked in its place', async () => {
    await using supervisor = new Supervisor()
    const [instance, address] = await startApp(supervisor, { REFORK: '1' })
    const kept = await keepEach(address)
    const [first] = kept
    const others = kept.filter(({ pid }) => pid !== first?.pid)
    others[0]?.client.get('/slow?ms=2000')
    first?.client.get('/slow?ms=9000')
    await keepConnection(address)
    await drain(instance)
    process.kill(first?.pid ?? 0, 'SIGKILL')
    await instance.until('no worker was forked in its place', () => forked(instance).length === 3)
    await others[0]?.client.untilEnded()
    expect(others[0]?.client.received).toContain('hello from')
    for (const each of others.slice(1)) await expectLastAnswer(each)
    expect(await instance.untilExit(10_000)).toBe(0)
    expect(instance.output).toMatch(new RegExp(`process ${first?.pid}\\) ended in the middle of its drain; it still had 1 request`))
  })

  test('a worker that is forked in a drain holds nothing up', async () => {
    await using supervisor = new Supervisor()
    const [instance] = await startApp(supervisor, { SERVER: 'worker-hook.mjs', HOOK_MS: '2000' })
    await instance.until('not all workers listen', () => instance.output.split('app: instance').length > 2)
    await drain(instance)
    instance.kill('SIGUSR2')
    expect(await instance.untilExit(10_000)).toBe(0)
    // Its own hook is run, and waited for as soon as it has said so.
    expect(instance.output.split('app: hook done').length).toBeGreaterThan(2)
    expect(forked(instance)).toHaveLength(3)
    expect(instance.output).not.toContain('EADDRINUSE')
  })

  test('a worker that is forked in a drain and never starts holds nothing up', async () => {
    await using supervisor = new Supervisor()
    const [instance, address] = await startApp(supervisor, { BLOCKED: '1' })
    const kept = await keepEach(address)
    kept[0]?.client.get('/slow?ms=1500')
    await drain(instance)
    instance.kill('SIGUSR2')
    for (const each of kept.slice(1)) await expectLastAnswer(each)
    await kept[0]?.client.untilReceived('hello from')
    await instance.until('the drain did not end', () => instance.output.includes('drained in'))
    // As systemd does it; it holds the output open.
    process.kill(forked(instance)[2] ?? 0, 'SIGKILL')
    expect(await instance.untilExit()).toBe(0)
    expect(instance.output).toMatch(/drained in 1\.\d s: .*; nothing was cut/)
  })

  test('when the last worker has crashed, the next one serves those who came meanwhile', async () => {
    await using supervisor = new Supervisor()
    const [instance, address] = await startApp(supervisor, { WORKERS: '1', REFORK: '1' })
    for (let crash = 1; crash < 4; crash++) {
      process.kill(forked(instance).at(-1) ?? 0, 'SIGKILL')
      await instance.until('its end was not seen', () => instance.output.split('app: ended').length > crash)
      const { pid, client } = await keepConnection(address)
      expect(pid).toBe(forked(instance).at(-1))
      client.socket.end()
    }
    const last = await keepConnection(address)
    await drain(instance)
    await expectLastAnswer(last)
    expect(await instance.untilExit()).toBe(0)
    expect(instance.output).not.toContain('EADDRINUSE')
  })

  test('workers without the preload close in the way of node, and the log says so', async () => {
    await using supervisor = new Supervisor()
    const [instance, address] = await startApp(supervisor, { BARE: '1' })
    const slow = new RawClient(address)
    slow.get('/slow?ms=1000')
    await keepConnection(address)
    await drain(instance)
    await slow.untilReceived('hello from')
    expect(instance.output).toMatch(/worker \d of this cluster runs without holdfast\/register/)
    expect(await instance.untilExit(10_000)).toBe(0)
  })
})
