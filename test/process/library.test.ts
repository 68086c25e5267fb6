import { spawnSync } from 'node:child_process'
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { ensureBuilt, root } from './built.js'
import { RawClient } from './raw-client.js'
import { Supervisor } from './supervisor.js'

vi.setConfig({ testTimeout: 30_000 })
beforeAll(ensureBuilt)

describe('an app that imports holdfast', () => {
  test.each([
    ['alone', false],
    ['with the preload besides', true],
  ])('%s: listen by name, ready, status, draining, hooks and log', async (_, register) => {
    await using supervisor = new Supervisor()
    const address = await supervisor.listen('http')
    await supervisor.listen('admin')
    const instance = await supervisor.start('library.mjs', { listeners: ['admin', 'http'], register })
    await instance.untilReady()
    expect(instance.notified.filter((text) => text.includes('READY=1'))).toHaveLength(1)
    await instance.until('no status', () => instance.notified.some((text) => text.includes('STATUS=warm and ready READY=0')))
    expect(instance.output).toContain('instance {"app":"scenario","name":"1.1","release":"r1","generation":1}')
    const client = new RawClient(address)
    client.get('/')
    await client.untilReceived('hello')
    instance.kill('SIGTERM')
    await instance.until('the hook did not start', () => /hook: begun, draining true, (20000|199\d\d) ms/.test(instance.output))
    client.get('/')
    await client.untilEnded()
    expect(client.received).toMatch(/Connection: close[^]*hello/)
    // The hook waits for this signal, and the process for the hook.
    expect(instance.status).toBeUndefined()
    instance.kill('SIGUSR2')
    expect(await instance.untilExit()).toBe(0)
    expect(instance.output).toContain('hook: over')
    expect(instance.output).toContain('a hook that fails')
  })

  test('a hook that never settles is cut at the hard end, and counted', async () => {
    await using supervisor = new Supervisor()
    await supervisor.listen('http')
    await supervisor.listen('admin')
    const env = { HOLDFAST_DRAIN_TIMEOUT_MS: '500' }
    const instance = await supervisor.start('library.mjs', { listeners: ['admin', 'http'], register: false, env })
    await instance.untilReady()
    instance.kill('SIGTERM')
    expect(await instance.untilExit()).toBe(0)
    expect(instance.output).toContain('hook: aborted')
    expect(instance.output).toMatch(/the time of this drain was over.*; cut: 1 drain hook/)
  })

  test('a name that does not exist, or that is taken, is a clear error', async () => {
    await using supervisor = new Supervisor()
    const address = await supervisor.listen('http')
    const instance = await supervisor.start('bad-names.mjs', { listeners: ['http'], register: false })
    await instance.until('did not finish', () => instance.output.includes('done'))
    expect(instance.output).toContain(`usage: listen("htpp") without a port needs an inherited listener to go with; inherited here: http (${address})`)
    expect(instance.output).toContain('usage: listener http is in use by another server of this process already')
  })

  test('two copies of the package share one state', async () => {
    await using supervisor = new Supervisor()
    await supervisor.listen('http')
    const instance = await supervisor.start('two-copies.mjs', { listeners: ['http'] })
    await instance.until('the copy said nothing', () => instance.output.includes('listeners of the copy'))
    expect(instance.output).toContain('listeners of the copy: ["http"], ready: sent')
    await instance.untilReady()
    expect(instance.notified.filter((text) => text.includes('READY=1'))).toHaveLength(1)
  })

  test('log lines are fields and priorities where the native package is not, and nothing makes them throw', async () => {
    await using supervisor = new Supervisor()
    const instance = await supervisor.start('log.mjs', { register: false, env: { HOLDFAST_NATIVE: 'off' } })
    await instance.until('did not finish', () => instance.output.includes('survived'))
    expect(instance.output).toContain('plain request_id=r-1 took_ms=5 when=1970-01-01T00:00:00.000Z\n')
    expect(instance.output).toContain('error=')
    expect(instance.output).not.toContain('\u0000')
  })
})

test('a NOTIFY_SOCKET that is not there is no crash, and said', () => {
  const script = `
    import { ready, status } from 'holdfast'
    console.log(ready(), status('x'))`
  const env = { PATH: process.env.PATH, NOTIFY_SOCKET: '/nonexistent/notify', HOLDFAST_APP: 'a', HOLDFAST_INSTANCE: '1.1' }
  for (const native of ['on', 'off']) {
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      cwd: root, encoding: 'utf8', env: { ...env, HOLDFAST_NATIVE: native },
    })
    expect(stderr).toContain('READY=1 could not be sent')
    expect(stdout).toContain('failed failed')
  }
})
