import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { ensureBuilt } from './built.js'
import { RawClient } from './raw-client.js'
import { Supervisor, type Instance, type SpawnOptions } from './supervisor.js'

vi.setConfig({ testTimeout: 30_000 })
beforeAll(ensureBuilt)

const ways: [string, Record<string, string>][] = [
  ['natively', {}],
  ['by fallback', { HOLDFAST_NATIVE: 'off' }],
]

const isDraining = (instance: Instance): boolean => instance.notified.some((text) => text.includes('STOPPING=1'))

async function startApp(supervisor: Supervisor, scenario: string, options: SpawnOptions = {}): Promise<[Instance, RawClient]> {
  const address = await supervisor.listen('http')
  const instance = await supervisor.start(scenario, { listeners: ['http'], ...options })
  await instance.untilReady()
  return [instance, new RawClient(address)]
}

/** A request that is in flight when this settles, and takes so long. */
async function getSlowly(client: RawClient, ms: number): Promise<void> {
  client.get('/')
  await client.untilReceived('hello')
  client.received = ''
  client.get(`/slow?ms=${ms}`)
  // Whoever connects later is accepted later: once this one is answered, the request above has been read.
  const other = new RawClient(`${client.socket.remoteAddress}:${client.socket.remotePort}`)
  other.send('GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n')
  await other.untilEnded()
}

describe('listeners', () => {
  test.each(ways)('%s: a server that listens twice is refused, stays as it is, and is ready once', async (_, env) => {
    await using supervisor = new Supervisor()
    const [instance, client] = await startApp(supervisor, 'listen-twice.mjs', { env })
    await instance.until('did not finish', () => instance.output.includes('ready: sent,sent,sent'))
    expect(instance.output.match(/refused: .*|listening: .*/g)).toEqual([
      'refused: ERR_SERVER_ALREADY_LISTEN', 'listening: false', 'refused: usage', 'refused: ERR_SERVER_ALREADY_LISTEN', 'refused: ERR_SERVER_ALREADY_LISTEN',
    ])
    expect(instance.notified.filter((text) => text.includes('READY=1'))).toHaveLength(1)
    client.get('/')
    await client.untilReceived('hello')
  })

  test.each([
    ['a file', 'exec 3</dev/null', 'not a socket'],
    ['a pipe', 'exec 3< <(:)', 'not a socket'],
    // node takes the number for something of its own.
    ['closed', 'exec 3<&-', 'not a socket'],
    ['a connection', 'exec 3<>/dev/tcp/127.0.0.1/$PEER_PORT', 'a TCP socket that does not listen'],
  ])('a descriptor that is %s is named and not used', async (_, command, what) => {
    await using supervisor = new Supervisor()
    const address = await supervisor.listen('http')
    const peer = await supervisor.listen('peer')
    const env = { PORT: address.split(':')[1] ?? '', PEER_PORT: peer.split(':')[1] ?? '' }
    const instance = await supervisor.start('http.mjs', { listeners: ['http'], env, wrap: `${command}; exec "$@"` })
    // The address is the supervisor's: an app that binds it itself cannot have it.
    expect(await instance.untilExit()).toBe(1)
    expect(instance.output).toContain(`systemd passed fd 3 (http) as a listener, but it is ${what}: it is not used`)
    expect(instance.output).toContain('EADDRINUSE')
    expect(instance.isReady).toBe(false)
  })

  test('more listeners than descriptors: each is named, and the instance is not taken for ready', async () => {
    await using supervisor = new Supervisor()
    const address = await supervisor.listen('http')
    const env = { PORT: address.split(':')[1] ?? '', HOLDFAST_LISTEN: JSON.stringify([{ name: 'http', address, backlog: 9 }, { name: 'admin', address: '/run/admin.sock', backlog: 9 }]) }
    const instance = await supervisor.start('http.mjs', { listeners: ['http'], env, wrap: 'LISTEN_FDS=3 exec "$@"' })
    await instance.until('does not listen', () => instance.output.includes('listening'))
    expect(instance.output).toMatch(/systemd passed fd 4 \(unknown\) as a listener, but it is [^\n]*: it is not used/)
    expect(instance.output).toContain('listener admin (/run/admin.sock) is in [listen], but systemd passed no usable socket of that name')
    const client = new RawClient(address)
    client.get('/now')
    await client.untilReceived('now from')
    client.socket.end()
    instance.kill('SIGTERM')
    expect(await instance.untilExit()).toBe(0)
  })
})

describe.each(ways)('%s: a NOTIFY_SOCKET', (_, env) => {
  const vanish = (supervisor: Supervisor): void => rmSync(join(supervisor.directory, 'notify'))

  test.each([['nowhere', '/nonexistent/notify'], ['a folder', '/tmp'], ['a file', '/etc/passwd'], ['no address', 'notify'], ['abstract and of nobody', '@holdfast-nobody']])(
    'that is %s: the app serves and drains', async (_kind, path) => {
      await using supervisor = new Supervisor()
      const address = await supervisor.listen('http')
      const instance = await supervisor.start('http.mjs', { listeners: ['http'], notify: false, env: { ...env, NOTIFY_SOCKET: path, WATCHDOG_USEC: '100000' } })
      await instance.until('does not listen', () => instance.output.includes('listening'))
      const client = new RawClient(address)
      client.get('/now')
      await client.untilReceived('now from')
      client.socket.end()
      instance.kill('SIGTERM')
      expect(await instance.untilExit()).toBe(0)
      expect(instance.output).toContain('drained in')
      // What is sent to an abstract socket natively cannot be known to have failed.
      if (!path.startsWith('@')) expect(instance.output).toContain('READY=1 could not be sent')
    })

  test('that vanishes in life, and pings go on: the app serves and drains', async () => {
    await using supervisor = new Supervisor()
    const [instance, client] = await startApp(supervisor, 'http.mjs', { env: { ...env, WATCHDOG_USEC: '20000' } })
    vanish(supervisor)
    await getSlowly(client, 200)
    await client.untilReceived('hello')
    client.socket.end()
    instance.kill('SIGTERM')
    expect(await instance.untilExit()).toBe(0)
    expect(instance.output).toContain('drained in')
  })

  test('that vanishes in the drain: what is in flight is answered', async () => {
    await using supervisor = new Supervisor()
    const [instance, client] = await startApp(supervisor, 'http.mjs', { env: { ...env, WATCHDOG_USEC: '20000' } })
    await getSlowly(client, 1500)
    instance.kill('SIGTERM')
    await instance.until('STOPPING=1 did not come', () => isDraining(instance))
    vanish(supervisor)
    await client.untilEnded()
    expect(client.received).toContain('hello')
    expect(await instance.untilExit()).toBe(0)
    expect(instance.output).toMatch(/drained in .*nothing was cut/)
  })
})

describe('the environment of a drain', () => {
  test.each([
    ['not there', 'stop', () => {}],
    ['a folder', 'stop', (path: string) => mkdirSync(path)],
    ['garbage', 'stop', (path: string) => writeFileSync(path, Buffer.alloc(5_000_000, 'deploy'))],
    ['empty', 'stop', (path: string) => writeFileSync(path, '')],
    ['a FIFO that nobody writes to', 'stop', (path: string) => void execFileSync('mkfifo', [path])],
    ['as it should be', 'deploy', (path: string) => writeFileSync(path, 'deploy\n')],
  ])('a stop file that is %s: %s', async (_, reason, make) => {
    await using supervisor = new Supervisor()
    const path = join(supervisor.directory, 'stop')
    make(path)
    const [instance, client] = await startApp(supervisor, 'http.mjs', { env: { HOLDFAST_STOP_FILE: path } })
    client.socket.end()
    instance.kill('SIGTERM')
    expect(await instance.untilExit()).toBe(0)
    expect(instance.output).toContain(`reason=${reason}\n`)
  })

  test.each([' ', '-1', 'NaN', '1e9999', '99999999999999', '0x1', '20s'])('limits of "%s" cut nobody', async (value) => {
    await using supervisor = new Supervisor()
    const names = ['DRAIN_TIMEOUT_MS', 'SHUTDOWN_TIMEOUT_MS', 'HANG_TIMEOUT_MS', 'RECONNECT_WINDOW_MS', 'RECONNECT_RATE']
    const env = Object.fromEntries(names.map((name) => [`HOLDFAST_${name}`, value]))
    const [instance, client] = await startApp(supervisor, 'http.mjs', { env: { ...env, WATCHDOG_USEC: value } })
    await getSlowly(client, 500)
    instance.kill('SIGTERM')
    await client.untilEnded()
    expect(client.received).toContain('hello')
    expect(await instance.untilExit()).toBe(0)
    expect(instance.output).toMatch(/drained in .*nothing was cut/)
  })
})

describe('SIGTERM', () => {
  test.each([2, 10])('%d times is one drain', async (times) => {
    await using supervisor = new Supervisor()
    const [instance, client] = await startApp(supervisor, 'http.mjs')
    await getSlowly(client, 1000)
    for (let time = 0; time < times; time++) instance.kill('SIGTERM')
    await instance.until('STOPPING=1 did not come', () => isDraining(instance))
    for (let time = 0; time < times; time++) instance.kill('SIGTERM')
    await client.untilEnded()
    expect(client.received).toContain('hello')
    expect(await instance.untilExit()).toBe(0)
    expect(instance.notified.filter((text) => text.includes('STOPPING=1'))).toHaveLength(1)
    expect(instance.output.match(/drained in .*nothing was cut/g)).toHaveLength(1)
  })

  test.each(ways)('%s: during the start: nothing is accepted or called ready, and a hook that comes late is waited for', async (_, env) => {
    await using supervisor = new Supervisor()
    await supervisor.listen('http')
    const instance = await supervisor.start('late.mjs', { listeners: ['http'], env })
    await instance.until('did not start', () => instance.output.includes('starting'))
    instance.kill('SIGTERM')
    await instance.until('did not get to its end', () => instance.output.includes('late hook: begun') && instance.output.includes('ready: failed'))
    instance.kill('SIGUSR2')
    expect(await instance.untilExit()).toBe(0)
    expect(instance.output).toContain('late hook: over')
    expect(instance.output).toContain('a hook that throws at once')
    expect(instance.output).toContain('listen(3000) comes when this instance drains: it does not accept any more')
    expect(instance.output).not.toContain('accepts')
    expect(instance.isReady).toBe(false)
  })

  test('during a top-level await ends the process in order', async () => {
    await using supervisor = new Supervisor()
    const instance = await supervisor.start('worker-tla.mjs')
    await instance.until('did not start', () => instance.output.includes('evaluating'))
    instance.kill('SIGTERM')
    expect(await instance.untilExit()).toBe(0)
    expect(instance.output).not.toContain('evaluated')
    expect(instance.isReady).toBe(false)
  })

  test.each(['SIGTERM', 'all'])('drains an app that removed its listeners (%s)', async (remove) => {
    await using supervisor = new Supervisor()
    const [instance, client] = await startApp(supervisor, 'remove-listeners.mjs', { env: { REMOVE: remove } })
    await getSlowly(client, 800)
    instance.kill('SIGTERM')
    await client.untilEnded()
    expect(client.received).toMatch(/Connection: close[^]*hello/)
    expect(await instance.untilExit()).toBe(0)
    expect(instance.output).toMatch(/drained in .*nothing was cut/)
  })

  test.each(['imported', 'taken', 'own'])('an exit() that the app kept aside waits for the drain: %s', async (exit) => {
    await using supervisor = new Supervisor()
    const [instance, client] = await startApp(supervisor, 'kept-exit.mjs', { env: { EXIT: exit } })
    await getSlowly(client, 1000)
    instance.kill('SIGTERM')
    await instance.until('STOPPING=1 did not come', () => isDraining(instance))
    instance.kill('SIGUSR2')
    await instance.until('exit() was not called', () => instance.output.includes('app: exits'))
    await client.untilEnded()
    expect(client.received).toContain('hello')
    expect(await instance.untilExit()).toBe(5)
    expect(instance.output.includes('app: its own exit()')).toBe(exit === 'own')
  })

  test.each(['imported', 'taken', 'own'])('an exit() outside of a drain exits: %s', async (exit) => {
    await using supervisor = new Supervisor()
    const [instance] = await startApp(supervisor, 'kept-exit.mjs', { env: { EXIT: exit } })
    instance.kill('SIGUSR2')
    expect(await instance.untilExit()).toBe(5)
  })
})

describe('log lines of which nobody reads', () => {
  const script = fileURLToPath(new URL('scenarios/log-burst.mjs', import.meta.url))
  const start = (entries: number) => spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit', 'ipc'], env: { PATH: process.env.PATH, ENTRIES: String(entries) } })
  const said = (child: ReturnType<typeof start>): Promise<unknown> => new Promise((resolve) => child.once('message', resolve))
  const ended = (child: ReturnType<typeof start>): Promise<unknown> => new Promise((resolve) => child.once('close', resolve))

  test.each([[3_000, 0], [12_000, 1]])('%d: the app goes on; what is missing is said (%d times), and the rest is whole', async (entries, notices) => {
    const child = start(entries)
    expect(await said(child)).toBe('alive')
    let output = ''
    child.stdout?.setEncoding('utf8').on('data', (piece: string) => (output += piece))
    child.send('more')
    expect(await ended(child)).toBe(0)
    const lines = output.trimEnd().split('\n')
    const whole = lines.filter((line) => /^entry \d+ x{1000}\.$/.test(line))
    const missing = lines.flatMap((line) => /^(\d+) log entries are missing here/.exec(line)?.[1] ?? []).map(Number)
    expect(missing).toHaveLength(notices)
    expect(whole.length + (missing[0] ?? 0)).toBe(entries)
    expect(lines).toHaveLength(whole.length + notices + 1)
    expect(whole[0]).toMatch(/^entry 0 /)
  })

  test('after the reader has gone: no crash', async () => {
    const child = start(3_000)
    expect(await said(child)).toBe('alive')
    child.stdout?.destroy()
    child.send('more')
    expect(await ended(child)).toBe(0)
  })
})
