/** Connections that never end by themselves, and what a drain does about them. */
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { WebSocket } from 'ws'
import { ensureBuilt } from './built.js'
import { RawClient } from './raw-client.js'
import { Supervisor, type Instance } from './supervisor.js'

vi.setConfig({ testTimeout: 30_000 })
beforeAll(ensureBuilt)

const goingAway = Buffer.from([0x88, 0x02, 0x03, 0xe9])
const maskedClose = Buffer.from([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9])

interface Clients {
  events: RawClient
  webSocket: RawClient
  tunnel: RawClient
  poll: RawClient
}

async function connect(address: string): Promise<Clients> {
  const events = new RawClient(address)
  events.get('/events')
  const webSocket = openWebSocket(address)
  const tunnel = new RawClient(address)
  tunnel.send('CONNECT there:1 HTTP/1.1\r\nHost: there:1\r\n\r\n')
  const poll = new RawClient(address)
  poll.get('/poll')
  await Promise.all([events.untilReceived('tick'), webSocket.untilReceived('101'), tunnel.untilReceived('200')])
  const other = new RawClient(address)
  other.send('GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n')
  await other.untilEnded()
  return { events, webSocket, tunnel, poll }
}

function openWebSocket(address: string): RawClient {
  const client = new RawClient(address)
  client.socket.setEncoding('latin1')
  client.send('GET /chat HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
  return client
}

async function start(supervisor: Supervisor, scenario: string, env: Record<string, string> = {}): Promise<[Instance, string]> {
  const address = supervisor.addresses.get('http') ?? (await supervisor.listen('http'))
  const instance = await supervisor.start(scenario, { listeners: ['http'], env })
  await instance.untilReady()
  return [instance, address]
}

const stopping = (instance: Instance): string | undefined => instance.notified.find((text) => text.includes('STOPPING=1'))

describe('by default', () => {
  test('a WebSocket gets 1001, an event stream ends, a tunnel and a poll are left alone and cut at the hard end', async () => {
    await using supervisor = new Supervisor()
    const [instance, address] = await start(supervisor, 'long-lived.mjs', { HOLDFAST_DRAIN_TIMEOUT_MS: '3000' })
    const { events, webSocket, tunnel, poll } = await connect(address)
    instance.kill('SIGTERM')
    await webSocket.until('the close frame', () => webSocket.received.includes(goingAway.toString('latin1')))
    const received = webSocket.received
    webSocket.socket.write(maskedClose)
    await webSocket.untilEnded()
    // Neither the app's ticks nor its own close frame follow ours.
    expect(webSocket.received).toBe(received)
    expect(received.endsWith(goingAway.toString('latin1'))).toBe(true)
    await events.untilReceived('\r\n0\r\n\r\n')
    // Its connection is kept for the time that was promised.
    events.get('/')
    await events.untilReceived('hello')
    expect(events.received).toMatch(/Connection: close\r\n[^]*hello/)
    tunnel.send('still here')
    await tunnel.untilReceived('still here')
    expect(poll.ended).toBeUndefined()
    expect(stopping(instance)).toMatch(/draining: 1 request, 1 WebSocket, 1 event stream, 1 tunnel$/)
    expect(await instance.untilExit()).toBe(0)
    expect(instance.output).toMatch(/1 request answered, 1 WebSocket moved, 1 event stream moved; cut: 2 connections, 1 request, 1 tunnel/)
  })

  test('over TLS as well: the package ws closes in order', async () => {
    await using supervisor = new Supervisor()
    const [instance, address] = await start(supervisor, 'wss.mjs')
    const client = new WebSocket(`wss://${address}`, { rejectUnauthorized: false })
    await once(client, 'open')
    client.send('here')
    expect(String((await once(client, 'message'))[0])).toBe('echo here')
    instance.kill('SIGTERM')
    const [code] = await once(client, 'close')
    expect(code).toBe(1001)
    expect(stopping(instance)).toMatch(/draining: 1 WebSocket$/)
    expect(await instance.untilExit()).toBe(0)
    expect(instance.output).toContain('1 WebSocket moved; nothing was cut')
  })

  test('they are spread over the window of a deploy, and no faster than the rate', async () => {
    await using supervisor = new Supervisor()
    const stopFile = join(supervisor.directory, 'stop')
    writeFileSync(stopFile, 'deploy\n')
    const env = { HOLDFAST_STOP_FILE: stopFile, HOLDFAST_RECONNECT_WINDOW_MS: '1000', HOLDFAST_RECONNECT_RATE: '20' }
    const [instance, address] = await start(supervisor, 'long-lived.mjs', env)
    const clients = Array.from({ length: 40 }, () => openWebSocket(address))
    await Promise.all(clients.map((client) => client.untilReceived('101')))
    const closedAt: number[] = []
    for (const client of clients) {
      client.socket.on('data', () => {
        if (!client.received.endsWith(goingAway.toString('latin1'))) return
        closedAt.push(performance.now())
        client.socket.end(maskedClose)
      })
    }
    instance.kill('SIGTERM')
    expect(await instance.untilExit()).toBe(0)
    expect(instance.output).toContain('40 WebSockets moved; nothing was cut')
    expect(instance.output).toMatch(/reason=deploy/)
    closedAt.sort((a, b) => a - b)
    // 40 at 20 per second, the last of which may come early in its slot.
    expect((closedAt.at(-1) ?? 0) - (closedAt[0] ?? 0)).toBeGreaterThan(1_800)
    const inOneSecond = closedAt.map((from, index) => closedAt.slice(index).filter((at) => at < from + 900).length)
    expect(Math.max(...inOneSecond)).toBeLessThanOrEqual(21)
  })

  test('a drain that turns into a shutdown hurries', async () => {
    await using supervisor = new Supervisor()
    const stopFile = join(supervisor.directory, 'stop')
    writeFileSync(stopFile, 'deploy\n')
    const env = { HOLDFAST_STOP_FILE: stopFile, HOLDFAST_SHUTDOWN_TIMEOUT_MS: '2000', HOLDFAST_RECONNECT_WINDOW_MS: '19000' }
    const [instance, address] = await start(supervisor, 'long-lived.mjs', env)
    const { tunnel } = await connect(address)
    instance.kill('SIGTERM')
    await instance.until('it does not drain', () => stopping(instance) !== undefined)
    const begin = performance.now()
    writeFileSync(stopFile, 'shutdown\n')
    await tunnel.untilEnded()
    expect(await instance.untilExit()).toBe(0)
    expect(performance.now() - begin).toBeLessThan(8_000)
    expect(instance.output).toMatch(/the drain goes on, now because of a shutdown; at most 2 s more/)
    expect(instance.output).toMatch(/reason=shutdown/)
  })
})

describe('hooks', () => {
  test('of each kind take the place of the default', async () => {
    await using supervisor = new Supervisor()
    const [instance, address] = await start(supervisor, 'drain-hooks.mjs')
    const { events, webSocket, tunnel, poll } = await connect(address)
    instance.kill('SIGTERM')
    await Promise.all([
      poll.untilReceived('polled, stop'), events.untilReceived('event: moving'), events.untilReceived('\r\n0\r\n\r\n'),
      webSocket.untilReceived('moving /chat'), tunnel.untilEnded(),
    ])
    events.socket.end()
    poll.socket.end()
    expect(await instance.untilExit()).toBe(0)
    expect(instance.output).toMatch(/1 request answered, 1 WebSocket moved, 1 event stream moved; nothing was cut/)
    expect(instance.output).toContain('TypeError: onDrain(): there is no kind of connection "web-socket"; there are websocket, event-stream, tunnel, request')
    expect(instance.output).toContain('TypeError: onDrain() needs a function, got string')
    expect(instance.output).toContain('TypeError: onDrain() needs a function, got undefined')
  })
})

test('after a stop nobody is there to come back to: the window is left out', async () => {
  await using supervisor = new Supervisor()
  const [instance, address] = await start(supervisor, 'long-lived.mjs', { HOLDFAST_RECONNECT_WINDOW_MS: '15000' })
  const clients = Array.from({ length: 10 }, () => openWebSocket(address))
  await Promise.all(clients.map((client) => client.untilReceived('101')))
  for (const client of clients) {
    client.socket.on('data', () => {
      if (client.received.endsWith(goingAway.toString('latin1'))) client.socket.end(maskedClose)
    })
  }
  const begin = performance.now()
  instance.kill('SIGTERM')
  expect(await instance.untilExit()).toBe(0)
  expect(performance.now() - begin).toBeLessThan(5_000)
  expect(instance.output).toContain('10 WebSockets moved; nothing was cut')
  expect(instance.output).toMatch(/reason=stop/)
})
