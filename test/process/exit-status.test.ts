/** The app asks to exit while the drain goes on: it is held back, and the status comes out in the end. */
import { beforeAll, expect, test, vi } from 'vitest'
import { ensureBuilt } from './built.js'
import { RawClient } from './raw-client.js'
import { Supervisor } from './supervisor.js'

vi.setConfig({ testTimeout: 30_000 })
beforeAll(ensureBuilt)

test.each([
  ['exit(7), with a SIGTERM handler of its own', { EXITS: '7', HANDLER: '1' }, 7],
  ['exit(7), without one', { EXITS: '7' }, 7],
  ['exit() after process.exitCode = 5, with a handler', { EXITS: 'none', EXIT_CODE: '5', HANDLER: '1' }, 5],
  ['exit() after process.exitCode = 5, without one', { EXITS: 'none', EXIT_CODE: '5' }, 5],
  ['exit(7) after process.exitCode = 5', { EXITS: '7', EXIT_CODE: '5' }, 7],
  ['exit(0) after process.exitCode = 5', { EXITS: '0', EXIT_CODE: '5' }, 0],
  ['exit(3), then exit(7): the last one counts', { EXITS: '3 7', HANDLER: '1' }, 7],
  ['exit() alone', { EXITS: 'none' }, 0],
])('%s', async (_, env, status) => {
  await using supervisor = new Supervisor()
  const address = await supervisor.listen('http')
  const instance = await supervisor.start('exit-status.mjs', { listeners: ['http'], env: env as Record<string, string> })
  await instance.untilReady()
  const slow = new RawClient(address)
  slow.get('/?ms=1000')
  // That one is answered shows that the server has read the other one's request by now.
  const other = new RawClient(address)
  other.send('GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n')
  await other.untilEnded()
  instance.kill('SIGTERM')
  await instance.until('it does not drain', () => instance.notified.some((text) => text.includes('STOPPING=1')))
  instance.kill('SIGUSR2')
  await instance.until('its exit() was not held back', () => instance.output.includes('app: goes on'))
  expect([instance.status, slow.ended]).toEqual([undefined, undefined])
  await slow.untilEnded()
  expect(slow.received).toContain('hello')
  // Right after the drain, long before its hard end.
  expect(await instance.untilExit(5000)).toBe(status)
  expect(instance.output).toContain('1 request answered; nothing was cut')
  expect(instance.output).not.toContain('did not end the process in time')
})
