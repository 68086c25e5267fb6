/** Apps that do what few do, in a drain. */
import http2 from 'node:http2'
import https from 'node:https'
import { beforeAll, expect, test, vi } from 'vitest'
import { ensureBuilt } from './built.js'
import { RawClient } from './raw-client.js'
import { Supervisor, type Instance, type SpawnOptions } from './supervisor.js'

vi.setConfig({ testTimeout: 30_000 })
beforeAll(ensureBuilt)

async function start(supervisor: Supervisor, scenario: string, options: SpawnOptions = {}): Promise<[Instance, string]> {
  const address = supervisor.addresses.get('http') ?? (await supervisor.listen('http'))
  const instance = await supervisor.start(scenario, { listeners: ['http'], ...options })
  await instance.untilReady()
  return [instance, address]
}

async function drain(instance: Instance): Promise<void> {
  instance.kill('SIGTERM')
  await instance.until('it does not drain', () => instance.notified.some((text) => text.includes('STOPPING=1')))
}

/** Shows that the server has read what other clients sent before. */
async function untilRead(address: string): Promise<void> {
  const other = new RawClient(address)
  other.send('GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n')
  await other.untilEnded()
}

test.each(['/flat', '/pairs', '/'])('a list of headers keeps its duplicates, and closes: %s', async (path) => {
  await using supervisor = new Supervisor()
  const [instance, address] = await start(supervisor, 'odd-app.mjs')
  const client = new RawClient(address)
  client.get('/')
  await client.untilReceived('hello')
  client.received = ''
  await drain(instance)
  client.get(path)
  await client.untilEnded()
  expect(client.received).toContain('hello')
  expect(client.received.match(/^connection: .*$/gim)).toEqual(['Connection: close'])
  expect(client.received).not.toMatch(/keep-alive/i)
  if (path !== '/') expect(client.received.match(/^set-cookie: .*$/gim)).toEqual(['Set-Cookie: a=1', 'Set-Cookie: b=2'])
  expect(await instance.untilExit()).toBe(0)
})

test('a hook for a connection is waited for, one that fails is named, and the status is that of the drain', async () => {
  await using supervisor = new Supervisor()
  const [instance, address] = await start(supervisor, 'odd-app.mjs', { env: { HOLDFAST_DRAIN_TIMEOUT_MS: '6000' } })
  const slow = new RawClient(address)
  slow.get('/slow')
  const throws = new RawClient(address)
  throws.get('/throws')
  await untilRead(address)
  await drain(instance)
  await slow.untilEnded()
  throws.socket.end()
  expect(await instance.untilExit()).toBe(0)
  expect(instance.output).toContain('app: the hook has saved')
  expect(instance.output).toMatch(/a drain hook for a request has failed: Error: the hook is broken[^]*odd-app\.mjs/)
  const statuses = instance.notified.slice(instance.notified.findIndex((text) => text.includes('STOPPING=1'))).join('\n')
  expect(statuses).not.toContain('12 orders')
  expect(statuses.trimEnd().split('\n').findLast((line) => line.startsWith('STATUS='))).toMatch(/^STATUS=drained in \d\.\d s/)
})

test('a request that turns into an event stream in the drain is moved as one', async () => {
  await using supervisor = new Supervisor()
  const [instance, address] = await start(supervisor, 'odd-app.mjs')
  const client = new RawClient(address)
  client.get('/late-stream')
  await untilRead(address)
  await drain(instance)
  await client.untilReceived('data: begun')
  await client.untilEnded()
  expect(await instance.untilExit()).toBe(0)
  expect(instance.output).toMatch(/1 event stream moved; nothing was cut/)
})

test('servers that were closed are let go', async () => {
  await using supervisor = new Supervisor()
  const env = { SERVERS: '300', FOLDER: supervisor.directory }
  const [instance] = await start(supervisor, 'odd-app.mjs', { nodeArguments: ['--expose-gc'], env })
  await instance.until('it has not counted', () => /app: \d+ servers/.test(instance.output))
  expect(Number(/app: (\d+) servers/.exec(instance.output)?.[1])).toBeLessThan(10)
  instance.kill('SIGTERM')
  await instance.untilExit()
})

test('HTTP/1 on a server of HTTP/2: idle connections end in time, requests are not cut', async () => {
  await using supervisor = new Supervisor()
  const [instance, address] = await start(supervisor, 'http2.mjs', { env: { TLS: '1', OWN_HANDLER: '1' } })
  const agent = new https.Agent({ keepAlive: true, rejectUnauthorized: false })
  const get = (path: string): Promise<string> =>
    new Promise((resolve, reject) => {
      https.get(`https://${address}${path}`, { agent }, (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (piece: string) => (text += piece)).on('end', () => resolve(text))
      }).on('error', reject)
    })
  await Promise.all([get('/slow?ms=50'), get('/slow?ms=50')]) // two connections, both kept
  const slow = get('/slow?ms=3000')
  const session = http2.connect(`https://${address}`, { rejectUnauthorized: false })
  session.on('error', () => {})
  await new Promise((resolve) => session.once('remoteSettings', resolve))
  await get('/')
  await drain(instance)
  expect(await slow).toMatch(/hello/)
  expect(await instance.untilExit(12_000)).toBe(0)
  expect(instance.output).toMatch(/[12] requests? answered; nothing was cut/)
  agent.destroy()
})

test('a client that stays in the middle of shaking hands is shown, and ended', async () => {
  await using supervisor = new Supervisor()
  const [instance, address] = await start(supervisor, 'https.mjs', { env: { KEEP_ALIVE_MS: '1000' } })
  const stuck = new RawClient(address)
  stuck.socket.write(Buffer.from([0x16, 0x03, 0x01]))
  const [host = '', port] = address.split(':')
  const tls = await import('node:tls')
  const shaken = tls.connect({ host, port: Number(port), rejectUnauthorized: false })
  await new Promise((resolve) => shaken.once('secureConnect', resolve))
  shaken.destroy()
  await drain(instance)
  expect(instance.notified.find((text) => text.includes('STOPPING=1'))).toMatch(/idle connection/)
  await stuck.untilEnded()
  expect(await instance.untilExit(8000)).toBe(0)
})
