import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { loadConfig, parseConfig } from '../../../src/config/load.js'
import type { Installation } from '../../../src/units/installation.js'
import { renderInstanceDropIn, renderUnits } from '../../../src/units/render.js'

const installation: Installation = {
  scope: 'system',
  node: '/usr/bin/node',
  cli: '/usr/lib/node_modules/holdfast/dist/cli/main.js',
  instances: '/var/lib/holdfast/shop/instances', run: '/run/holdfast/shop',
  homePaths: [],
}
const example = join(import.meta.dirname, '../../../units/example')

const render = (toml: string, over: Partial<Installation> = {}): Map<string, string> => {
  const config = parseConfig(`app = "shop"\ncommand = ["node", "server.js"]\n${toml}`, { file: 'holdfast.toml' })
  return new Map(renderUnits(config, { ...installation, ...over }).map(({ name, text }) => [name, text]))
}
const settings = (text = ''): string[] => text.split('\n').filter((line) => line !== '' && !/^[#[]/.test(line))

// `npx vitest run -u --project unit test/unit/units` writes the set anew.
describe('the reference set', () => {
  const units = renderUnits(loadConfig(join(example, 'holdfast.toml')), installation)

  it('has no file too many or too few', () => {
    expect(units.map(({ name }) => name).sort()).toEqual(readdirSync(example).filter((name) => name !== 'holdfast.toml').sort())
  })

  it.each(units.map(({ name, text }) => [name, text]))('%s is what the code renders', async (name, text) => {
    await expect(text).toMatchFileSnapshot(join(example, name))
  })
})

it('gives a worker without listeners neither sockets nor an activation', () => {
  const units = render('')
  expect([...units.keys()]).toEqual(['shop.service', 'shop-drain.service', 'shop-shutdown.service', 'shop-after-drain.service', 'shop@.socket', 'shop@.service'])
  // The sockets of single instances come from a drop-in of each.
  const own = [...units].filter(([name]) => name !== 'shop@.socket').map(([, text]) => text)
  expect(settings(own.join('\n')).join('\n')).not.toMatch(/socket|activate/i)
})

it('leaves out what is not set', () => {
  const template = settings(render('').get('shop@.service'))
  for (const name of ['MemoryMax', 'TasksMax', 'WatchdogSec', 'StateDirectory', 'ReadWritePaths', 'BindReadOnlyPaths']) {
    expect(template.filter((line) => line.startsWith(`${name}=`))).toEqual([])
  }
})

it('runs as a static account where one is given', () => {
  const template = settings(render('user = "deploy"').get('shop@.service'))
  expect(template).toContain('User=deploy')
  expect(template).not.toContain('DynamicUser=yes')
})

it.each([
  ['write_paths = ["/srv/up loads", "/srv/100%"]', ['ReadWritePaths="/srv/up loads" "/srv/100%%"']],
  ['home = "read-only"', ['ProtectHome=read-only']],
  ['home = "visible"', ['ProtectHome=no']],
  ['devices = true', ['PrivateDevices=no']],
  ['processes = true', ['ProtectProc=default']],
  ['namespaces = true', ['RestrictNamespaces=no', 'SystemCallFilter=@mount chroot']],
  ['setuid = true', ['NoNewPrivileges=no', 'PrivateUsers=no', 'PrivateDevices=no']],
  ['capabilities = ["CAP_NET_RAW"]', ['CapabilityBoundingSet=CAP_NET_RAW', 'AmbientCapabilities=CAP_NET_RAW', 'PrivateUsers=no']],
  ['address_families = ["AF_PACKET"]', ['RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET']],
  ['system_calls = ["@resources"]', ['SystemCallFilter=@resources']],
])('relaxes the sandbox by %s, and nothing else', (key, expected) => {
  const strict = settings(render('').get('shop@.service'))
  const relaxed = settings(render(`[sandbox]\n${key}`).get('shop@.service'))
  expect(relaxed.filter((line) => !strict.includes(line))).toEqual(expect.arrayContaining(expected))
  expect(relaxed.filter((line) => !strict.includes(line))).toHaveLength(expected.length)
})

it('has no filter of system calls beside setuid programs, as systemd would forbid these then', () => {
  const template = settings(render('[sandbox]\nsetuid = true').get('shop@.service')).join('\n')
  expect(template).not.toMatch(/^(?:SystemCall|Restrict|LockPersonality|ProtectKernel|ProtectClock|ProtectHostname|CapabilityBoundingSet)/m)
})

it('takes a home folder with any characters in its name for one word', () => {
  const template = settings(render('', { scope: 'user', instances: '/home/a b/100%/$x "y"/instances' }).get('shop@.service'))
  expect(template).toContain('ExecStart=/bin/sh "/home/a b/100%%/$$x \\"y\\"/instances/%i/command"')
  expect(template).toContain('WorkingDirectory=/home/a b/100%%/$x "y"/instances/%i/release')
})

it('shows node alone of the home folders, where it lies there', () => {
  const template = settings(render('', { homePaths: ['/root/.nvm/versions/node/v22.1.0'] }).get('shop@.service'))
  expect(template).toContain('ProtectHome=tmpfs')
  expect(template).toContain('BindReadOnlyPaths="/root/.nvm/versions/node/v22.1.0"')
})

it('binds an address of the network before the machine has it, and a loopback one as ever', () => {
  const units = render('[listen]\npublic = "192.0.2.1:80"\nlocal = "127.0.0.1:80"\nall = 81\nsix = "[2001:db8::1]:80"')
  expect(settings(units.get('shop-public.socket'))).toContain('FreeBind=yes')
  expect(settings(units.get('shop-six.socket'))).toEqual(expect.arrayContaining(['ListenStream=[2001:db8::1]:80', 'FreeBind=yes']))
  expect(settings(units.get('shop-local.socket'))).not.toContain('FreeBind=yes')
  expect(settings(units.get('shop-all.socket'))).toContain('ListenStream=81')
})

it.each([
  ['without the preload', '', '[drain]\ntimeout = "5min"', '305s'],
  ['with it', 'NODE_OPTIONS = "--import holdfast/register"', '[drain]\ntimeout = "5min"', '125s'],
  ['with it and another limit', 'NODE_OPTIONS = "--import holdfast/register"', '[drain]\nhang_timeout = "1500ms"', '6500ms'],
  ['with it and a short drain', 'NODE_OPTIONS = "--import holdfast/register"', '[drain]\ntimeout = "10s"', '15s'],
])('gives a stop the time of a drain, or until it counts as hung: %s', (_, env, drain, expected) => {
  const toml = `env = { ${env} }\n${drain}`
  expect(settings(render(toml).get('shop@.service'))).toContain(`TimeoutStopSec=${expected}`)
  const config = parseConfig(`app = "shop"\ncommand = ["node", "server.js"]\n${toml}`, { file: 'holdfast.toml' })
  expect(settings(renderInstanceDropIn(config, { app: 'shop', isPrivate: false }))).toEqual(['NonBlocking=yes', `TimeoutStopSec=${expected}`])
  expect(settings(renderInstanceDropIn(config, { app: 'shop', isPrivate: true }))).toEqual(['Sockets=shop@%i.socket', 'NonBlocking=yes', `TimeoutStopSec=${expected}`])
})

it.each([
  ['node', 'command = ["/usr/bin/node", "server.js"]', true],
  ['a command that has the runtime', 'command = ["./server"]\n[start]\nstandby = true', true],
  ['another program, whose accept(2) may have to wait', 'command = ["python3", "server.py"]', false],
])('keeps the sockets of %s from blocking those who serve: %s', (_, toml, expected) => {
  const config = parseConfig(`app = "shop"\n${toml}\n[listen]\nhttp = 8080\n`, { file: 'holdfast.toml' })
  expect(settings(renderInstanceDropIn(config, { app: 'shop', isPrivate: false })).includes('NonBlocking=yes')).toBe(expected)
})

it('orders the unit of a shutdown after nothing: its start would wait for what it is to end', () => {
  const unit = settings(render('[listen]\nhttp = 8080').get('shop-shutdown.service'))
  expect(unit.filter((line) => /^(After|Before|Requires|Wants|PartOf|BindsTo)=/.test(line))).toEqual([])
  expect(unit).toEqual(expect.arrayContaining(['DefaultDependencies=no', 'Slice=-.slice', 'WantedBy=shutdown.target']))
})

describe('a preview', () => {
  const listen = '[listen]\nhttp = 8080\n'
  const preview = '[preview]\naddress = "192.0.2.1:8090"\n'

  it('has units where it has an address, and none else', () => {
    expect([...render(listen).keys()].filter((name) => name.includes('preview'))).toEqual([])
    expect(settings([...render(listen).values()].join('\n')).join('\n')).not.toMatch(/preview/i)
    const units = render(listen + preview)
    expect(settings(units.get('shop-preview.socket'))).toEqual(expect.arrayContaining(['ListenStream=192.0.2.1:8090', 'FileDescriptorName=preview', 'FreeBind=yes', 'TriggerLimitIntervalSec=0', 'WantedBy=sockets.target']))
    expect(settings(units.get('shop-preview.socket')).filter((line) => line.startsWith('Service='))).toEqual([])
    expect(settings(render(`${listen}[preview]\naddress = "/run/shop/next.sock"`).get('shop-preview.socket'))).toEqual(expect.arrayContaining(['SocketMode=0600', 'RemoveOnStop=yes']))
  })

  it('comes and goes with the app, and is nothing to its instances', () => {
    const units = render(listen + preview)
    for (const line of ['Wants=shop-drain.service shop-http.socket shop-preview.socket', 'After=shop-drain.service shop-http.socket shop-preview.socket network.target', 'Also=shop-http.socket shop-preview.socket']) {
      expect(settings(units.get('shop.service'))).toContain(line)
    }
    for (const name of ['shop@.service', 'shop-http.socket', 'shop-activate.service']) expect(settings(units.get(name)).join('\n')).not.toContain('preview')
  })

  it('needs no more of a user’s manager than that may do', () => {
    const [system, user] = (['system', 'user'] as const).map((scope) => settings(render(listen + preview, { scope }).get('shop-preview.service')))
    const rights = /^(?:Private|Protect|CapabilityBoundingSet)/
    expect(system?.filter((line) => rights.test(line))).toEqual(expect.arrayContaining(['ProtectSystem=strict', 'PrivateTmp=yes', 'CapabilityBoundingSet=']))
    expect(user?.filter((line) => rights.test(line))).toEqual([])
    for (const unit of [system, user]) expect(unit).toEqual(expect.arrayContaining(['NoNewPrivileges=yes', 'RestrictAddressFamilies=AF_UNIX', 'PartOf=shop-preview.socket']))
    expect(user?.find((line) => line.startsWith('ExecStart='))).toContain('--user preview-relay shop')
  })
})

it('asks of a user’s manager only what it may do', () => {
  const units = render('[listen]\nhttp = 8080', { scope: 'user' })
  const template = settings(units.get('shop@.service'))
  expect(template.filter((line) => /^(User|DynamicUser|Private|Protect|ReadWrite|Bind|Capability|Ambient|RemoveIPC)/.test(line))).toEqual([])
  expect(units.get('shop.service')).toContain('main.js" --user handover shop')
  expect(units.get('shop.service')).toContain('WantedBy=default.target')
})

it('puts no value where it could become a directive', () => {
  const units = render('description = "a % of $HOME \\"b\\""')
  expect(settings(units.get('shop.service'))).toContain('Description=a %% of $HOME "b"')
  expect(() => render('', { instances: '/home/a\nExecStart=/bin/evil/instances' })).toThrow(/cannot stand/)
})
