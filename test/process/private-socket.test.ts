/** The socket that reaches one instance alone: its connections are the app's server's like any other. */
import http from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import net from 'node:net'
import tls from 'node:tls'
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { WebSocket } from 'ws'
import { countUnaccepted } from './accept-queue.js'
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

async function drain(instance: Instance): Promise<void> {
  instance.kill('SIGTERM')
  await instance.until('STOPPING=1 did not come', () => instance.notified.some((text) => text.includes('STOPPING=1')))
}

const textOf = (options: https.RequestOptions, request = http.request): Promise<string> =>
  new Promise((resolve, reject) => {
    request(options, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (piece: string) => (text += piece)).on('end', () => resolve(text)).on('error', reject)
    }).on('error', reject).end()
  })

/** One request over HTTP/2 on the private socket. */
async function askHttp2(instance: Instance, path = '/', options: http2.SecureClientSessionOptions = {}): Promise<string> {
  const session = http2.connect(options.ALPNProtocols ? 'https://localhost' : 'http://localhost', { ...options, path: instance.privateSocket } as object)
  try {
    const stream = session.request({ ':path': path })
    let text = ''
    for await (const piece of stream.setEncoding('utf8')) text += piece
    return text
  } finally {
    session.close()
  }
}

describe.each([true, false])('held: %s', (held) => {
  test('HTTP, one request after the other on one connection', async () => {
    await using supervisor = new Supervisor()
    const [instance] = await start(supervisor, 'http.mjs', { held })
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
    for (let count = 0; count < 3; count++) expect(await textOf({ socketPath: instance.privateSocket, path: '/now', agent })).toBe(`now from ${instance.pid}`)
    agent.destroy()
  })

  test('HTTPS', async () => {
    await using supervisor = new Supervisor()
    const [instance] = await start(supervisor, 'https.mjs', { held })
    expect(await textOf({ socketPath: instance.privateSocket, path: '/', rejectUnauthorized: false }, https.request)).toBe('hello')
  })

  test('HTTP/2, and with TLS', async () => {
    await using supervisor = new Supervisor()
    const [plain] = await start(supervisor, 'http2.mjs', { held })
    expect(await askHttp2(plain)).toBe(`hello from ${plain.pid}`)
    const [secure] = await start(supervisor, 'http2.mjs', { held, env: { TLS: '1' } })
    expect(await askHttp2(secure, '/', { rejectUnauthorized: false, ALPNProtocols: ['h2'] })).toBe(`hello from ${secure.pid}`)
  })

  test('other protocols', async () => {
    await using supervisor = new Supervisor()
    const [instance] = await start(supervisor, 'echo.mjs', { held })
    const client = new RawClient(instance.privateSocket)
    client.send('hello')
    await client.untilReceived('hello')
  })

  test('WebSockets over TLS', async () => {
    await using supervisor = new Supervisor()
    const [instance] = await start(supervisor, 'wss.mjs', { held })
    const createConnection = (): net.Socket => tls.connect({ path: instance.privateSocket, rejectUnauthorized: false })
    const socket = new WebSocket('wss://localhost/', { createConnection })
    const answer = await new Promise((resolve, reject) => {
      socket.on('open', () => socket.send('hi')).on('message', (data: Buffer) => resolve(data.toString())).on('error', reject)
    })
    expect(answer).toBe('echo hi')
    socket.terminate()
  })

  test('the workers of a cluster answer in turn', async () => {
    await using supervisor = new Supervisor()
    const [instance] = await start(supervisor, 'cluster-app.mjs', { held })
    await instance.until('not all workers listen', () => instance.output.split('listening {').length === 3)
    const answers = new Set<string>()
    for (let count = 0; count < 4; count++) answers.add(await textOf({ socketPath: instance.privateSocket, path: '/now', agent: false }))
    expect(answers.size).toBe(2)
  })
})

test('it is nothing that the app sees, and each instance has its own', async () => {
  await using supervisor = new Supervisor()
  const [one] = await start(supervisor, 'when-live.mjs', { register: false })
  const [two] = await start(supervisor, 'when-live.mjs', { register: false, held: true })
  for (const instance of [one, two]) {
    expect(await textOf({ socketPath: instance.privateSocket, agent: false })).toBe(`now from ${instance.pid}`)
    expect(instance.output).toContain('app: listeners [["http",true]]')
    expect(instance.output).not.toMatch(/private|systemd passed/)
  }
})

test('it goes to the listener that was named, and before that listens connections wait', async () => {
  await using supervisor = new Supervisor()
  const web = await supervisor.listen('web')
  const admin = await supervisor.listen('admin')
  const env = { WEB_PORT: web.split(':')[1] ?? '', ADMIN_PORT: admin.split(':')[1] ?? '' }
  const instance = await supervisor.start('two-servers.mjs', { listeners: ['web', 'admin'], env, privateListener: 'admin' })
  const early = new RawClient(instance.privateSocket)
  early.get('/')
  const first = new RawClient(web)
  first.get('/')
  await first.untilReceived('web')
  expect([countUnaccepted(instance.privateSocket), early.received, early.ended]).toEqual([1, '', undefined])
  expect(await instance.report()).toMatchObject({ accepting: true })
  instance.kill('SIGUSR2')
  await early.untilReceived('admin')
})

test('a listener of the app that happens to be named private is one like any other', async () => {
  await using supervisor = new Supervisor()
  const address = await supervisor.listen('private')
  const instance = await supervisor.start('http.mjs', { listeners: ['private'], privateListener: 'private' })
  await instance.untilReady()
  const client = new RawClient(address)
  client.get('/now')
  await client.untilReceived('now from')
  expect(await textOf({ socketPath: instance.privateSocket, path: '/now', agent: false })).toBe(`now from ${instance.pid}`)
})

describe('in a drain', () => {
  test('it is closed, and its connections are drained like any other', async () => {
    await using supervisor = new Supervisor()
    const [instance] = await start(supervisor, 'http.mjs')
    const idle = new RawClient(instance.privateSocket)
    idle.get('/now')
    await idle.untilReceived('now from')
    const slow = new RawClient(instance.privateSocket)
    slow.get('/slow?ms=2000')
    await vi.waitFor(async () => expect(await instance.report()).toMatchObject({ connections: 2, inFlight: 1 }), { interval: 10, timeout: 5000 })
    await drain(instance)
    const late = new RawClient(instance.privateSocket)
    late.get('/now')
    idle.get('/now')
    await idle.untilEnded()
    expect([idle.ended, idle.received]).toEqual(['end', expect.stringMatching(/Connection: close\r\n[^]*now from/)])
    await slow.untilEnded()
    expect([slow.ended, slow.received]).toEqual(['end', expect.stringMatching(/Connection: close\r\n[^]*hello from/)])
    // Nobody accepts it, and nobody turns it away.
    expect([late.received, late.ended]).toEqual(['', undefined])
    expect(await instance.untilExit()).toBe(0)
    expect(instance.output).toMatch(/2 connections ended, 2 requests answered; nothing was cut/)
  })

  test('WebSockets and event streams that came over it are asked to come back', async () => {
    await using supervisor = new Supervisor()
    const [instance] = await start(supervisor, 'long-lived.mjs')
    const events = new RawClient(instance.privateSocket)
    events.get('/events')
    await events.untilReceived('data: tick')
    const socket = net.connect(instance.privateSocket)
    socket.write('GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
    await new Promise((resolve) => socket.once('data', resolve))
    socket.on('data', (data) => {
      if (data.includes(Buffer.from([0x88, 0x02, 0x03, 0xe9]))) socket.end(Buffer.from([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9]))
    })
    await drain(instance)
    await events.untilEnded()
    expect(await instance.untilExit()).toBe(0)
    expect(instance.output).toMatch(/1 WebSocket moved, 1 event stream moved; nothing was cut/)
  })

  test('the workers of a cluster finish what came over it', async () => {
    await using supervisor = new Supervisor()
    const [instance] = await start(supervisor, 'cluster-app.mjs')
    const slow = new RawClient(instance.privateSocket)
    slow.get('/slow?ms=2000')
    await vi.waitFor(async () => expect(await instance.report()).toMatchObject({ inFlight: 1 }), { interval: 10, timeout: 5000 })
    await drain(instance)
    await slow.untilEnded()
    expect([slow.ended, slow.received]).toEqual(['end', expect.stringContaining('hello from')])
    expect(await instance.untilExit()).toBe(0)
  })
})
