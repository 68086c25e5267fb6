import { describe, expect, test } from 'vitest'
import { addressesClash, formatAddress, parseAddress } from '../../../src/config/address.js'
import { read, refuse, write } from './fixtures.js'

describe('parseAddress', () => {
  test.each<[string | number, string]>([
    ['127.0.0.1:8080', '127.0.0.1:8080'],
    ['0.0.0.0:1', '0.0.0.0:1'],
    ['[::1]:8080', '[::1]:8080'],
    ['[0:0::0001]:65535', '[::1]:65535'],
    ['[FE80::1]:80', '[fe80::1]:80'],
    [8080, '8080'],
    ['8080', '8080'],
    ['/run/shop/http.sock', '/run/shop/http.sock'],
    ['/run/a b%n.sock', '/run/a b%n.sock'],
  ])('%s', (written, formatted) => {
    const { address } = parseAddress(written)
    expect(address && formatAddress(address)).toBe(formatted)
    expect(parseAddress(formatted).address).toEqual(address)
  })

  test.each<[unknown, string]>([
    ['localhost:8080', 'write "127.0.0.1:8080"'],
    ['example.org:80', 'is a host name'],
    ['*:8080', 'write 8080 alone'],
    [':8080', 'write 8080 alone'],
    ['127.0.0.1', 'write "127.0.0.1:8080"'],
    ['::1', 'write "[::1]:8080"'],
    ['[::1]', 'write "[::1]:8080"'],
    ['2001:db8::1:8080', 'needs brackets: write "[2001:db8::1]:8080"'],
    ['[127.0.0.1]:80', 'not an IPv6 address'],
    ['[fe80::1%eth0]:80', 'has a zone'],
    ['127.0.0.01:80', 'not an IPv4 address'],
    ['999.0.0.1:80', 'not an IPv4 address'],
    ['127.0.0.1:0', 'port 0'],
    [0, 'port 0'],
    ['127.0.0.1:65536', 'from 1 to 65535'],
    ['127.0.0.1:080', 'from 1 to 65535'],
    [70000, 'from 1 to 65535'],
    [-1, 'from 1 to 65535'],
    [80.5, 'from 1 to 65535'],
    [Number.NaN, 'from 1 to 65535'],
    ['http://127.0.0.1:8080', 'is a URL'],
    ['unix:/run/a.sock', 'write the path alone: "/run/a.sock"'],
    ['@abstract', 'abstract socket'],
    ['run/a.sock', 'relative path'],
    ['/run/../etc/a.sock', 'plain path'],
    ['/run/a/', 'plain path'],
    ['/', 'plain path'],
    ['/run/a\nb', 'control characters'],
    [`/run/${'a'.repeat(103)}`, 'at most 107'],
    ['', 'expected "127.0.0.1:8080"'],
    [' 8080', 'expected'],
    ['127.0.0.1:8080\nUser=root', 'expected'],
    [true, 'got true'],
    [[], 'got a list'],
  ])('%j is refused', (written, expected) => {
    const { address, problem } = parseAddress(written)
    expect(address).toBeUndefined()
    expect(problem).toContain(expected)
  })
})

test.each<[string | number, string | number, boolean]>([
  [8080, 8080, true],
  [8080, 8081, false],
  [8080, '127.0.0.1:8080', true],
  ['[::]:8080', '127.0.0.1:8080', true],
  ['0.0.0.0:8080', '127.0.0.1:8080', true],
  ['0.0.0.0:8080', '[::1]:8080', false],
  ['127.0.0.1:8080', '127.0.0.2:8080', false],
  ['127.0.0.1:8080', '[::1]:8080', false],
  ['/run/a', '/run/a', true],
  ['/run/a', '/run/b', false],
  ['/run/a', 8080, false],
])('%s and %s clash: %s', (one, other, expected) => {
  const [first, second] = [parseAddress(one).address, parseAddress(other).address]
  if (!first || !second) throw new Error('both are addresses')
  expect(addressesClash(first, second)).toBe(expected)
  expect(addressesClash(second, first)).toBe(expected)
})

describe('[listen]', () => {
  test.each([
    ['admin = "127.0.0.1:8080"', 'is the address of the listener `http` already'],
    ['admin = 8080', 'overlap'],
    ['activate = 9000', 'systemd ties <app>-activate.socket'],
    ['drain = 9000', 'systemd ties <app>-drain.socket'],
    ['deploy = 9000', 'systemd ties <app>-deploy.socket'],
    ['Admin = 9000', "cannot be a listener's name"],
    ['my_admin = 9000', "cannot be a listener's name"],
    ['admin- = 9000', "cannot be a listener's name"],
    [`${'a'.repeat(22)} = 9000`, "cannot be a listener's name"],
    ['"a:b" = 9000', "cannot be a listener's name"],
    ['admin = { }', '`address` is missing'],
    ['admin = { adress = 9000 }', 'did you mean `address`?'],
    ['admin = { address = 9000, mode = "0660" }', 'only a unix socket has one'],
    ['admin = { address = 9000, group = "www-data" }', 'only a unix socket has one'],
    ['admin = { address = "/run/a", mode = 0o660 }', 'a mode in quotes'],
    ['admin = { address = "/run/a", mode = "4755" }', 'a mode in quotes'],
    ['admin = { address = "/run/a", mode = "0440" }', 'does not let its owner connect'],
    ['admin = { address = "/run/a", group = "33" }', 'getent group 33'],
    ['admin = ["127.0.0.1:9000"]', 'got a list'],
  ])('%s', (line, expected) => {
    expect(refuse(write('', line))).toMatch(/^holdfast\.toml:6: listen\./)
    expect(refuse(write('', line))).toContain(expected)
  })

  test.each(['127.0.0.1:8080', '8080'])('and [preview] cannot have the same address, nor one that covers it: %s', (address) => {
    const text = refuse(`${write('', '')}\n[preview]\naddress = "${address}"`)
    expect(text).toMatch(/: preview\.address: .* cannot be had beside 127\.0\.0\.1:8080, the address of the listener `http`/)
  })

  test('may name none: a worker takes its work from a queue', () => {
    expect(read('app = "a"\ncommand = ["x"]\n[listen]').listen).toEqual([])
    expect(read('app = "a"\ncommand = ["x"]').listen).toEqual([])
  })

  test('a group without a mode may connect', () => {
    expect(read(write('', 'a = { address = "/run/a", group = "www-data" }')).listen[1]?.mode).toBe(0o660)
  })
})
