import { expect, test } from 'vitest'
import { forgetInheritance, maxBacklog, readInheritance } from '../../../src/runtime/inherited.js'
import type { SocketDescription } from '../../../src/runtime/socket-table.js'

const listening = (address: string): SocketDescription => ({ kind: 'listening', family: 'tcp', address })
const unknown = (): SocketDescription => ({ kind: 'unknown' })
const configured = (...entries: object[]): string => JSON.stringify(entries)

test('names, addresses and backlogs are put together from systemd and HOLDFAST_LISTEN', () => {
  const env = {
    LISTEN_FDS: '2', LISTEN_PID: '42', LISTEN_FDNAMES: 'admin:http',
    HOLDFAST_LISTEN: configured({ name: 'http', address: '8080', backlog: 100 }, { name: 'admin', address: '/run/a.sock', backlog: 200 }),
  }
  expect(readInheritance(env, 42, unknown)).toEqual({
    problems: [],
    privateFd: undefined,
    reportFd: undefined,
    listeners: [
      { name: 'admin', fd: 3, address: '/run/a.sock', backlog: 200 },
      { name: 'http', fd: 4, address: '8080', backlog: 100 },
    ],
  })
})

test('without HOLDFAST_LISTEN the kernel says the address, and unnamed descriptors are unknown', () => {
  const env = { LISTEN_FDS: '1', LISTEN_PID: '42' }
  expect(readInheritance(env, 42, () => listening('127.0.0.1:80')).listeners).toEqual([
    { name: 'unknown', fd: 3, address: '127.0.0.1:80', backlog: maxBacklog },
  ])
})

test.each([
  ['nothing', {}, 0, []],
  ['another process', { LISTEN_FDS: '1', LISTEN_PID: '7' }, 0, []],
  ['no LISTEN_PID', { LISTEN_FDS: '1' }, 0, []],
  ['LISTEN_FDS is no number', { LISTEN_FDS: '1x', LISTEN_PID: '42' }, 0, ['LISTEN_FDS is "1x", expected a number: no socket is taken over']],
  ['LISTEN_FDS is negative', { LISTEN_FDS: '-1', LISTEN_PID: '42' }, 0, ['LISTEN_FDS is "-1", expected a number: no socket is taken over']],
  ['fewer names than descriptors', { LISTEN_FDS: '2', LISTEN_PID: '42', LISTEN_FDNAMES: 'a' }, 2, []],
  ['HOLDFAST_LISTEN is no list', { LISTEN_FDS: '1', LISTEN_PID: '42', HOLDFAST_LISTEN: '{}' }, 1, ['HOLDFAST_LISTEN cannot be read (not a list)']],
  [
    'a listener that was not passed',
    { LISTEN_FDS: '1', LISTEN_PID: '42', LISTEN_FDNAMES: 'a', HOLDFAST_LISTEN: configured({ name: 'b', address: '80', backlog: 1 }) },
    1,
    ['listener b (80) is in [listen], but systemd passed no usable socket of that name'],
  ],
])('%s', (_, env, count, problems) => {
  const inheritance = readInheritance(env, 42, unknown)
  expect(inheritance.listeners).toHaveLength(count)
  expect(inheritance.problems).toEqual(problems)
})

test('a descriptor that cannot be used is left out, and the others keep their numbers', () => {
  const env = { LISTEN_FDS: '2', LISTEN_PID: '42', LISTEN_FDNAMES: 'a:b' }
  const { listeners, problems } = readInheritance(env, 42, (fd) => (fd === 3 ? { kind: 'unusable', what: 'not open' } : { kind: 'unknown' }))
  expect(listeners.map(({ name, fd }) => [name, fd])).toEqual([['b', 4]])
  expect(problems).toEqual(['systemd passed fd 3 (a) as a listener, but it is not open: it is not used'])
})

test('LISTEN_ variables are removed, the HOLDFAST_ ones stay', () => {
  const env = { LISTEN_FDS: '1', LISTEN_PID: '2', LISTEN_FDNAMES: 'a', LISTEN_PIDFDID: '9', HOLDFAST_LISTEN: '[]' }
  forgetInheritance(env)
  expect(env).toEqual({ HOLDFAST_LISTEN: '[]' })
})

test.each([
  ['by their paths', (fd: number) => listening(fd === 3 ? '/run/1.report' : '/run/1.sock'), { privateFd: 4, reportFd: 3 }],
  ['in their order where the kernel does not show them', unknown, { privateFd: 3, reportFd: 4 }],
  ['not at all where they are others', () => listening('/run/2.sock'), { privateFd: undefined, reportFd: undefined }],
])('the private sockets are told apart %s, and are no listeners', (_, describe, expected) => {
  const env = {
    LISTEN_FDS: '3', LISTEN_PID: '42', LISTEN_FDNAMES: 'private:private:http', HOLDFAST_LISTEN: configured({ name: 'http', address: '80', backlog: 1 }),
    HOLDFAST_PRIVATE_SOCKET: '/run/1.sock', HOLDFAST_REPORT_SOCKET: '/run/1.report',
  }
  const { listeners, problems, ...fds } = readInheritance(env, 42, describe)
  expect(fds).toEqual(expected)
  expect(listeners.map(({ name, fd }) => [name, fd])).toEqual([['http', 5]])
  expect(problems).toEqual([])
})

test('sockets named private are no listeners where nothing is said of them', () => {
  const env = { LISTEN_FDS: '2', LISTEN_PID: '42', LISTEN_FDNAMES: 'private:http' }
  const names = (HOLDFAST_LISTEN?: string): string[] => readInheritance({ ...env, HOLDFAST_LISTEN }, 42, unknown).listeners.map(({ name }) => name)
  expect(names(configured({ name: 'http', address: '80', backlog: 1 }))).toEqual(['http'])
  // But for those of a unit that is not Holdfast's.
  expect(names()).toEqual(['private', 'http'])
})
