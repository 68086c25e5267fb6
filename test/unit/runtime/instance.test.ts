import { expect, test } from 'vitest'
import { readInstance, readRole } from '../../../src/runtime/instance.js'
import { readDrainLimits } from '../../../src/runtime/limits.js'
import { sanitizeStatus } from '../../../src/runtime/notify.js'
import { decodeTcpAddress } from '../../../src/runtime/socket-table.js'
import { watchdogIntervalMs } from '../../../src/runtime/watchdog.js'

const ours = { HOLDFAST_APP: 'shop', HOLDFAST_INSTANCE: '42.1', HOLDFAST_GENERATION: '42', HOLDFAST_RELEASE: 'r' }

const own = { mainThread: true, clusterWorker: false, parentPid: 1 }

test.each([
  ['nothing', {}, own, 'outside'],
  ['HOLDFAST_ alone', ours, own, 'main'],
  ['our sockets', { ...ours, LISTEN_FDS: '1', LISTEN_PID: '5' }, own, 'main'],
  ['any unit with Type=notify', { NOTIFY_SOCKET: '/run/x' }, own, 'main'],
  ['any unit with a socket', { LISTEN_FDS: '1', LISTEN_PID: '5' }, own, 'main'],
  ['sockets of another process, ours', { ...ours, LISTEN_FDS: '1', LISTEN_PID: '6' }, own, 'lost'],
  ['sockets of another process, not ours', { LISTEN_FDS: '1', LISTEN_PID: '6' }, own, 'helper'],
  ['a worker thread', ours, { ...own, mainThread: false }, 'helper'],
  ['a cluster worker of the instance', { ...ours, HOLDFAST_PID: '6' }, { ...own, clusterWorker: true, parentPid: 6 }, 'worker'],
  ['a cluster worker of a child of the instance', { ...ours, HOLDFAST_PID: '6' }, { ...own, clusterWorker: true, parentPid: 7 }, 'helper'],
  ['a cluster worker of a primary without the runtime', ours, { ...own, clusterWorker: true, parentPid: 6 }, 'helper'],
  ['a child of the instance', { ...ours, HOLDFAST_PID: '6' }, own, 'helper'],
  ['the instance itself, asked again', { ...ours, HOLDFAST_PID: '5' }, own, 'main'],
])('role: %s', (_, env, standing, role) => expect(readRole(env, 5, standing)).toBe(role))

test('identity', () => {
  expect(readInstance(ours)).toEqual({ app: 'shop', name: '42.1', generation: 42, release: 'r' })
  expect(readInstance({ HOLDFAST_APP: 'shop' })).toBeUndefined()
})

test.each([['900', 900], ['0', 0], ['', 80_000], ['-1', 80_000], ['x', 80_000], [undefined, 80_000]])(
  'drain timeout %s', (text, ms) => expect(readDrainLimits({ HOLDFAST_DRAIN_TIMEOUT_MS: text }).timeoutMs).toBe(ms),
)

test('a rate of 0 would never let a client go', () => expect(readDrainLimits({ HOLDFAST_RECONNECT_RATE: '0' }).reconnectRate).toBe(100))

test.each([
  ['plain', 'plain'],
  ['a\nREADY=1', 'a READY=1'],
  ['a\r\n\u0000b\u2028c', 'a b c'],
  ['  padded\t', 'padded'],
  ['%n stays', '%n stays'],
  [42, '42'],
])('status %j', (text, line) => expect(sanitizeStatus(text)).toBe(line))

test('a long status is cut', () => expect(sanitizeStatus('x'.repeat(2000))).toBe(`${'x'.repeat(999)}…`))

test.each([
  [{ WATCHDOG_USEC: '3000000' }, 1500],
  [{ WATCHDOG_USEC: '3000000', WATCHDOG_PID: '5' }, 1500],
  [{ WATCHDOG_USEC: '3000000', WATCHDOG_PID: '6' }, undefined],
  [{ WATCHDOG_USEC: '0' }, undefined],
  [{ WATCHDOG_USEC: 'x' }, undefined],
  [{}, undefined],
])('watchdog %j', (env, ms) => expect(watchdogIntervalMs(env, 5)).toBe(ms))

test.each([
  ['0100007F:1F90', '127.0.0.1:8080'],
  ['00000000:0050', '0.0.0.0:80'],
  ['00000000000000000000000001000000:01BB', '[::1]:443'],
  ['00000000000000000000000000000000:01BB', '[::]:443'],
])('kernel address %s', (text, address) => expect(decodeTcpAddress(text)).toBe(address))
