import { beforeAll, expect, test, vi } from 'vitest'
import { ensureBuilt } from './built.js'
import { Supervisor, type Instance, type SpawnOptions } from './supervisor.js'

vi.setConfig({ testTimeout: 30_000 })
beforeAll(ensureBuilt)

async function start(supervisor: Supervisor, kind: string, options: SpawnOptions = {}): Promise<Instance> {
  const instance = await supervisor.start('jobs.mjs', { ...options, env: { KIND: kind, ...options.env } })
  await instance.until('it never began', () => instance.output.includes('app: begun'))
  return instance
}

async function drain(instance: Instance): Promise<void> {
  instance.kill('SIGTERM')
  await instance.until('STOPPING=1 did not come', () => instance.notified.some((text) => text.includes('STOPPING=1')))
}

const statusOf = (instance: Instance): string | undefined => instance.notified.findLast((text) => text.includes('STATUS=draining'))

test('a worker without a listener drains until its job is done, and says what it waits for', async () => {
  await using supervisor = new Supervisor()
  const instance = await start(supervisor, 'one')
  await drain(instance)
  await instance.until('the age does not grow', () => /draining: 1 job \(nightly-report, [1-9] s\)/.test(statusOf(instance) ?? ''))
  instance.kill('SIGUSR2')
  expect(await instance.untilExit()).toBe(0)
  expect(instance.output).toContain('app: result 42')
  expect(instance.output).toMatch(/drained in \d+\.\d s: 0 connections ended, 0 requests answered, 1 job finished; nothing was cut/)
})

test('a job that comes when the drain has begun is run and waited for', async () => {
  await using supervisor = new Supervisor()
  const instance = await start(supervisor, 'late')
  await drain(instance)
  await instance.until('it is not waited for', () => /1 job \(taken just before, [1-9] s\)/.test(statusOf(instance) ?? ''))
  expect(instance.status).toBeUndefined()
  instance.kill('SIGUSR2')
  expect(await instance.untilExit()).toBe(0)
  expect(instance.output).toContain('1 job finished; nothing was cut')
})

test('when the deadline nears each job gets its signal, whatever a listener throws; what lives on is cut and counted', async () => {
  await using supervisor = new Supervisor()
  const instance = await start(supervisor, 'deadline', { env: { HOLDFAST_DRAIN_TIMEOUT_MS: '3000' } })
  await drain(instance)
  expect(await instance.untilExit()).toBe(0)
  expect(instance.output).toContain('app: saved: the drain of this instance ends in 0.3 s')
  expect(instance.output).toContain('app: uncaught: from a listener')
  expect(instance.output).toContain('job ignores is cut after 3.')
  expect(instance.output).toMatch(/drained in 3\.\d s: 0 connections ended, 0 requests answered, 1 job finished; cut: 2 jobs/)
})

test('a silent job is let go, one that sends heartbeats is not', async () => {
  await using supervisor = new Supervisor()
  const instance = await start(supervisor, 'silent')
  await instance.until('it is not logged', () => instance.output.includes('job mute has sent no heartbeat for 0.5 s: a drain would not wait for it'))
  expect(instance.output).not.toContain('app: mute')
  await drain(instance)
  await instance.until('it is not let go', () => instance.output.includes('the drain does not wait for it any longer'))
  await instance.until('its signal is not aborted', () => /app: mute: job mute has sent no heartbeat for \d\.\d s, and is let go/.test(instance.output))
  await instance.until('the other is not waited for', () => /draining: 1 job \(alive, [1-9] s\)/.test(statusOf(instance) ?? ''))
  instance.kill('SIGUSR2')
  expect(await instance.untilExit()).toBe(0)
  expect(instance.output).toContain('1 job finished; cut: 1 silent job')
})

test('a job that fails gives its error to the caller, and the drain goes on', async () => {
  await using supervisor = new Supervisor()
  const instance = await start(supervisor, 'fails')
  await drain(instance)
  instance.kill('SIGUSR2')
  expect(await instance.untilExit()).toBe(0)
  expect(instance.output).toContain('app: no paper\n')
  expect(instance.output).toContain('app: at once\n')
  expect(instance.output).toContain('2 jobs failed; nothing was cut')
})

test('100,000 short jobs leave nothing behind', async () => {
  await using supervisor = new Supervisor()
  const instance = await start(supervisor, 'many', { nodeArguments: ['--expose-gc'] })
  await instance.until('it does not end', () => instance.output.includes('app: grown'))
  expect(Number(/grown by (-?\d+) KiB/.exec(instance.output)?.[1])).toBeLessThan(500)
  instance.kill('SIGTERM')
  expect(await instance.untilExit()).toBe(0)
})

test('outside Holdfast a job just runs, and keeps nothing alive', async () => {
  await using supervisor = new Supervisor()
  const instance = await start(supervisor, 'outside', { holdfast: false, notify: false })
  expect(await instance.untilExit()).toBe(0)
  expect(instance.output).toBe('app: instance undefined\napp: begun\napp: aborted false\napp: TypeError\n')
})
