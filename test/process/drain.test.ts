import { beforeAll, describe, expect, test, vi } from 'vitest'
import { ensureBuilt } from './built.js'
import { RawClient } from './raw-client.js'
import { Supervisor, type Instance, type SpawnOptions } from './supervisor.js'

vi.setConfig({ testTimeout: 30_000 })
beforeAll(ensureBuilt)

const isDraining = (instance: Instance): boolean => instance.notified.some((text) => text.includes('STOPPING=1'))

/** The message that announced the drain; by systemd-notify it is not the last one, there a barrier follows. */
const stoppingOf = (instance: Instance): string | undefined => instance.notified.find((text) => text.includes('STOPPING=1'))

/** A ready instance on one listener, and its address. */
async function startApp(supervisor: Supervisor, scenario: string, options: SpawnOptions = {}): Promise<[Instance, string]> {
  const address = supervisor.addresses.get('http') ?? (await supervisor.listen('http'))
  const instance = await supervisor.start(scenario, { listeners: ['http'], ...options })
  await instance.untilReady()
  return [instance, address]
}

async function drain(instance: Instance): Promise<void> {
  instance.kill('SIGTERM')
  await instance.until('STOPPING=1 did not come', () => isDraining(instance))
}

describe('http', () => {
  test('a response in flight finishes, says Connection: close, and the process ends right after it', async () => {
    await using supervisor = new Supervisor()
    const [instance, address] = await startApp(supervisor, 'http.mjs')
    const client = new RawClient(address)
    client.get('/now')
    await client.untilReceived('now from')
    client.get('/slow?ms=1500')
    // A second connection shows that the server has read the first one's request by now.
    const other = new RawClient(address)
    other.send('GET /now HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n')
    await other.untilEnded()
    await drain(instance)
    expect(stoppingOf(instance)).toMatch(/^STOPPING=1\nSTATUS=draining: 1 request(, 1 idle connection)?$/)
    const drainedAt = performance.now()
    await client.untilEnded()
    expect(client.received.slice(client.received.indexOf('hello') - 200)).toMatch(/Connection: close\r\n[^]*hello from/)
    expect(client.ended).toBe('end')
    expect(await instance.untilExit()).toBe(0)
    expect(performance.now() - drainedAt).toBeLessThan(3000)
    expect(instance.output).toMatch(/[12] connections? ended, 1 request answered; nothing was cut/)
  })

  test('a stream that promised keep-alive before the drain keeps that promise', async () => {
    await using supervisor = new Supervisor()
    const [instance, address] = await startApp(supervisor, 'http.mjs', { env: { KEEP_ALIVE_MS: '2000' } })
    const client = new RawClient(address)
    client.get('/stream?ms=1000')
    await client.untilReceived('line')
    await drain(instance)
    await client.untilReceived('end\n')
    client.get('/now')
    await client.untilReceived('now from')
    await client.untilEnded()
    expect(client.received.match(/Connection: [a-z-]+/g)).toEqual(['Connection: keep-alive', 'Connection: close'])
    expect(await instance.untilExit()).toBe(0)
  })

  test('an idle kept connection is left open for the promised time, and then ended', async () => {
    await using supervisor = new Supervisor()
    const [instance, address] = await startApp(supervisor, 'http.mjs', { env: { KEEP_ALIVE_MS: '2000' } })
    const client = new RawClient(address)
    client.get('/now')
    await client.untilReceived('now from')
    const answeredAt = performance.now()
    expect(client.received).toContain('Keep-Alive: timeout=2')
    await drain(instance)
    await client.untilEnded()
    expect(client.ended).toBe('end')
    const keptMs = client.endedAt - answeredAt
    expect(keptMs).toBeGreaterThan(1900)
    expect(keptMs).toBeLessThan(4500)
    expect(await instance.untilExit(3000)).toBe(0)
  })

  test('an idle connection is ended even where the server promised no time and node would keep it for ever', async () => {
    await using supervisor = new Supervisor()
    const [instance, address] = await startApp(supervisor, 'timeout-listener.mjs')
    const client = new RawClient(address)
    client.get('/')
    await client.untilReceived('hello')
    await drain(instance)
    await client.untilEnded()
    expect(await instance.untilExit()).toBe(0)
  })

  test('a chatty client is answered and does not hold the instance', async () => {
    await using supervisor = new Supervisor()
    const [instance, address] = await startApp(supervisor, 'http.mjs')
    const client = new RawClient(address)
    let asked = 0
    client.socket.on('data', () => {
      if (client.received.split('hello').length > asked) {
        asked++
        client.get('/?ms=5')
      }
    })
    client.get('/?ms=5')
    await client.untilReceived('hello', 20)
    const startedAt = performance.now()
    await drain(instance)
    await client.untilEnded()
    expect(client.ended).toBe('end')
    expect(await instance.untilExit()).toBe(0)
    expect(performance.now() - startedAt).toBeLessThan(2000)
  })

  test.each([
    ['sent in one piece to handlers that answer at once', '/now', false],
    ['sent in one piece to handlers that take a while', '/?ms=100', false],
    ['received before the drain', '/?ms=400', true],
  ])('pipelined requests %s are all answered, and only the last answer closes', async (_, path, before) => {
    await using supervisor = new Supervisor()
    const [instance, address] = await startApp(supervisor, 'http.mjs')
    const client = new RawClient(address)
    client.get('/now')
    await client.untilReceived('now from')
    const three = `GET ${path} HTTP/1.1\r\nHost: test\r\n\r\n`.repeat(3)
    if (before) {
      client.send(three)
      const other = new RawClient(address)
      other.send('GET /now HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n')
      await other.untilEnded()
    }
    await drain(instance)
    if (!before) client.send(three)
    await client.untilEnded()
    expect(client.received.match(/(hello|now) from/g)).toHaveLength(4)
    expect(client.received.match(/Connection: [a-z-]+/g)).toEqual([
      'Connection: keep-alive', 'Connection: keep-alive', 'Connection: keep-alive', 'Connection: close',
    ])
    expect(await instance.untilExit()).toBe(0)
  })

  test('the hard deadline cuts what is left, counts it, and says so', async () => {
    await using supervisor = new Supervisor()
    const [instance, address] = await startApp(supervisor, 'http.mjs', { env: { HOLDFAST_DRAIN_TIMEOUT_MS: '700' } })
    const slow = new RawClient(address)
    slow.get('/stream?ms=60000')
    await slow.untilReceived('line')
    const silent = new RawClient(address)
    await silent.until('a connection', () => !silent.socket.connecting)
    const socket = new RawClient(address)
    socket.send('GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n')
    await socket.untilReceived('101')
    await drain(instance)
    expect(stoppingOf(instance)).toContain('draining: 1 request, 1 tunnel, 1 idle connection')
    expect(await instance.untilExit()).toBe(0)
    await Promise.all([slow.untilEnded(), silent.untilEnded(), socket.untilEnded()])
    expect(instance.output).toMatch(/the time of this drain was over\. It drained in 0\.7 s: .*0 requests answered; cut: 3 connections, 1 request, 1 tunnel/)
  })

  test('a connection that never sent a byte is ended after the time of an idle one', async () => {
    await using supervisor = new Supervisor()
    const [instance, address] = await startApp(supervisor, 'http.mjs', { env: { KEEP_ALIVE_MS: '1000' } })
    const silent = new RawClient(address)
    const late = new RawClient(address)
    const other = new RawClient(address)
    other.send('GET /now HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n')
    await other.untilEnded()
    await drain(instance)
    late.get('/now')
    await late.untilEnded()
    expect(late.received).toMatch(/Connection: close\r\n[^]*now from/)
    await silent.untilEnded()
    expect(silent.ended).toBe('end')
    expect(await instance.untilExit()).toBe(0)
  })

  test('a request of which half was sent before the drain is answered when it is whole, for as long as node waits for it', async () => {
    await using supervisor = new Supervisor()
    const [instance, address] = await startApp(supervisor, 'http.mjs', { env: { KEEP_ALIVE_MS: '500' } })
    const head = new RawClient(address)
    head.send('GET /now HTTP/1.1\r\nHo')
    const body = new RawClient(address)
    body.send('POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhello')
    const expecting = new RawClient(address)
    expecting.send('POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n')
    await expecting.untilReceived('HTTP/1.1 100 Continue')
    const other = new RawClient(address)
    other.send('GET /now HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n')
    await other.untilEnded()
    await drain(instance)
    // Longer than an idle connection would be kept: one status comes each second.
    await instance.until('no third status', () => instance.notified.filter((text) => text.includes('STATUS=draining')).length > 3)
    expect([head.ended, body.ended, expecting.ended]).toEqual([undefined, undefined, undefined])
    head.send('st: test\r\n\r\n')
    body.send('world')
    expecting.send('hello')
    await Promise.all([head.untilEnded(), body.untilEnded(), expecting.untilEnded()])
    expect(head.received).toMatch(/Connection: close\r\n[^]*now from/)
    expect(body.received).toMatch(/hello from/)
    expect(expecting.received).toMatch(/100 Continue[^]*Connection: close\r\n[^]*hello from/)
    expect(await instance.untilExit()).toBe(0)
    expect(instance.output).toContain('nothing was cut')
  })

  test('Expect: 100-continue that comes during the drain is served, and closes after it', async () => {
    await using supervisor = new Supervisor()
    const [instance, address] = await startApp(supervisor, 'http.mjs')
    const client = new RawClient(address)
    client.get('/now')
    await client.untilReceived('now from')
    await drain(instance)
    client.send('POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n')
    await client.untilReceived('HTTP/1.1 100 Continue')
    client.send('hello')
    await client.untilEnded()
    expect(client.received).toMatch(/100 Continue[^]*Connection: close\r\n[^]*hello from/)
    expect(await instance.untilExit()).toBe(0)
  })

  test('an explicit Connection: keep-alive of the app does not win', async () => {
    await using supervisor = new Supervisor()
    const [instance, address] = await startApp(supervisor, 'explicit-headers.mjs')
    const clients = ['/set', '/head', '/list'].map((path) => ({ path, client: new RawClient(address) }))
    for (const { path, client } of clients) {
      client.get(path)
      await client.untilReceived('hello')
      expect(client.received).toMatch(/connection: keep-alive/i)
      client.received = ''
    }
    await drain(instance)
    for (const { path, client } of clients) {
      client.get(path)
      await client.untilEnded()
      expect(client.received.match(/connection: [a-z-]+/gi)?.map((text) => text.toLowerCase())).toEqual(['connection: close'])
      expect(client.received).toContain('x-other: kept')
    }
    expect(await instance.untilExit()).toBe(0)
  })
})

describe('apps with a shutdown of their own', () => {
  test.each(['own-handler.mjs', 'own-once-handler.mjs'])('%s: close() and exit() wait for what is in flight', async (scenario) => {
    await using supervisor = new Supervisor()
    const [instance, address] = await startApp(supervisor, scenario)
    const kept = new RawClient(address)
    kept.get('/')
    await kept.untilReceived('hello')
    const slow = new RawClient(address)
    slow.get('/?ms=1000')
    const other = new RawClient(address)
    other.send('GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n')
    await other.untilEnded()
    await drain(instance)
    // close() of its own would have ended this connection.
    kept.get('/')
    await kept.untilReceived('hello', 2)
    await slow.untilEnded()
    expect(slow.received).toContain('hello')
    expect(await instance.untilExit()).toBe(scenario === 'own-handler.mjs' ? 7 : 0)
    expect(instance.output).toMatch(/app: closed[^]*app: database closed/)
  })

  test('a handler gets the signal when the hard end is near, even if HTTP has not ended', async () => {
    await using supervisor = new Supervisor()
    const [instance, address] = await startApp(supervisor, 'own-handler.mjs', { env: { HOLDFAST_DRAIN_TIMEOUT_MS: '4000' } })
    const slow = new RawClient(address)
    slow.get('/?ms=60000')
    const other = new RawClient(address)
    other.send('GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n')
    await other.untilEnded()
    await drain(instance)
    await instance.until('the handler did not run', () => instance.output.includes('app: heard'))
    expect(slow.ended).toBeUndefined()
    expect(await instance.untilExit()).toBe(0)
    expect(instance.output).toMatch(/app: heard[^]*cut: 1 connection, 1 request/)
  })

  test.each(['re-raise.mjs', 'signal-exit.mjs'])('%s: a library that raises the signal again ends the process', async (scenario) => {
    await using supervisor = new Supervisor()
    const [instance, address] = await startApp(supervisor, scenario)
    const slow = new RawClient(address)
    slow.get('/?ms=500')
    const other = new RawClient(address)
    other.send('GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n')
    await other.untilEnded()
    await drain(instance)
    await slow.untilEnded()
    expect(slow.received).toContain('hello')
    // By the signal, which systemd takes for a success.
    expect(await instance.untilExit(5000)).toBe(-15)
    expect(instance.output).toMatch(/1 request answered; nothing was cut[^]*app: heard/)
  })

  test('a handler that cuts every connection finds none', async () => {
    await using supervisor = new Supervisor()
    const [instance, address] = await startApp(supervisor, 'destroyer.mjs')
    const kept = new RawClient(address)
    kept.get('/')
    await kept.untilReceived('hello')
    const slow = new RawClient(address)
    slow.get('/?ms=800')
    const other = new RawClient(address)
    other.send('GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n')
    await other.untilEnded()
    await drain(instance)
    kept.get('/')
    await Promise.all([kept.untilEnded(), slow.untilEnded()])
    expect([kept.ended, slow.ended]).toEqual(['end', 'end'])
    expect(kept.received.split('hello')).toHaveLength(3)
    expect(slow.received).toContain('hello')
    expect(await instance.untilExit()).toBe(0)
    expect(instance.output).toContain('app: destroyed 0')
  })

  test('a handler that only logs does not keep the process after the hard end', async () => {
    await using supervisor = new Supervisor()
    const [instance] = await startApp(supervisor, 'passive-handler.mjs', { env: { HOLDFAST_DRAIN_TIMEOUT_MS: '800' } })
    await drain(instance)
    expect(await instance.untilExit()).toBe(0)
    expect(instance.output).toContain("the app's own SIGTERM handler did not end the process in time")
  })

  test('an uncaught exception during the drain ends the process at once', async () => {
    await using supervisor = new Supervisor()
    const [instance, address] = await startApp(supervisor, 'crash-in-drain.mjs')
    const slow = new RawClient(address)
    slow.get('/?ms=10000')
    const other = new RawClient(address)
    other.send('GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n')
    await other.untilEnded()
    await drain(instance)
    instance.kill('SIGUSR2')
    expect(await instance.untilExit(3000)).toBe(3)
  })
})

describe('other servers', () => {
  test('https: the same soft drain', async () => {
    await using supervisor = new Supervisor()
    const [instance, address] = await startApp(supervisor, 'https.mjs')
    const https = await import('node:https')
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false })
    const get = (path: string): Promise<{ connection: string | undefined; text: string }> =>
      new Promise((resolve, reject) => {
        https.get(`https://${address}${path}`, { agent }, (response) => {
          let text = ''
          response.setEncoding('utf8').on('data', (piece: string) => (text += piece))
          response.on('end', () => resolve({ connection: response.headers.connection, text }))
        }).on('error', reject)
      })
    expect(await get('/')).toEqual({ connection: 'keep-alive', text: 'hello' })
    await drain(instance)
    expect(stoppingOf(instance)).toContain('draining: 1 idle connection')
    expect(await get('/')).toEqual({ connection: 'close', text: 'hello' })
    expect(await instance.untilExit()).toBe(0)
    expect(instance.output).toContain('1 connection ended, 1 request answered; nothing was cut')
  })

  test('https: connections that never sent a byte, before or after shaking hands, are ended as idle ones', async () => {
    await using supervisor = new Supervisor()
    const [instance, address] = await startApp(supervisor, 'https.mjs', { env: { KEEP_ALIVE_MS: '1000' } })
    const silent = new RawClient(address)
    const tls = await import('node:tls')
    const [host = '', port] = address.split(':')
    const shaken = tls.connect({ host, port: Number(port), rejectUnauthorized: false })
    await new Promise((resolve) => shaken.once('secureConnect', resolve))
    const ended = new Promise((resolve) => shaken.once('end', resolve).resume())
    await silent.until('a connection', () => !silent.socket.connecting)
    await drain(instance)
    await Promise.all([silent.untilEnded(), ended])
    expect(await instance.untilExit(5000)).toBe(0)
  })

  test('a plain net server waits for its connections', async () => {
    await using supervisor = new Supervisor()
    const [instance, address] = await startApp(supervisor, 'echo.mjs')
    const client = new RawClient(address)
    client.send('one')
    await client.untilReceived('one')
    await drain(instance)
    client.send('two')
    await client.untilReceived('two')
    expect(instance.status).toBeUndefined()
    client.socket.end()
    expect(await instance.untilExit()).toBe(0)
  })

  test('whoever speaks another protocol ends its connections in its own handler', async () => {
    await using supervisor = new Supervisor()
    const [instance, address] = await startApp(supervisor, 'echo.mjs', { env: { OWN_HANDLER: '1' } })
    const client = new RawClient(address)
    client.send('one')
    await client.untilReceived('one')
    await drain(instance)
    await client.untilReceived('bye')
    await client.untilEnded()
    expect(await instance.untilExit()).toBe(0)
    expect(instance.output).toContain('1 connection ended')
  })
})
