import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { parseConfig } from '../../src/config/load.js'
import type { Installation } from '../../src/units/installation.js'
import { renderUnits } from '../../src/units/render.js'
import { expectSuccess, freePort, holdfast, makeApp, mustRun, registerModule, root, run, show, systemdVersion, uniqueApp, units, waitFor, type TestApp } from './harness.js'

const installation: Installation = {
  scope: 'system', node: process.execPath, cli: join(root, 'dist/cli/main.js'), instances: '/var/lib/holdfast/shop/instances', run: '/run/holdfast/shop', homePaths: [],
}

/** Configurations of every kind that there is, without `app` and `command`. */
const kinds: Record<string, string> = {
  'a plain web app': '[listen]\nhttp = "127.0.0.1:8080"\n',
  'a static user': 'user = "daemon"\ndata = true\n[listen]\nhttp = 8080\n',
  'a worker': 'processes = 4\ndata = true\nwatchdog = "30s"\n',
  'unix listeners': '[listen]\nhttp = "/run/shop/http.sock"\nadmin = { address = "/run/a b/100%/ad\\"min.sock", mode = "0660", group = "daemon" }\n',
  'addresses of the network': '[listen]\nfour = "192.0.2.1:80"\nsix = "[2001:db8::1]:80"\nall = 81\n',
  'limits and times': '[start]\ntimeout = "1500ms"\n[drain]\ntimeout = "24h"\n[limits]\nmemory = "1.5G"\ntasks = 512\n',
  'nasty words': String.raw`description = "a 100% \"quoted\" 'word'; # \\n $HOME ${'${X}'} %n %% -x žluť"` + '\n[sandbox]\nwrite_paths = ["/srv/a b", "/srv/100%n", "/srv/q\\"uote", "/srv/back\\\\slash", "/srv/$HOME;#\'"]\n',
  'every relaxation': `[listen]\nhttp = 8080\n[sandbox]\nwrite_paths = ["/srv/shop"]\nhome = "visible"\ndevices = true\nprocesses = true\nnamespaces = true\nsetuid = true\ncapabilities = ["CAP_NET_RAW", "CAP_SYS_PTRACE"]\naddress_families = ["AF_PACKET"]\nsystem_calls = ["@resources", "bpf"]\n`,
  'a preview': '[listen]\nhttp = 8080\n[preview]\naddress = "192.0.2.1:8081"\n',
  'a home to read': '[sandbox]\nhome = "read-only"\n',
}

describe('systemd-analyze verify has nothing to say of', () => {
  const cases = Object.entries(kinds).flatMap(([kind, toml]) =>
    (['system', 'user'] as const).filter((scope) => scope === 'system' || !/user = |static/.test(toml)).map((scope) => [kind, scope, toml] as const),
  )
  it.each(cases)('%s (%s)', async (kind, scope, toml) => {
    const folder = `/tmp/verify-${scope}`
    await rm(folder, { recursive: true, force: true })
    await mkdir(folder)
    const config = parseConfig(`app = "shop"\ncommand = ["node", "server.js"]\n${toml}`, { file: kind })
    const homePaths = kind === 'a plain web app' ? ['/root/.nvm/versions/node/v22.1.0'] : []
    const files = renderUnits(config, { ...installation, scope, homePaths })
    // An instance, as a template alone is not looked into.
    const names = files.map(({ name }) => name.replace('@.', '@1.1.'))
    for (const [i, { text }] of files.entries()) await writeFile(join(folder, names[i] as string), text)
    const strict = systemdVersion >= 250 ? ['--recursive-errors=no'] : []
    const user = scope === 'user' ? ['--user'] : []
    const { status, stdout, stderr } = await run('systemd-analyze', [...user, 'verify', '--man=no', ...strict, ...names.map((name) => join(folder, name))], { env: { XDG_RUNTIME_DIR: folder } })
    expect(`${stdout}${stderr}`).toBe('')
    expect(status).toBe(0)
  })
})

/** Answers what it is asked about its own process. */
const mirror = `
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import http from 'node:http'
import net from 'node:net'
const attempt = (act) => { try { return act() ?? 'done' } catch (error) { return error.code ?? String(error) } }
const acts = {
  argv: () => process.argv.slice(2),
  env: () => process.env,
  uid: () => process.getuid(),
  write: (path) => { fs.writeFileSync(path, 'x'); fs.rmSync(path) },
  read: (path) => fs.readFileSync(path, 'utf8'),
  list: (path) => fs.readdirSync(path),
  run: (file) => execFileSync(file, { encoding: 'utf8' }),
  chown: (path) => fs.chownSync(path, 0, 0),
}
const handler = (request, response) => {
  const { act, argument } = Object.fromEntries(new URL(request.url, 'http://x').searchParams)
  response.end(JSON.stringify(attempt(() => acts[act](argument))))
}
http.createServer(handler).listen(process.env.MIRROR ?? process.env.PORT)
`

interface Mirror extends TestApp {
  ask(act: string, argument?: string): Promise<any>
  instance: string
}

async function installMirror({ prefix, command = [], top = '', more = '', files = {} }: { prefix: string; command?: string[]; top?: string; more?: string; files?: Record<string, string> }): Promise<Mirror> {
  const name = uniqueApp(prefix)
  const port = await freePort()
  const app = await makeApp({
    name,
    files: { 'mirror.mjs': mirror, ...files },
    config: `command = ${JSON.stringify(['node', '--import', registerModule, 'mirror.mjs', ...command])}\n${top}\n[start]\nsettle = "100ms"\n[listen]\nhttp = "127.0.0.1:${port}"\n${more}`,
  })
  expectSuccess(await holdfast('install', app.config))
  return {
    ...app,
    instance: `${name}@1.1.service`,
    ask: async (act, argument = '') => (await fetch(`http://127.0.0.1:${port}/?${new URLSearchParams({ act, argument })}`)).json(),
  }
}

const nasty = [
  '%', '%%', '%n', '%i', '%{x}', '"', "'", '\\', '\\\\', 'a\\', '\\n', '\\x41', 'two words', ' leading', 'trailing ', '\ttab', 'line\nfeed', '\n', 'a\n\nb\n',
  '$HOME', '${HOME}', '$$', '$', '`id`', '$(id)', '-x', '--', '; id', '#', '# no comment', ';', '&', '|', '*', '~', '!', '@', '+', ':', '=', 'a=b', '{}',
  'žluťoučký kůň', '日本', '🐎', '\u00a0', '\u2028', 'ExecStartPost=/bin/false', 'x\nExecStartPost=/bin/false\n[Service]\nUser=root',
]

describe('values as nasty as they come', () => {
  it('reach the app byte by byte, as arguments, as variables and from env_file', async () => {
    const secrets = '/etc/hf-nasty.env'
    // What the format takes as it stands, in double quotes with backslashes, and over lines.
    const written = `# a comment\nPLAIN=as it is\nPERCENT=100%n %% $HOME \nSINGLE='a "b" \\ $c'\nDOUBLE="a \\"b\\" \\\\ \\$c"\nLINES="one\ntwo"\nEMPTY=\nUTF=žluť 🐎\n`
    await writeFile(secrets, written, { mode: 0o600 })
    onTestFinished(() => rm(secrets))
    const env = Object.entries(nasty).map(([i, value]) => [`NASTY_${i}`, value] as const)
    const top = `description = "100% %n \\"$HOME\\" \${X} ; # \\\\x"\nenv_file = "${secrets}"\n[env]\n${env.map(([name, value]) => `${name} = ${tomlOf(value)}`).join('\n')}`
    const app = await installMirror({ prefix: 'nasty', command: nasty, top })

    expect(await app.ask('argv')).toEqual(nasty)
    const seen = (await app.ask('env')) as Record<string, string>
    expect(env.map(([name]) => seen[name])).toEqual(nasty)
    const { PLAIN, PERCENT, SINGLE, DOUBLE, LINES, EMPTY, UTF } = seen
    expect({ PLAIN, PERCENT, SINGLE, DOUBLE, LINES, EMPTY, UTF }).toEqual({
      PLAIN: 'as it is', PERCENT: '100%n %% $HOME', SINGLE: 'a "b" \\ $c', DOUBLE: 'a "b" \\ $c', LINES: 'one\ntwo', EMPTY: '', UTF: 'žluť 🐎',
    })

    // The kernel's own record: what systemd and the shell really passed on.
    const { MainPID } = await show(app.instance, 'MainPID')
    const words = async (file: string): Promise<string[]> => (await readFile(`/proc/${MainPID}/${file}`, 'utf8')).split('\0').slice(0, -1)
    expect((await words('cmdline')).slice(4)).toEqual(nasty)
    const environ = await words('environ')
    for (const [name, value] of env) expect(environ).toContain(`${name}=${value}`)

    // And no directive came with it.
    const { Description, ExecStartPost, ExecStartPre, User } = await show(app.instance, 'Description', 'ExecStartPost', 'ExecStartPre', 'User')
    expect({ Description, ExecStartPost, ExecStartPre, User }).toEqual({ Description: `${app.name}, generation and process 1.1`, ExecStartPost: '', ExecStartPre: '', User: `hf-${app.name}` })
    expect(await show(`${app.name}.service`, 'Description', 'ExecStartPost')).toEqual({ Description: '100% %n "$HOME" ${X} ; # \\x', ExecStartPost: '' })
    expect(await mustRun('systemctl', ['cat', app.instance])).not.toContain('false')
  })

  it('as folders to write to, and as the path of a socket', async () => {
    const places = ['a b', '100%n', 'q"uote', "apos'trophe", 'back\\slash', '$HOME ${X}', '; # x', '-dash', 'žluť', 'colon:colon', '+plus'].map((name) => `/srv/hf-nasty/${name}`)
    for (const place of places) await mkdir(place, { recursive: true, mode: 0o777 })
    await mustRun('chmod', ['-R', '0777', '/srv/hf-nasty'])
    onTestFinished(() => rm('/srv/hf-nasty', { recursive: true }))
    const path = '/run/hf nasty/100%n "$HOME" ; #/so\\cket'
    const app = await installMirror({
      prefix: 'paths', more: `second = ${JSON.stringify(path)}\n[sandbox]\nwrite_paths = ${JSON.stringify(places)}\n`,
      files: { 'mirror.mjs': `${mirror}\nhttp.createServer(handler).listen(${JSON.stringify(path)})\n` },
    })
    const { ReadWritePaths } = await show(app.instance, 'ReadWritePaths')
    expect(ReadWritePaths).not.toBe('')
    for (const place of places) expect([place, await app.ask('write', `${place}/file`)]).toEqual([place, 'done'])
    expect(await app.ask('write', '/srv/hf-nasty/file')).toBe('EROFS')
    expect((await show(`${app.name}-second.socket`, 'Listen')).Listen).toBe(`${path.replaceAll(/["\\]/g, '\\$&')} (Stream)`)
    expect(await mustRun('curl', ['--silent', '--fail', '--unix-socket', path, 'http://x/?act=uid'])).toMatch(/^\d+$/)
  })
})

describe('the sandbox of a running instance', () => {
  let strict: Mirror
  // One app for all that looks at the default; it is gone with the file.
  beforeAll(async () => {
    await mkdir('/home/hf-someone', { recursive: true })
    await writeFile('/home/hf-someone/diary', 'secret')
    await mkdir('/srv/hf-open', { recursive: true })
    await mustRun('chmod', ['0777', '/srv/hf-open'])
  })
  afterAll(async () => {
    await rm('/home/hf-someone', { recursive: true })
    await rm('/srv/hf-open', { recursive: true })
  })

  it('is rated 1.5 or better for a plain web app, and serves from the inherited socket', async () => {
    strict = await installMirror({ prefix: 'strict' })
    const text = await mustRun('systemd-analyze', ['security', '--no-pager', strict.instance])
    const exposure = Number(/Overall exposure level for .*: ([\d.]+)/.exec(text)?.[1])
    expect(exposure).toBeGreaterThan(0)
    expect(exposure).toBeLessThanOrEqual(1.5)

    expect(await strict.ask('uid')).toBeGreaterThan(60_000)
    // It may write to its own /tmp and nowhere else, and sees neither homes nor others' processes.
    expect(await strict.ask('write', '/tmp/x')).toBe('done')
    for (const place of ['/srv/hf-open/x', '/etc/x', '/usr/x', '/x', `/var/lib/holdfast/${strict.name}/x`]) expect([place, await strict.ask('write', place)]).toEqual([place, 'EROFS'])
    expect(await strict.ask('list', '/home')).toEqual(expect.not.arrayContaining(['hf-someone']))
    expect(['EACCES', 'ENOENT']).toContain(await strict.ask('read', '/home/hf-someone/diary'))
    expect(await strict.ask('read', '/proc/1/comm')).toBe('ENOENT')
    expect(await strict.ask('list', '/dev')).not.toContain('console')
    expect(await strict.ask('chown', '/tmp')).toBe('EPERM')
    expect(await strict.ask('read', '/proc/self/status')).toMatch(/^NoNewPrivs:\t1\n[^]*^Seccomp:\t2/m)
    expect(await strict.ask('read', '/proc/self/status')).toMatch(/^CapBnd:\t0+$/m)
    expect(await strict.ask('read', `/var/lib/holdfast/${strict.name}/instances/1.1/environment`)).toBe('EACCES')
  })

  it.each([
    ['write_paths = ["/srv/hf-open"]', 'write', '/srv/hf-open/x', 'done'],
    ['home = "read-only"', 'read', '/home/hf-someone/diary', 'secret'],
    ['processes = true', 'read', '/proc/1/comm', 'systemd\n'],
  ])('opens what %s says, and only that', async (key, act, argument, expected) => {
    const app = await installMirror({ prefix: 'open', more: `[sandbox]\n${key}\n` })
    expect(await app.ask(act, argument)).toBe(expected)
    const shut: [string, string, string][] = [['write', '/srv/hf-open/x', 'EROFS'], ['write', '/etc/x', 'EROFS'], ['read', '/proc/1/comm', 'ENOENT']]
    for (const [other, path, error] of shut.filter((one) => one[1] !== argument)) expect([path, await app.ask(other, path)]).toEqual([path, error])
    expect(await app.ask('write', '/home/hf-someone/x')).not.toBe('done')
  })

  it('holds capabilities and devices, where these are asked for', async () => {
    const app = await installMirror({ prefix: 'caps', more: '[sandbox]\ncapabilities = ["CAP_CHOWN"]\ndevices = true\nnamespaces = true\nsystem_calls = ["@resources"]\naddress_families = ["AF_PACKET"]\n' })
    const status = (await app.ask('read', '/proc/self/status')) as string
    expect(status).toMatch(/^CapEff:\t0+1$/m)
    expect(await app.ask('list', '/dev')).toContain('console')
    const { RestrictNamespaces, RestrictAddressFamilies } = await show(app.instance, 'RestrictNamespaces', 'RestrictAddressFamilies')
    expect(RestrictNamespaces).toBe('no')
    expect(RestrictAddressFamilies).toContain('AF_PACKET')
  })

  it('runs as a static user with its own data and code in place, who alone may gain privileges and write to homes', async () => {
    await mustRun('chmod', ['0777', '/home/hf-someone'])
    const app = await installMirror({ prefix: 'static', top: 'user = "daemon"\ndata = true\nsnapshot = false', more: '[sandbox]\nsetuid = true\nhome = "visible"\n' })
    await mustRun('install', ['--mode=4755', '/usr/bin/id', '/srv/hf-open/id'])
    expect(await app.ask('run', '/srv/hf-open/id')).toMatch(/euid=0\(root\)/)
    expect(await app.ask('read', '/proc/self/status')).toMatch(/^NoNewPrivs:\t0$/m)
    expect(await app.ask('write', '/home/hf-someone/x')).toBe('done')
    expect(await app.ask('uid')).toBe(Number(await mustRun('id', ['-u', 'daemon'])))
    const { STATE_DIRECTORY } = (await app.ask('env')) as Record<string, string>
    expect(STATE_DIRECTORY).toBe(`/var/lib/holdfast/${app.name}/data`)
    expect(await app.ask('write', `${STATE_DIRECTORY}/x`)).toBe('done')
    expect(await app.ask('write', `/srv/${app.name}/x`)).toBe('EROFS')
  })
})

it('no test has left an instance', async () => {
  await waitFor('all are gone', async () => (await units('*@*.*.service', 'active')).filter((name) => /^(nasty|paths|strict|open|caps|static)-/.test(name)).length === 0)
  expect((await readdir('/var/lib/holdfast').catch(() => [])).filter((name) => /^(nasty|paths)-/.test(name))).toEqual([])
})

/** As TOML writes a string, with every character escaped that could be taken for something else. */
const tomlOf = (value: string): string => `"${[...value].map((c) => (/[A-Za-z0-9 ]/.test(c) ? c : `\\U${(c.codePointAt(0) as number).toString(16).padStart(8, '0')}`)).join('')}"`
