import { describe, expect, test } from 'vitest'
import { read, refuse, write } from './fixtures.js'

/** One line with a mistake, and what the message must say. */
const mistakes: [line: string, expected: string | RegExp][] = [
  ['comand = 1', 'unknown key `comand`: did you mean `command`?'],
  ['Data = true', 'did you mean `data`?'],
  ['env-file = "/x"', 'did you mean `env_file`?'],
  ['workers = 2', 'did you mean `processes`?'],
  ['port = 3000', 'did you mean `[listen] http`?'],
  ['settle = "2s"', /settle`.*\[start\]/],
  ['xyzzy = 1', /unknown key `xyzzy`: remove it; known here are app, /],
  ['strategy = "one-by-one"', 'expected "all", "rolling", got "one-by-one"'],
  ['healthcheck = "/"', 'did you mean `[health] path`?'],
  ['health = "/healthz"', 'expected a table, got "/healthz": write `[health]` on a line of its own'],
  ['health = {}', 'health: asks nothing: add path = "/healthz", or a command'],
  ['health = { interval = "5s" }', 'asks nothing'],
  ['health = { url = "/" }', 'unknown key `url`'],
  ['health = { path = "" }', 'expected a path such as "/healthz", got ""'],
  ['health = { path = "healthz" }', 'expected a path such as "/healthz"'],
  ['health = { path = "http://localhost/healthz" }', 'expected a path'],
  ['health = { path = "/a b" }', 'expected a path'],
  ['health = { path = "/a\\r\\nX: y" }', 'expected a path'],
  ['health = { path = "/ü" }', 'expected a path'],
  [`health = { path = "/${'a'.repeat(1000)}" }`, 'expected a path'],
  ['health = { path = 1 }', 'expected a path'],
  ['health = { path = "/", status = "200" }', 'health.status: expected a whole number from 100 to 599 (without quotes)'],
  ['health = { path = "/", status = 99 }', 'from 100 to 599'],
  ['health = { path = "/", status = [] }', 'no status would be good'],
  ['health = { path = "/", status = [200, 600] }', 'health.status[1]: expected a whole number from 100 to 599'],
  ['health = { path = "/", host = "" }', 'expected the name of a host'],
  ['health = { path = "/", host = "a\\r\\nX: y" }', 'expected the name of a host'],
  ['health = { path = "/", tls = "no" }', 'true or false'],
  ['health = { path = "/", interval = 1 }', 'has no unit'],
  ['health = { path = "/", interval = "1ms" }', 'too short: the least is "10ms"'],
  ['health = { path = "/", timeout = "11min" }', 'too long: the most is "10min"'],
  ['health = { path = "/", successes = 0 }', 'from 1 to 1000'],
  ['health = { path = "/", deadline = "0s" }', 'too short: the least is "100ms"'],
  ['health = { path = "/", successes = 61 }', 'health.successes: 61 in a row, 1s apart, take 1min, and `deadline` is 1min: no release could pass'],
  ['health = { command = "" }', 'names no command: write command = "./check.sh"'],
  ['health = { command = ["../check"] }', 'outside the release directory'],
  ['health = { command = "x", path = "/" }', 'health.path: is about a request, and `command` asks in its place'],
  ['health = { command = "x", status = 200 }', 'health.status: is about a request'],
  ['health = { command = "x", tls = false }', 'health.tls: is about a request'],
  ['bake = "60s"', 'expected a table'],
  ['bake = { for = 60 }', 'has no unit'],
  ['bake = { for = "25h" }', 'too long: the most is "24h"'],
  ['bake = { max_errors = 1 }', 'expected a share such as "1%", got 1'],
  ['bake = { max_errors = 0.01 }', 'expected a share'],
  ['bake = { max_errors = "1" }', 'expected a share'],
  ['bake = { max_errors = "101%" }', 'expected a share'],
  ['bake = { max_errors = "-1%" }', 'expected a share'],
  ['bake = { max_slowdown = 0.5 }', 'expected a number from 1 to 1000'],
  ['bake = { max_slowdown = "3x" }', 'without quotes'],
  ['bake = { max_slowdown = nan }', 'expected a number'],
  ['bake = { min_requests = 0 }', 'from 1 to 1000000'],
  ['bake = { min_request = 1 }', 'did you mean `min_requests`?'],
  ['preview = 1', 'expected a table'],
  ['preview = { address = "staging.example:80" }', 'systemd needs an IP address'],
  ['preview = { listener = "http" }', 'unknown key `listener`: remove it; known in [preview] are address, expire'],
  ['preview = { expire = "0s" }', 'too short: the least is "1s"'],
  ['admission = { memory = "1G" }', 'true or false'],
  ['admission = { reserve = 64 }', 'has no unit'],
  ['admission = { reserve = "1K" }', 'too small: the least is "1M"'],
  ['admission = { max_draining = 0 }', 'from 1 to 10000'],
  ['admission = { max_drain_age = "500ms" }', 'too short'],
  ['notify = {}', '`command` is missing: add command = ["/usr/local/bin/tell-chat"]'],
  ['notify = { command = "tell" }', 'expected a list'],
  ['notify = { command = [] }', 'names no program: write command = ["/usr/local/bin/tell-chat"]'],
  ['notify = { command = ["x"], timeout = "1h" }', 'too long: the most is "10min"'],
  ['hooks = 1', 'expected a table'],
  ['hooks = { instal = "x" }', 'did you mean `install`?'],
  ['hooks = { install = "" }', 'names no command: write install = "npm ci --omit=dev", or remove it'],
  ['hooks = { migrate = " \\n\\t" }', 'names no command'],
  ['hooks = { migrate = "a\\u0000b" }', 'control characters'],
  ['hooks = { migrate = "a\\rb" }', 'control characters'],
  ['hooks = { after_drain = 5 }', 'as a string for the shell or as a list of strings, got 5: write after_drain = "npm run contract"'],
  ['hooks = { install = [] }', 'names no program: write install = ["npm", "ci", "--omit=dev"]'],
  ['hooks = { install = [""] }', 'its first word is empty: write install = '],
  ['hooks = { install = ["npm ci"] }', 'write install = ["npm", "ci"]'],
  ['hooks = { install = ["npm", 5] }', 'hooks.install[1]: expected a string, got 5'],
  ['hooks = { install = ["a\\u0000"] }', 'hooks.install[0]: has a NUL'],
  ['hooks = { install = ["../x"] }', 'outside the release directory'],
  ['hooks = { timeout = "500ms" }', 'too short: the least is "1s"'],
  ['hooks = { timeout = "25h" }', 'too long: the most is "24h"'],
  ['install = "npm ci"', 'it belongs to [hooks]'],
  ['source = 1', 'expected a table'],
  ['source = { url = 1 }', 'expected an address, got 1'],
  ['source = { url = "https://example.com/shop.tar.gz" }', 'has no {version} in it'],
  ['source = { url = "http://example.com/{version}.tgz" }', 'taken from this machine alone: write https://'],
  ['source = { url = "ftp://example.com/{version}.tgz" }', 'is none of https: and file:'],
  ['source = { url = "/srv/{version}.tgz" }', 'is no address'],
  ['source = { url = "file://srv/{version}.tgz" }', 'file:///srv/releases/'],
  ['source = { url = "https://{version}.example.com/shop.tgz" }', 'behind the name of the server only'],
  ['source = { url = "https://a:{version}@example.com/shop.tgz" }', 'behind the name of the server only'],
  ['source = { url = "https://example.com/{version}/{name}.tgz" }', '"{name}" stands for nothing'],
  ['source = { url = "https://example.com/a {version}" }', 'write %20 for a space'],
  ['source = { checksum = "https://example.com/{version}.sha256" }', 'source.checksum: is about `url`, and there is none'],
  ['source = { version_file = "" }', 'expected the path of a file in the release'],
  ['source = { version_file = "/etc/shadow" }', 'relative to the release'],
  ['source = { version_file = "a/../../x" }', 'leads out of the release'],
  ['source = { version_file = "a//b" }', 'no plain path'],
  ['source = { version_file = "build/" }', 'no plain path'],
  ['source = { version_file = "a\\nb" }', 'cannot be the path of a file'],
  ['source = { max_size = 100 }', 'has no unit'],
  ['source = { max_size = "1K" }', 'too small: the least is "1M"'],
  ['source = { max_files = 0 }', 'from 1 to 10000000'],
  ['"a\\nb" = 1', 'unknown key `a\\u000ab`'],
  ['user = "root"', 'would defeat the sandbox'],
  ['user = "nobody"', 'shared with other programs'],
  ['user = "0"', 'got the number 0'],
  ['user = 1000', 'got the number 1000'],
  ['user = "a:b"', 'expected an account'],
  ['user = "-x"', 'expected an account'],
  [`user = "${'a'.repeat(32)}"`, 'expected an account'],
  ['description = "a\\nb"', 'one line'],
  ['directory = ""', 'an empty string'],
  ['directory = "/"', 'the whole machine'],
  ['directory = "~/shop"', "~ is the shell's"],
  ['directory = "/srv/../etc"', 'write "/etc"'],
  ['directory = "/srv//shop"', 'write "/srv/shop"'],
  ['directory = "/srv/a\\nb"', 'control characters'],
  ['directory = "/srv/a\\u0000b"', 'control characters'],
  ['directory = "/var/lib/holdfast/shop"', "Holdfast's own"],
  ['directory = 1', 'expected an absolute path'],
  ['snapshot = false', 'there is none: add `directory`'],
  ['snapshot = "no"', 'true or false'],
  ['processes = 0', 'from 1 to 256'],
  ['processes = 1.5', 'from 1 to 256'],
  ['processes = "2"', 'without quotes'],
  ['processes = inf', 'got Infinity'],
  ['processes = nan', 'got NaN'],
  ['processes = 1979-05-27', 'got a date'],
  ['env = []', 'expected a table'],
  ['env = { A = 1 }', 'put quotes around it, "1"'],
  ['env = { A = true }', 'put quotes around it, "true"'],
  ['env = { A = ["x"] }', 'got a list'],
  ['env = { "1A" = "x" }', 'cannot be the name of a variable'],
  ['env = { "A=B" = "x" }', 'cannot be the name of a variable'],
  ['env = { "" = "x" }', 'cannot be the name of a variable'],
  ['env = { A = "x\\u0000" }', 'control characters'],
  ['env = { A = "x\\r" }', 'control characters'],
  ...['LISTEN_FDS', 'LISTEN_PID', 'NOTIFY_SOCKET', 'WATCHDOG_USEC', 'HOLDFAST_APP', 'INVOCATION_ID', 'JOURNAL_STREAM', 'MAINPID', 'CREDENTIALS_DIRECTORY', 'STATE_DIRECTORY']
    .map((name): [string, string] => [`env = { ${name} = "x" }`, `${name} must not be set here`]),
  ['env_file = "shop.env"', 'a relative path'],
  ['watchdog = "10ms"', 'too short: the least is "1s"'],
  ['watchdog = 10', 'has no unit'],
  ['start = "60s"', 'expected a table'],
  ['start = { timeout = "0s" }', 'too short'],
  ['start = { timeout = "25h" }', 'too long: the most is "24h"'],
  ['start = { timeout = "60" }', 'add a unit, "60s"'],
  ['start = { timeout = "5m" }', 'write "5min"'],
  ['start = { timeout = "5 minutes" }', 'write "5min"'],
  ['start = { timeout = "infinity" }', 'there must be an end'],
  ['start = { timeout = "-5s" }', 'expected a time'],
  ['start = { timeout = "1e3s" }', 'expected a time'],
  ['start = { timeout = "" }', 'expected a time'],
  ['start = { settle = "11min" }', 'too long'],
  ['start = { data = true }', 'belongs to the top of the file'],
  ['start = { setle = "1s" }', 'did you mean `settle`?'],
  ['drain = { timeout = "2d" }', 'too long'],
  ['drain = { shutdown_timeout = "16min" }', '16min is longer than `timeout`, which is 15min: a shutdown of the machine would wait longer than a deploy; write "15min" or less'],
  ['drain = { timeout = "1min", hang_timeout = "61s" }', '1min 1s is longer than `timeout`, which is 1min: the drain is over before'],
  ['drain = { timeout = "1min", reconnect_window = "2min" }', 'come back after the end of the drain'],
  ['drain = { hang_timeout = "500ms" }', 'too short: the least is "1s"'],
  ['drain = { reconnect_rate = 0 }', 'from 1 to 1000000'],
  ['drain = { reconnect_rate = "100/s" }', 'without quotes'],
  ['drain = { shutdown_timout = "1s" }', 'did you mean `shutdown_timeout`?'],
  ['limits = { memory = 1024 }', 'has no unit'],
  ['limits = { memory = "1GB" }', 'write "1G"'],
  ['limits = { memory = "512MiB" }', 'write "512M"'],
  ['limits = { memory = "50%" }', 'a share of the machine'],
  ['limits = { memory = "1M" }', 'the least is "16M"'],
  ['limits = { memory = "infinity" }', 'expected a size'],
  ['limits = { tasks = 0 }', 'from 1 to'],
  ['limits = { tasks = "512" }', 'without quotes'],
  ['sandbox = { home = "yes" }', '"hidden", "read-only", "visible"'],
  ['sandbox = { write_paths = "/x" }', 'expected a list'],
  ['sandbox = { write_paths = ["/"] }', 'the whole machine'],
  ['sandbox = { write_paths = ["/var/lib"] }', '/var/lib/holdfast'],
  ['sandbox = { write_paths = ["-/x"] }', 'a relative path'],
  ['sandbox = { capabilities = ["net_raw"] }', 'CAP_NET_RAW'],
  ['sandbox = { capabilities = ["~CAP_NET_RAW"] }', 'got "~CAP_NET_RAW"'],
  ['sandbox = { capabilities = ["CAP_NET_RAW CAP_SYS_ADMIN"] }', 'a capability'],
  ['sandbox = { address_families = ["INET"] }', 'AF_PACKET'],
  ['sandbox = { system_calls = ["~@mount"] }', '@resources'],
  ['sandbox = { system_calls = ["a\\nUser=root"] }', 'got "a\\nUser=root"'],
]

describe('a mistake in one key', () => {
  test.each(mistakes)('%s', (line, expected) => {
    const message = refuse(write(`# above\n${line}`))
    expect(message).toMatch(/^holdfast\.toml:4: [^\n]+$/)
    if (typeof expected === 'string') expect(message).toContain(expected)
    else expect(message).toMatch(expected)
  })
})

test('a default above `timeout` is cut to it', () => {
  expect(read(write('', '[drain]\ntimeout = "10s"')).drain).toEqual({
    timeoutMs: 10_000, shutdownTimeoutMs: 10_000, hangTimeoutMs: 10_000, reconnectWindowMs: 10_000, reconnectRate: 100,
  })
})

describe('good values', () => {
  test('[health] path', () => {
    expect(read(write('', '[health]\npath = "/healthz?deep=1"')).health).toEqual({
      probe: { kind: 'http', path: '/healthz?deep=1', host: 'localhost', tls: false }, intervalMs: 1000, timeoutMs: 5000, successes: 1, deadlineMs: 60_000,
    })
    const text = '[health]\npath = "/"\nstatus = 204\nhost = "shop.example:443"\ntls = true\ninterval = "10ms"\ntimeout = "1s"\nsuccesses = 3\ndeadline = "100ms"'
    expect(read(write('', text)).health).toEqual({
      probe: { kind: 'http', path: '/', status: [204], host: 'shop.example:443', tls: true }, intervalMs: 10, timeoutMs: 1000, successes: 3, deadlineMs: 100,
    })
    expect(read(write('', '[health]\npath = "/"\nstatus = [200, 404]')).health?.probe).toMatchObject({ status: [200, 404] })
  })

  test('[health] command', () => {
    expect(read(write('', '[health]\ncommand = "./check.sh --deep"')).health?.probe).toEqual({
      kind: 'command', command: { text: './check.sh --deep', argv: ['/bin/sh', '-c', './check.sh --deep'] },
    })
    expect(read(write('', '[health]\ncommand = ["node", "check.js"]')).health?.probe).toMatchObject({ command: { argv: ['node', 'check.js'] } })
  })

  test.each([['0%', 0], ['0.5%', 0.005], ['2%', 0.02], ['12.345%', 0.12345], ['100%', 1]])('%s is a share', (text, expected) => {
    expect(read(write('', `[bake]\nfor = "0s"\nmax_errors = "${text}"\nmax_slowdown = 1.5`)).bake).toEqual({ forMs: 0, maxErrors: expected, maxSlowdown: 1.5, minRequests: 50 })
  })

  test('[preview], [admission], [notify]', () => {
    expect(read(write('', '[preview]\naddress = "127.0.0.1:8081"\nexpire = "2h"')).preview).toEqual({ address: { kind: 'tcp', host: '127.0.0.1', port: 8081 }, expireMs: 7_200_000 })
    expect(read(write('', '[admission]\nmemory = false\nreserve = "1G"\nmax_draining = 3\nmax_drain_age = "1d"')).admission).toEqual({
      memory: false, reserveBytes: 2 ** 30, maxDraining: 3, maxDrainAgeMs: 86_400_000,
    })
    expect(read(write('', '[notify]\ncommand = ["tell", "us"]')).notify).toEqual({ command: ['tell', 'us'], timeoutMs: 10_000 })
  })

  test('standby is what the preload gives, unless it is said', () => {
    const preloaded = (start: string): string => write('', start).replace('"node", ', '"node", "--import", "holdfast/register", ')
    expect(read(preloaded('')).start.standby).toBe(true)
    expect(read(preloaded('[start]\nstandby = false')).start.standby).toBe(false)
    expect(read(write('', '[start]\nstandby = true')).start.standby).toBe(true)
  })
})

describe('app', () => {
  const named = (name: string): string => write().replace('"shop"', JSON.stringify(name))

  test.each(['a', 'shop', 'my-shop2', 'a'.repeat(28)])('%s is a name', (name) => {
    expect(read(named(name)).app).toBe(name)
  })

  test.each([
    ['', 'such as "shop"'],
    ['Shop', 'write "shop"'],
    ['my_shop', 'write "my-shop"'],
    ['@me/my.shop', 'write "my-shop"'],
    ['2shop', 'write "shop"'],
    ['shop-', 'write "shop"'],
    ['-shop', 'write "shop"'],
    ['a'.repeat(29), 'at most 28'],
    ['shop@1', 'write "shop-1"'],
    ['../etc', 'write "etc"'],
    ['shop\n[Service]', 'cannot be the prefix'],
    ['%n', 'cannot be the prefix'],
    ['holdfast', 'is taken'],
    ['systemd', 'is taken'],
    ['systemd-x', 'is taken'],
    ['user', 'is taken'],
    ['getty', 'is taken'],
  ])('%j is refused', (name, expected) => {
    expect(refuse(named(name))).toContain(expected)
  })

  test('a number is none', () => expect(refuse(write().replace('"shop"', '5'))).toContain('got 5'))
})

describe('the docs of TOML, as people get them wrong', () => {
  test('a key of the top below [listen]', () => {
    expect(refuse(write('', 'processes = 2'))).toBe('holdfast.toml:6: listen.processes: `processes` belongs to the top of the file: move it above the first [table]')
    expect(refuse(write('', 'data = true'))).toContain('`data` belongs to the top')
    expect(read(write('', 'data = "127.0.0.1:9000"')).listen).toHaveLength(2)
  })

  test('a misspelt key is not missing besides', () => {
    expect(refuse(write().replace('command', 'comand')).split('\n')).toHaveLength(1)
  })

  test('[[listen]]', () => expect(refuse('app = "a"\ncommand = ["x"]\n[[listen]]\nhttp = 1')).toContain('holdfast.toml:3: listen: expected a table, got a list'))
})
