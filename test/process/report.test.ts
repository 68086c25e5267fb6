/** What an instance tells of itself on its report socket. */
import { once } from 'node:events'
import http from 'node:http'
import http2 from 'node:http2'
import net from 'node:net'
import { join } from 'node:path'
import tls from 'node:tls'
import { beforeAll, expect, test, vi } from 'vitest'
import type { Report } from '../../src/runtime/report.js'
import { ensureBuilt } from './built.js'
import { RawClient } from './raw-client.js'
import { Supervisor, type Instance, type SpawnOptions } from './supervisor.js'

beforeAll(ensureBuilt)

async function start(supervisor: Supervisor, scenario: string, options: SpawnOptions = {}): Promise<[Instance, string]> {
  const address = supervisor.addresses.get('http') ?? (await supervisor.listen('http'))
  const instance = await supervisor.start(scenario, { listeners: ['http'], privateListener: 'http', ...options })
  await instance.untilReady()
  return [instance, address]
}

/** Sends a request on a connection of its own, and waits for the end of that. */
async function ask(address: string, path: string): Promise<RawClient> {
  const client = new RawClient(address)
  client.send(`GET ${path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n`)
  await client.untilEnded()
  return client
}

/** Waits for a report in which some things are so. */
const untilReport = (instance: Instance, expected: Partial<Report>): Promise<void> =>
  vi.waitFor(async () => expect(await instance.report()).toMatchObject(expected), { interval: 10, timeout: 5000 })

const slowest = ({ latency }: Report): number => latency.findLastIndex((count) => count > 0)
const sum = ({ latency }: Report): number => latency.reduce((total, count) => total + count, 0)

test('it says who it is, and counts what was answered', async () => {
  await using supervisor = new Supervisor()
  const [instance, address] = await start(supervisor, 'answers.mjs')
  const first = await instance.report()
  expect(first).toEqual({
    version: 1, pid: instance.pid, startedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/), accepting: true, draining: false,
    connections: 0, inFlight: 0, webSockets: 0, eventStreams: 0, jobs: 0, requests: 0, errors: 0, latency: Array(41).fill(0),
  })
  expect(Math.abs(Date.parse(first.startedAt) - Date.now())).toBeLessThan(10_000)
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  const [host, port] = address.split(':')
  for (const path of ['/', '/?ms=100', '/fail']) {
    await new Promise((resolve) => http.get({ host, port, path, agent }, (response) => response.resume().on('end', resolve)))
  }
  await untilReport(instance, { requests: 3, errors: 1, connections: 1, inFlight: 0 })
  const report = await instance.report()
  expect(sum(report)).toBe(3)
  // The bounds around 100 ms are 90.5 and 128; it may take longer, but not less.
  expect(slowest(report)).toBeGreaterThanOrEqual(18)
  expect(report.latency.slice(0, 18).reduce((total, count) => total + count, 0)).toBe(2)
  agent.destroy()
})

test('an answer that is cut off counts as an error, unless the client went away', async () => {
  await using supervisor = new Supervisor()
  const [instance, address] = await start(supervisor, 'answers.mjs')
  expect((await ask(address, '/cut')).received).toContain('half')
  await untilReport(instance, { requests: 1, errors: 1, connections: 0 })
  const left = new RawClient(address)
  left.get('/?ms=2000')
  await untilReport(instance, { inFlight: 1 })
  left.socket.end()
  await untilReport(instance, { connections: 0 })
  const reset = new RawClient(address)
  reset.get('/?ms=2000')
  await untilReport(instance, { inFlight: 1 })
  reset.socket.resetAndDestroy()
  await untilReport(instance, { connections: 0 })
  await ask(address, '/?ms=2100')
  await untilReport(instance, { requests: 2, errors: 1 })
  expect(sum(await instance.report())).toBe(1)
})

test('the same over TLS', async () => {
  await using supervisor = new Supervisor()
  const [instance, address] = await start(supervisor, 'answers.mjs', { env: { TLS: '1' } })
  const [host, port] = address.split(':')
  const connect = async (path: string): Promise<{ raw: net.Socket; socket: tls.TLSSocket }> => {
    const raw = net.connect(Number(port), host).on('error', () => {})
    const socket = tls.connect({ socket: raw, rejectUnauthorized: false })
    await once(socket, 'secureConnect')
    socket.on('error', () => {}).resume().write(`GET ${path} HTTP/1.1\r\nHost: test\r\n\r\n`)
    return { raw, socket }
  }
  await connect('/cut')
  await untilReport(instance, { requests: 1, errors: 1, connections: 0 })
  for (const leave of ['ends', 'destroys', 'resets']) {
    const { raw, socket } = await connect('/?ms=2000')
    await untilReport(instance, { inFlight: 1 })
    if (leave === 'ends') socket.end()
    else if (leave === 'destroys') raw.destroy()
    else raw.resetAndDestroy()
    await untilReport(instance, { connections: 0 })
  }
  const own = tls.connect({ path: instance.privateSocket, rejectUnauthorized: false })
  await once(own, 'secureConnect')
  own.write('GET / HTTP/1.1\r\nHost: test\r\n\r\n')
  await once(own, 'data')
  own.destroy()
  expect(await instance.report()).toMatchObject({ requests: 1, errors: 1 })
})

test('event streams and upgrades have no latency', async () => {
  await using supervisor = new Supervisor()
  const [instance, address] = await start(supervisor, 'answers.mjs')
  const events = ask(address, '/events?ms=1500')
  await untilReport(instance, { eventStreams: 1, inFlight: 0 })
  await events
  await untilReport(instance, { requests: 1, errors: 0, latency: Array(41).fill(0) })
  const upgrade = new RawClient(address)
  upgrade.send('GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n')
  await upgrade.untilReceived('101')
  upgrade.socket.end()
  await untilReport(instance, { requests: 1, connections: 0, latency: Array(41).fill(0) })
})

test('neither what is asked privately counts, nor what another server answers', async () => {
  await using supervisor = new Supervisor()
  const [instance, address] = await start(supervisor, 'answers.mjs', { env: { SECOND: '1' } })
  await ask(instance.privateSocket, '/')
  await ask(instance.privateSocket, '/fail')
  await ask(instance.privateSocket, '/cut')
  const second = /app: second (\d+)/.exec(instance.output)?.[1]
  expect((await ask(`127.0.0.1:${second}`, '/')).received).toContain('second')
  await ask(address, '/')
  await untilReport(instance, { requests: 1, errors: 0 })
})

test('HTTP/2 by its streams', async () => {
  await using supervisor = new Supervisor()
  const [instance, address] = await start(supervisor, 'answers.mjs', { env: { HTTP2: '1' } })
  const session = http2.connect(`http://${address}`)
  const askStream = (path: string): Promise<string> => new Promise((resolve) => {
    const stream = session.request({ ':path': path })
    let text = ''
    stream.setEncoding('utf8').on('data', (piece: string) => (text += piece)).on('error', () => {}).on('close', () => resolve(text))
  })
  expect(await askStream('/one')).toBe(`/one from ${instance.pid}`)
  await askStream('/fail')
  await askStream('/cut')
  await askStream('/events?ms=100')
  const left = session.request({ ':path': '/?ms=2000' })
  await untilReport(instance, { inFlight: 1 })
  left.close(http2.constants.NGHTTP2_CANCEL)
  await untilReport(instance, { inFlight: 0, requests: 4, errors: 2 })
  expect(sum(await instance.report())).toBe(2)
  session.close()
  const own = http2.connect('http://localhost', { createConnection: () => net.connect(instance.privateSocket) })
  const stream = own.request({ ':path': '/private' })
  await new Promise((resolve) => stream.resume().on('end', resolve))
  own.close()
  await untilReport(instance, { requests: 4, errors: 2 })
})

test('HTTP/2 by requests and responses, and HTTP/1 on the same server', async () => {
  await using supervisor = new Supervisor()
  const [instance, address] = await start(supervisor, 'http2.mjs', { env: { TLS: '1' } })
  const session = http2.connect(`https://${address}`, { rejectUnauthorized: false })
  const stream = session.request({ ':path': '/' })
  await new Promise((resolve) => stream.resume().on('end', resolve))
  session.close()
  const { default: https } = await import('node:https')
  const [host, port] = address.split(':')
  await new Promise((resolve) => https.get({ host, port, rejectUnauthorized: false }, (response) => response.resume().on('end', resolve)))
  await untilReport(instance, { requests: 2, errors: 0 })
  expect(sum(await instance.report())).toBe(2)
})

test.each(['TCP', 'a unix socket'])('the workers of a cluster on %s are one', async (kind) => {
  await using supervisor = new Supervisor()
  const address = await supervisor.listen('http', kind === 'TCP' ? '127.0.0.1:0' : join(supervisor.directory, 'public'))
  const env = { SERVER: 'answers.mjs', PORT: address, REFORK: '1' }
  const instance = await supervisor.start('cluster-app.mjs', { listeners: ['http'], privateListener: 'http', env })
  await instance.untilReady()
  const answers = new Set<string>()
  let asked = 0
  for (; answers.size < 2 || asked < 6; asked++) answers.add(/from (\d+)/.exec((await ask(address, '/')).received)?.[1] ?? '')
  await ask(address, '/fail')
  await ask(instance.privateSocket, '/')
  await ask(instance.privateSocket, '/fail')
  await untilReport(instance, { accepting: true, requests: asked + 1, errors: 1 })
  expect(sum(await instance.report())).toBe(asked + 1)
  const open = [new RawClient(address), new RawClient(address)]
  for (const client of open) client.get('/?ms=5000')
  await untilReport(instance, { connections: 2, inFlight: 2 })
  // What a worker had counted outlives it.
  for (const pid of answers) process.kill(Number(pid), 'SIGKILL')
  await instance.until('they were not seen to end', () => instance.output.split('app: ended').length === 3)
  await untilReport(instance, { connections: 0, inFlight: 0, requests: asked + 1 })
})

test('a worker whose event loop is blocked holds no report up', async () => {
  await using supervisor = new Supervisor()
  const [instance, address] = await start(supervisor, 'cluster-app.mjs', { env: { WORKERS: '1' } })
  await ask(address, '/now')
  await untilReport(instance, { requests: 1 })
  const client = new RawClient(address)
  client.get('/block?ms=4000')
  // The first may be asked before the worker is blocked.
  await vi.waitFor(async () => {
    const asked = performance.now()
    expect(await Promise.all([instance.report(), instance.report()])).toEqual([expect.objectContaining({ requests: 1 }), expect.objectContaining({ requests: 1 })])
    expect(performance.now() - asked).toBeGreaterThan(150)
  }, { interval: 10, timeout: 4000 })
  expect(client.received).toBe('')
  await client.untilReceived('blocked')
  await untilReport(instance, { requests: 2 })
})

test('it is told in a drain, too', async () => {
  await using supervisor = new Supervisor()
  const [instance, address] = await start(supervisor, 'answers.mjs')
  const slow = ask(address, '/?ms=2000')
  await untilReport(instance, { accepting: true, inFlight: 1 })
  instance.kill('SIGTERM')
  await untilReport(instance, { accepting: false, draining: true, inFlight: 1, requests: 0 })
  await slow
  expect(await instance.untilExit()).toBe(0)
})

test('it is not accepting as long as one of its listeners does not', async () => {
  await using supervisor = new Supervisor()
  const web = await supervisor.listen('web')
  const admin = await supervisor.listen('admin')
  const env = { WEB_PORT: web.split(':')[1] ?? '', ADMIN_PORT: admin.split(':')[1] ?? '' }
  const instance = await supervisor.start('two-servers.mjs', { listeners: ['web', 'admin'], privateListener: 'web', held: true, env })
  await untilReport(instance, { accepting: false })
  await ask(instance.privateSocket, '/')
  instance.kill('SIGUSR2')
  await instance.untilReady()
  await untilReport(instance, { accepting: false })
  instance.letIn()
  await untilReport(instance, { accepting: true })
})

test('a client that says something, or leaves at once, does no harm', async () => {
  await using supervisor = new Supervisor()
  const [instance] = await start(supervisor, 'answers.mjs')
  for (let count = 0; count < 20; count++) {
    const client = net.connect(instance.reportSocket)
    client.on('connect', () => {
      client.write('what?\n'.repeat(10_000))
      client.destroy()
    }).on('error', () => {})
  }
  await untilReport(instance, { accepting: true })
  expect(instance.output).not.toMatch(/error/i)
})
