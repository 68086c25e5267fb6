import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { loadConfig } from '../../../src/config/load.js'
import { catchError, read, refuse, write } from './fixtures.js'

describe('parseConfig', () => {
  test('fills in every default', () => {
    expect(read(write())).toEqual({
      app: 'shop',
      command: ['node', 'server.js'],
      snapshot: true,
      processes: 1,
      env: {},
      data: false,
      listen: [{ name: 'http', address: { kind: 'tcp', host: '127.0.0.1', port: 8080 } }],
      strategy: 'all',
      start: { timeoutMs: 60_000, settleMs: 2000, standby: false },
      drain: { timeoutMs: 900_000, shutdownTimeoutMs: 90_000, hangTimeoutMs: 120_000, reconnectWindowMs: 30_000, reconnectRate: 100 },
      limits: {},
      hooks: { timeoutMs: 900_000 },
      source: { maxBytes: 4 * 2 ** 30, maxFiles: 500_000 },
      bake: { maxErrors: 0.01, maxSlowdown: 3, minRequests: 50 },
      preview: {},
      admission: { memory: true, reserveBytes: 64 * 2 ** 20, maxDraining: 32 },
      sandbox: {
        writePaths: [], home: 'hidden', devices: false, processes: false, namespaces: false, setuid: false,
        capabilities: [], addressFamilies: [], systemCalls: [],
      },
    })
  })

  test('takes every key', () => {
    const config = read(`
      app = "shop"
      description = "The shop"
      command = ["node", "--import", "holdfast/register", "server.js", "a b", "", "x\\ny"]
      user = "shop"
      directory = "code/"
      snapshot = false
      processes = 3
      strategy = "rolling"
      env = { NODE_ENV = "production", TEXT = "a\\tb\\nc" }
      env_file = "/etc/shop.env"
      data = true
      watchdog = "30s"
      listen.http = 8080
      listen.v6 = "[::1]:8081"
      listen.admin = { address = "/run/shop/admin.sock", mode = "0666", group = "www-data" }
      listen.inner = "/run/shop/inner.sock"
      start = { timeout = "1.5s", settle = "0s" }
      drain = { timeout = "2h 30min", shutdown_timeout = "2h", hang_timeout = "1s", reconnect_window = "0s", reconnect_rate = 7 }
      limits = { memory = "1.5G", tasks = 64 }
      [hooks]
      install = "npm ci --omit=dev"
      migrate = ["node", "migrate.js", "--to", "a b"]
      after_drain = """
      set -e
      npm run contract
      """
      timeout = "1h"
      [source]
      url = "https://ci.example.com/shop-{version}.tar.gz"
      checksum = "https://ci.example.com/SHA256SUMS"
      version_file = "./build/VERSION"
      max_size = "1G"
      max_files = 1000
      [sandbox]
      write_paths = ["/srv/uploads/", "/srv/uploads"]
      home = "read-only"
      devices = true
      processes = true
      namespaces = true
      setuid = true
      capabilities = ["CAP_NET_RAW"]
      address_families = ["AF_PACKET"]
      system_calls = ["@resources", "mlock2"]
    `)
    expect(config).toMatchObject({
      description: 'The shop', user: 'shop', directory: '/srv/shop/code', snapshot: false, processes: 3, strategy: 'rolling', envFile: '/etc/shop.env',
      data: true, watchdogMs: 30_000, start: { timeoutMs: 1500, settleMs: 0, standby: true }, drain: { timeoutMs: 9_000_000, shutdownTimeoutMs: 7_200_000, hangTimeoutMs: 1000, reconnectWindowMs: 0, reconnectRate: 7 },
      limits: { memoryBytes: 1.5 * 2 ** 30, tasks: 64 }, env: { NODE_ENV: 'production', TEXT: 'a\tb\nc' },
      sandbox: { writePaths: ['/srv/uploads'], home: 'read-only', setuid: true, capabilities: ['CAP_NET_RAW'], systemCalls: ['@resources', 'mlock2'] },
    })
    expect(config.hooks).toEqual({
      install: { text: 'npm ci --omit=dev', argv: ['/bin/sh', '-c', 'npm ci --omit=dev'] },
      migrate: { text: '["node", "migrate.js", "--to", "a b"]', argv: ['node', 'migrate.js', '--to', 'a b'] },
      afterDrain: { text: 'set -e\n      npm run contract', argv: ['/bin/sh', '-c', '      set -e\n      npm run contract\n      '] },
      timeoutMs: 3_600_000,
    })
    expect(config.source).toEqual({
      url: 'https://ci.example.com/shop-{version}.tar.gz', checksumUrl: 'https://ci.example.com/SHA256SUMS',
      versionFile: 'build/VERSION', maxBytes: 2 ** 30, maxFiles: 1000,
    })
    expect(config.listen).toEqual([
      { name: 'http', address: { kind: 'tcp', port: 8080 } },
      { name: 'v6', address: { kind: 'tcp', host: '::1', port: 8081 } },
      { name: 'admin', address: { kind: 'unix', path: '/run/shop/admin.sock' }, mode: 0o666, group: 'www-data' },
      { name: 'inner', address: { kind: 'unix', path: '/run/shop/inner.sock' }, mode: 0o600 },
    ])
  })

  test('lists every problem in the order of the file, each with its line', () => {
    const lines = refuse(`app = "Shop"
env = { PORT = 3000 }
[listen]
http = "localhost:80"
[start]
timeout = 60
`).split('\n')
    expect(lines).toEqual([
      'holdfast.toml: `command` is missing: add command = ["node", "server.js"]',
      expect.stringMatching(/^holdfast\.toml:1: app: "Shop" .* write "shop"$/),
      'holdfast.toml:2: env.PORT: expected a string, got 3000: put quotes around it, "3000"',
      'holdfast.toml:4: listen.http: "localhost" is a name; systemd needs an IP address: write "127.0.0.1:80"',
      'holdfast.toml:6: start.timeout: 60 has no unit: write "60s" for seconds, or use ms, min or h',
    ])
  })

  test.each([
    ['a byte order mark', `\ufeff${write('data = 1')}`, 'holdfast.toml:3: data:'],
    ['CRLF', write('data = 1').replaceAll('\n', '\r\n'), 'holdfast.toml:3: data:'],
  ])('%s does not move the lines', (_what, text, expected) => {
    expect(refuse(text)).toContain(expected)
  })

  test.each<[string, string, RegExp]>([
    ['a string without quotes', 'app = shop', /^holdfast\.toml:1: not valid TOML at column 7: .*quotes/],
    ['a double key', 'app = "a"\napp = "b"', /^holdfast\.toml:2: .*further up/],
    ['a double table', '[listen]\n[listen]', /^holdfast\.toml:2: /],
    ['no end', 'command = ["node"', /^holdfast\.toml:1: .*close a list with \]/],
    ['a lone word', 'app', /^holdfast\.toml:1: .*key = value/],
    ['deep nesting', `env = ${'['.repeat(30_000)}`, /nested/],
    ['deep inline tables', `env = ${'{a='.repeat(15_000)}`, /nested/],
    ['a control character', 'app = "a\u001b[2J"', /^holdfast\.toml:1: /],
  ])('malformed: %s', (_what, text, expected) => {
    const message = refuse(text)
    expect(message).toMatch(expected)
    // oxlint-disable-next-line no-control-regex
    expect(message).not.toMatch(/[\0-\x09\x0b-\x1f]/)
    expect(message.length).toBeLessThan(500)
  })

  test.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty'])('a key named %s is a key like any other', (key) => {
    expect(refuse(write(`${key} = 1`))).toContain(`holdfast.toml:3: ${key}: unknown key`)
    expect(refuse(write('', `[sandbox]\n${key}.polluted = true`))).toContain(`sandbox.${key}: unknown key`)
    expect(refuse(write('', `${key} = { polluted = true }`))).toContain(`listen.${key}`)
    expect(({} as { polluted?: true }).polluted).toBeUndefined()
  })

  test('__proto__ is no variable either', () => {
    expect(refuse(write('env = { __proto__ = "x" }'))).toContain('env.__proto__')
    expect(read(write('env = { constructor = "x" }')).env).toEqual({ constructor: 'x' })
  })

  test('a long list of problems is cut', () => {
    const keys = Array.from({ length: 4000 }, (_, i) => `wrong_${i} = 1`).join('\n')
    const lines = refuse(write(keys)).split('\n')
    expect(lines).toHaveLength(26)
    expect(lines.at(-1)).toBe('holdfast.toml: … and 3975 more')
  })

  test.each(['watchdog = "#"', 'user = "#"', 'limits.memory = "#"', 'listen.b = "localhost:#"', 'listen.b = "/#"', 'env.A# = 1', 'wrong# = 1', 'directory = "/#/.."'])(
    'a long value is cut: %s', (line) => {
      const text = `app = "shop"\ncommand = "a"\n${line.replace('#', '1'.repeat(50_000))}\n`
      expect(refuse(text).length).toBeLessThan(1500)
    },
  )

  test('a value in a message can do nothing to a terminal', () => {
    expect(refuse(write('user = "\\u001b]0;x\\u0007\\u202e\\u009b"'))).toContain('got "\\u001b]0;x\\u0007\\u202e\\u009b"')
  })

  test('a relative directory without a folder to take it from', () => {
    const error = catchError(() => read(write('directory = "."'), { folder: undefined } as never))
    expect(error.message).toContain('relative path')
  })
})

describe('an untrusted text', () => {
  const untrusted = { trusted: false, app: 'shop' }

  test.each<[string, string]>([
    ['a syntax error', 'root:$6$secret:19000:0:99999:7:::\n'],
    ['a syntax error further down', 'a = 1\npassword = secret\n'],
    ['another file', 'password = "secret"\n'],
    ['another app that is no name', 'app = "secret word"\n'],
    ['keys that are secrets', 'secret = 1\n[secret2]\nx = "secret"'],
  ])('%s is not quoted from', (_what, text) => {
    const message = refuse(text, untrusted)
    expect(message).not.toContain('secret')
    expect(refuse(text, { trusted: false })).not.toContain('secret')
  })

  test('a syntax error says where', () => {
    expect(refuse('a = 1\npassword = secret\n', untrusted)).toMatch(/^holdfast\.toml:2: not valid TOML at column 12/)
  })
})

describe('loadConfig', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'holdfast-config-'))
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  const put = (text: string | Uint8Array): string => {
    const file = join(folder, 'holdfast.toml')
    writeFileSync(file, text)
    return file
  }

  test('resolves the source folder against the file', () => {
    expect(loadConfig(put(write('directory = "."'))).directory).toBe(folder)
  })

  test('an installed file needs it absolute', () => {
    const file = put(write('directory = "."'))
    expect(catchError(() => loadConfig(file, { installed: true })).message).toContain('relative path')
  })

  test('suggests what the start script runs', () => {
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ scripts: { start: 'node server.js' } }))
    const file = put(write().replace('["node", "server.js"]', '["npm", "start"]'))
    expect(catchError(() => loadConfig(file)).message).toContain('write command = ["node", "server.js"]')
    expect(catchError(() => loadConfig(file, { trusted: false })).message).toContain('loses the inherited sockets')
  })

  test('a missing file says how to make one', () => {
    const error = catchError(() => loadConfig(join(folder, 'holdfast.toml')))
    expect(error).toMatchObject({ code: 'config-invalid', message: `there is no holdfast.toml in ${folder}`, hint: `write one: cd ${folder} && holdfast init` })
  })

  test('the hint says what to run next', () => {
    const file = put('')
    expect(catchError(() => loadConfig(file)).hint).toBe(`correct it, then run: holdfast check ${file}`)
  })

  test.each<[string, () => string, string]>([
    ['a folder', () => folder, 'is a folder'],
    ['a device', () => '/dev/zero', 'not a regular file'],
    ['65537 bytes', () => put('#'.repeat(65_537)), 'larger than 64 KiB'],
    ['not UTF-8', () => put(Uint8Array.of(0x61, 0xff)), 'not UTF-8'],
    ['UTF-16', () => put(Buffer.from('\ufeffapp = "shop"', 'utf16le')), 'not UTF-8'],
    ['a FIFO', () => {
      execFileSync('mkfifo', [join(folder, 'fifo')])
      return join(folder, 'fifo')
    }, 'not a regular file'],
  ])('refuses %s', (_what, make, expected) => {
    const file = make()
    expect(catchError(() => loadConfig(file)).message).toContain(expected)
    expect(catchError(() => loadConfig(file, { trusted: false })).message).toContain(expected)
  })

  test('64 KiB are no trouble', () => {
    const text = write()
    expect(loadConfig(put(text + '#'.repeat(65_536 - text.length))).app).toBe('shop')
  })

  test('a link is followed only where the file is trusted', () => {
    mkdirSync(join(folder, 'other'))
    writeFileSync(join(folder, 'other', 'secret'), 'top secret')
    const link = join(folder, 'holdfast.toml')
    symlinkSync(join(folder, 'other', 'secret'), link)
    const error = catchError(() => loadConfig(link, { trusted: false }))
    expect(error.message).toContain('symbolic link')
    expect(catchError(() => loadConfig(link)).message).toContain('not valid TOML')
  })
})
