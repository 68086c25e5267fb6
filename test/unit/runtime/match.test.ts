import { relative } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { InheritedListener } from '../../../src/runtime/inherited.js'
import { formatRequest, readListenArguments } from '../../../src/runtime/listen-arguments.js'
import { matchListener, matchName, splitAddress } from '../../../src/runtime/match.js'

const listener = (name: string, address: string | undefined, fd = 3): InheritedListener => ({ name, fd, address, backlog: 1 })
const web = listener('web', '127.0.0.1:8080')
const admin = listener('admin', '/run/admin.sock', 4)
const v6 = listener('v6', '[::1]:8080', 5)
const any = listener('any', '9090', 6)
const nothingTaken = (): boolean => false
const callback = (): void => {}

describe('arguments of listen()', () => {
  test.each([
    [[], { kind: 'any' }],
    [[callback], { kind: 'any', callback }],
    [[undefined, callback], { kind: 'any', callback }],
    [[null], { kind: 'any' }],
    [[3000], { kind: 'address', port: 3000 }],
    [['3000', callback], { kind: 'address', port: 3000, callback }],
    [[3000, '::1', 10, callback], { kind: 'address', port: 3000, host: '::1', callback }],
    [[0], { kind: 'ephemeral', port: 0 }],
    [['0'], { kind: 'ephemeral', port: 0 }],
    [['/run/a.sock', 5], { kind: 'address', path: '/run/a.sock' }],
    [[{ port: 3000, host: 'localhost' }], { kind: 'address', port: 3000, host: 'localhost' }],
    [[{ port: 0 }], { kind: 'ephemeral', port: 0 }],
    [[{ path: '/run/a.sock' }], { kind: 'address', path: '/run/a.sock' }],
    [[{ port: undefined, path: '/run/a.sock' }], { kind: 'any' }],
    [[{ fd: 3 }, callback], { kind: 'fd', fd: 3, callback }],
    [[{ _handle: {} }], { kind: 'other' }],
    [[{}], { kind: 'other' }],
    [[70_000], { kind: 'other' }],
    [[-1], { kind: 'other' }],
    [[''], { kind: 'other' }],
    [[true], { kind: 'other' }],
  ])('%j', (args, request) => expect(readListenArguments(args as unknown[])).toEqual(request))

  test.each([
    [[3000], 'listen(3000)'],
    [[3000, '::1'], 'listen(3000, "::1")'],
    [['/a'], 'listen("/a")'],
    [[{ fd: 3 }], 'listen({ fd: 3 })'],
    [[], 'listen()'],
  ])('%j reads %s in messages', (args, text) => expect(formatRequest(readListenArguments(args as unknown[]))).toBe(text))
})

describe('which listener is meant', () => {
  test.each([
    ['the port', [web, admin, any], [8080], 'exact web'],
    ['the port, whatever the host', [web, admin, any], [8080, '0.0.0.0'], 'exact web'],
    ['the host too, where two have the port', [web, v6], [8080, '::1'], 'exact v6'],
    ['localhost is a loopback address', [v6, any], [8080, 'localhost'], 'exact v6'],
    ['two have the port and neither the host', [web, v6], [8080], 'none'],
    ['a bare port is all addresses', [any, web], [9090], 'exact any'],
    ['the path', [web, admin], ['/run/admin.sock'], 'exact admin'],
    ['the path, seen from the working directory', [web, admin], [relative(process.cwd(), '/run/admin.sock')], 'exact admin'],
    ['the fd', [web, admin], [{ fd: 4 }], 'exact admin'],
    ['an fd of something else', [web], [{ fd: 9 }], 'none'],
    ['the only one', [web], [3000], 'only web'],
    ['the only one, for a path', [web], ['/other'], 'only web'],
    ['the only one, without an address', [web], [], 'only web'],
    ['the only one, of unknown address', [listener('x', undefined)], [3000], 'only x'],
    ['several to guess from', [web, admin], [3000], 'none'],
    ['several, without an address', [web, admin], [], 'none'],
    ['port 0 is never meant', [web], [0], 'none'],
    ['none at all', [], [3000], 'none'],
  ])('%s', (_, listeners, args, expected) => {
    const match = matchListener(listeners, nothingTaken, readListenArguments(args as unknown[]))
    expect('listener' in match ? `${match.kind} ${match.listener.name}` : match.kind).toBe(expected)
  })

  test('one that is taken is not given twice', () => {
    const taken = (each: InheritedListener): boolean => each === web
    expect(matchListener([web, admin], taken, { kind: 'address', port: 8080 })).toEqual({ kind: 'taken', listener: web })
    expect(matchListener([web], taken, { kind: 'address', port: 3000 })).toEqual({ kind: 'none' })
    expect(matchName([web], taken, 'web')).toEqual({ kind: 'taken', listener: web })
  })

  test('by name, the first free one of several', () => {
    const [first, second] = [listener('a', '80', 3), listener('a', '81', 4)]
    expect(matchName([first, second], (each) => each === first, 'a')).toEqual({ kind: 'exact', listener: second })
    expect(matchName([first], nothingTaken, 'b')).toEqual({ kind: 'none' })
  })

  test.each([
    ['127.0.0.1:80', { host: '127.0.0.1', port: 80 }],
    ['[::1]:80', { host: '::1', port: 80 }],
    ['80', { port: 80 }],
    ['/run/x', {}],
    [undefined, {}],
    ['nonsense', {}],
  ])('address %s', (text, expected) => expect(splitAddress(text)).toEqual(expected))
})
