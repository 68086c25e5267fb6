import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import { join } from 'node:path'
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { ensureBuilt, root } from './built.js'
import { RawClient } from './raw-client.js'
import { Supervisor } from './supervisor.js'

vi.setConfig({ testTimeout: 30_000 })
beforeAll(ensureBuilt)

const portOf = (address: string): string => address.split(':').at(-1) ?? ''

async function get(address: string): Promise<string> {
  const target = address.startsWith('/') ? { socketPath: address } : { host: '127.0.0.1', port: portOf(address) }
  return new Promise((resolve, reject) => {
    http.get({ ...target, path: '/now', agent: false }, (response) => {
      let text = ''
      response.on('data', (piece) => (text += piece)).on('end', () => resolve(text))
    }).on('error', reject)
  })
}

/** Send-Q of a listening socket is its backlog; see ss(8). */
function backlogOf(address: string): number {
  const row = execFileSync('ss', ['-Hltn', `sport = :${portOf(address)}`], { encoding: 'utf8' }).trim()
  return Number(row.split(/\s+/)[2])
}

describe('readiness', () => {
  test.each([
    ['natively', {}, true],
    ['by systemd-notify', { HOLDFAST_NATIVE: 'off' }, false],
  ])('READY=1 and STOPPING=1 arrive %s', async (_, env, isNative) => {
    await using supervisor = new Supervisor()
    const address = await supervisor.listen('http')
    const instance = await supervisor.start('http.mjs', { listeners: ['http'], env: { ...env, PORT: portOf(address) } })
    await instance.untilReady()
    const at = instance.notified.findIndex((text) => text.includes('READY=1'))
    expect(instance.notified[at]).toContain(`STATUS=serving http (${address})`)
    expect(await get(address)).toBe(`now from ${instance.pid}`)
    instance.kill('SIGTERM')
    expect(await instance.untilExit()).toBe(0)
    expect(instance.notified.filter((text) => text.includes('READY=1'))).toHaveLength(1)
    expect(instance.notified.filter((text) => text.includes('STOPPING=1'))).toHaveLength(1)
    // Only the program waits at a barrier until its message was received.
    expect(instance.notified.includes('BARRIER=1')).toBe(!isNative)
  })

  test('is sent when all listeners listen, and not before', async () => {
    await using supervisor = new Supervisor()
    const web = await supervisor.listen('http')
    const admin = await supervisor.listen('admin')
    const env = { WEB_PORT: portOf(web), ADMIN_PORT: portOf(admin) }
    const instance = await supervisor.start('two-servers.mjs', { listeners: ['admin', 'http'], env })
    await instance.until('no status', () => instance.notified.some((text) => text.includes('STATUS=waiting')))
    expect(instance.notified.join()).toContain(`waiting until the app listens on admin (${admin})`)
    expect(instance.isReady).toBe(false)
    expect(await get(web)).toBe('web')
    // The app opens its second server when it is told to.
    instance.kill('SIGUSR2')
    await instance.untilReady()
    expect(await get(admin)).toBe('admin')
  })

  test.each(['worker-tla.mjs', 'worker.cjs'])('without listeners it is sent when the main module has been evaluated: %s', async (scenario) => {
    await using supervisor = new Supervisor()
    const instance = await supervisor.start(scenario)
    await instance.until('did not start', () => instance.output.includes('evaluating'))
    if (scenario === 'worker-tla.mjs') {
      // The main module waits for this signal in a top-level await; a status of the app's own shows that time passed.
      await instance.until('no sign of life', () => instance.output.includes('still'))
      expect(instance.isReady).toBe(false)
      instance.kill('SIGUSR2')
    }
    await instance.untilReady()
    expect(instance.output).toContain('evaluated')
    instance.kill('SIGTERM')
    expect(await instance.untilExit()).toBe(0)
  })

  test('a watchdog is pinged', async () => {
    await using supervisor = new Supervisor()
    const instance = await supervisor.start('worker.cjs', { env: { WATCHDOG_USEC: '100000' } })
    await instance.until('no pings', () => instance.notified.filter((text) => text === 'WATCHDOG=1').length > 5)
  })
})

describe('inherited sockets', () => {
  test('listen() with another port takes the only listener, and says so', async () => {
    await using supervisor = new Supervisor()
    const address = await supervisor.listen('http')
    const instance = await supervisor.start('http.mjs', { listeners: ['http'], env: { PORT: '3000' } })
    await instance.untilReady()
    expect(await get(address)).toContain('now')
    expect(instance.output).toContain(`listen(3000) takes http (${address}), the only listener of this instance`)
    await instance.until('no callback', () => instance.output.includes('listening {"address":"127.0.0.1"'))
  })

  test('listen() on an address that is not in [listen] is a warning that names it', async () => {
    await using supervisor = new Supervisor()
    const web = await supervisor.listen('http')
    const admin = await supervisor.listen('admin')
    // A port of which is certain that it can be bound: of a socket that was closed just now.
    const free = await new Promise<number>((resolve) => {
      const probe = http.createServer().listen(0, '127.0.0.1', () => {
        const { port } = probe.address() as { port: number }
        probe.close(() => resolve(port))
      })
    })
    const instance = await supervisor.start('http.mjs', { listeners: ['http', 'admin'], env: { PORT: String(free) } })
    await instance.until('no warning', () => instance.output.includes('listening'))
    expect(instance.output).toContain(`listen(${free}) is not in [listen] (http (${web}), admin (${admin})): node binds the address itself`)
    expect(await get(`127.0.0.1:${free}`)).toContain('now')
    expect(instance.isReady).toBe(false)
  })

  test('keeps the backlog of the socket unit', async () => {
    await using supervisor = new Supervisor()
    const address = await supervisor.listen('http', '127.0.0.1:0', { backlog: 1234 })
    expect(backlogOf(address)).toBe(1234)
    const instance = await supervisor.start('http.mjs', { listeners: ['http'] })
    await instance.untilReady()
    expect(backlogOf(address)).toBe(1234)
    const bare = await supervisor.start('fd.mjs', { listeners: ['http'], register: false })
    await bare.until('does not listen', () => bare.output.includes('listening'))
    expect(backlogOf(address)).toBe(511)
  })

  test('a unix socket: address() says its path, and the path stays', async () => {
    await using supervisor = new Supervisor()
    const path = join(supervisor.directory, 'app.sock')
    await supervisor.listen('http', path)
    const instance = await supervisor.start('http.mjs', { listeners: ['http'], env: { PORT: path } })
    await instance.untilReady()
    await instance.until('no callback', () => instance.output.includes(`listening "${path}"`))
    expect(await get(path)).toContain('now')
    instance.kill('SIGTERM')
    expect(await instance.untilExit()).toBe(0)
    const next = await supervisor.start('http.mjs', { listeners: ['http'], env: { PORT: path } })
    await next.untilReady()
    expect(await get(path)).toContain(String(next.pid))
  })

  test('an app that takes the fd itself is drained all the same, with the right backlog', async () => {
    await using supervisor = new Supervisor()
    const address = await supervisor.listen('http', '127.0.0.1:0', { backlog: 1234 })
    const instance = await supervisor.start('fd.mjs', { listeners: ['http'] })
    await instance.untilReady()
    expect(backlogOf(address)).toBe(1234)
    const client = new RawClient(address)
    client.get('/')
    await client.untilReceived('hello')
    instance.kill('SIGTERM')
    await instance.until('STOPPING=1 did not come', () => instance.notified.some((text) => text.includes('STOPPING=1')))
    client.get('/')
    await client.untilEnded()
    expect(client.received).toMatch(/Connection: close[^]*hello/)
    expect(await instance.untilExit()).toBe(0)
  })

  test('works without Holdfast, for any unit with Sockets=', async () => {
    await using supervisor = new Supervisor()
    const address = await supervisor.listen('http')
    const instance = await supervisor.start('http.mjs', { listeners: ['http'], holdfast: false, env: { PORT: portOf(address) } })
    await instance.untilReady()
    expect(instance.notified.join()).toContain(`serving http (${address})`)
    expect(await get(address)).toContain('now')
  })

  test('a descriptor that is no listening socket is named and not used', async () => {
    await using supervisor = new Supervisor()
    await supervisor.listen('http', '127.0.0.1:0', { datagram: true })
    const env = { PORT: portOf(supervisor.addresses.get('http') ?? '') }
    const instance = await supervisor.start('http.mjs', { listeners: ['http'], env })
    await instance.until('no error', () => instance.output.includes('it is not used'))
    expect(instance.output).toContain('systemd passed fd 3 (http) as a listener, but it is a UDP socket: it is not used')
  })

  test('sockets that another process got are explained', async () => {
    await using supervisor = new Supervisor()
    const address = await supervisor.listen('http')
    const instance = await supervisor.start('http.mjs', {
      listeners: ['http'], env: { PORT: portOf(address) }, wrap: '"$@"; exit $?',
    })
    expect(await instance.untilExit()).toBe(1)
    expect(instance.output).toMatch(/systemd passed the sockets to process \d+, but this is process \d+: .*command = \["node", "server.js"\]/)
    expect(instance.output).toContain('EADDRINUSE')
    expect(instance.isReady).toBe(false)
    expect(instance.notified.join()).toContain('STATUS=systemd passed the sockets to process')
  })
})

describe('what stays untouched', () => {
  test('outside systemd nothing is patched, and the app listens on its own port', () => {
    const script = `
      import net from 'node:net'
      import { readFileSync } from 'node:fs'
import http from 'node:http'
      const before = [net.Server.prototype.listen, net.Server.prototype.close, process.exit, http.ServerResponse.prototype.writeHead, process.listenerCount('SIGTERM')]
      const keys = Object.keys(process.env).join()
      await import('holdfast/register')
      const { instance, listeners, ready, status, listen, draining, onDrain } = await import('holdfast')
      const results = [instance, listeners().length, ready(), status('x')]
      onDrain(() => {})
      const server = await listen(http.createServer(), 0)
      const after = [net.Server.prototype.listen, net.Server.prototype.close, process.exit, http.ServerResponse.prototype.writeHead, process.listenerCount('SIGTERM')]
      console.log(JSON.stringify({ same: before.every((each, index) => each === after[index]), env: keys === Object.keys(process.env).join(), results, port: server.address().port > 0 }))
      server.close()`
    const output = execFileSync(process.execPath, ['--input-type=module', '-e', script], { cwd: root, encoding: 'utf8', env: { PATH: process.env.PATH } })
    expect(JSON.parse(output)).toEqual({ same: true, env: true, results: [null, 0, 'not-supervised', 'not-supervised'], port: true })
  })

  test('worker threads, cluster workers and child processes do not take themselves for the instance', async () => {
    await using supervisor = new Supervisor()
    await supervisor.listen('http')
    const instance = await supervisor.start('child-processes.mjs', { listeners: ['http'] })
    await instance.until('helpers did not answer', () => instance.output.split('helper:').length > 4)
    const helpers = instance.output.split('\n').filter((line) => line.startsWith('helper:')).map((line) => JSON.parse(line.slice(7)) as { worksForPrimary: boolean })
    // A cluster worker has its servers drained; it takes no socket all the same.
    for (const helper of helpers) expect(helper).toEqual({ worksForPrimary: helper.worksForPrimary, patched: helper.worksForPrimary, listen: null, ready: 'not-supervised' })
    expect(helpers.filter(({ worksForPrimary }) => worksForPrimary)).toHaveLength(1)
    expect(helpers).toHaveLength(4)
    expect(instance.isReady).toBe(false)
  })

  test('an app in cluster mode serves, and ends without an error', async () => {
    await using supervisor = new Supervisor()
    const address = await supervisor.listen('http')
    const instance = await supervisor.start('cluster.mjs', { listeners: ['http'], env: { PORT: portOf(address) } })
    await instance.untilReady()
    expect(await get(address)).toMatch(/worker \d/)
    instance.kill('SIGTERM')
    expect(await instance.untilExit()).toBe(0)
  })

  test('the runtime loads nothing of the CLI', () => {
    const script = `
      import module, { createRequire } from 'node:module'
      const loaded = []
      const load = module._load
      module._load = (...args) => (loaded.push(args[0]), load(...args))
      await import('holdfast/register')
      await import('holdfast')
      console.log(JSON.stringify(loaded))`
    const loader = `data:text/javascript,${encodeURIComponent(`
      import { writeSync } from 'node:fs'
      export async function resolve(specifier, context, next) {
        const result = await next(specifier, context)
        writeSync(2, result.url + '\\n')
        return result
      }`)}`
    const hook = `data:text/javascript,${encodeURIComponent(`import { register } from 'node:module'; register(${JSON.stringify(loader)})`)}`
    const { stderr } = spawnSync(process.execPath, ['--import', hook, '--input-type=module', '-e', script], { cwd: root, encoding: 'utf8', env: { PATH: process.env.PATH } })
    const urls = stderr.split('\n').filter((line) => line.startsWith('file:'))
    expect(urls.some((url) => url.endsWith('/dist/runtime/index.js'))).toBe(true)
    expect(urls.some((url) => url.endsWith('/dist/runtime/register.js'))).toBe(true)
    expect(urls.filter((url) => !/\/dist\/runtime\/(index|register|bundle)\.js$/.test(url))).toEqual([])
    const sources = [...readFileSync(join(root, 'dist/runtime/bundle.js'), 'utf8').matchAll(/^\/\/ (\S+\.js)$/gm)].map(([, source]) => source)
    expect(sources).toContain('dist/runtime/drain.js')
    expect(sources.filter((source) => !/^dist\/(runtime\/[a-z0-9-]+|errors)\.js$/.test(source ?? ''))).toEqual([])
  })
})
