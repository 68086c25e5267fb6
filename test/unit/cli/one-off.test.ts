import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { splitCommand } from '../../../src/cli/run.js'
import { settingsOf } from '../../../src/deploy/instance-settings.js'
import { planOneOff } from '../../../src/deploy/one-off.js'
import { expandSpecifiers, parseUnitText } from '../../../src/deploy/unit-settings.js'
import { HoldfastError } from '../../../src/errors.js'
import { pathsOf, placesOf, type AppPaths } from '../../../src/release/paths.js'
import type { Systemd } from '../../../src/systemd/systemd.js'
import { renderUnits } from '../../../src/units/render.js'
import { parseConfig } from '../../../src/config/parse.js'

const folders: string[] = []
afterEach(() => folders.splice(0).forEach((folder) => rmSync(folder, { recursive: true })))

describe('the text of a unit', () => {
  it('is read with comments, continued lines, resets and what is no assignment', () => {
    const text = '# /etc/x\n[Unit]\nAfter=a\n[Service]\n; no\n Type = notify\nReadOnlyPaths=/srv \\\n# in between\n  /opt\nX=\nnothing\n[X-Other]\nA=b=c'
    expect(parseUnitText(text)).toEqual([
      { section: 'Unit', name: 'After', value: 'a' },
      { section: 'Service', name: 'Type', value: 'notify' },
      { section: 'Service', name: 'ReadOnlyPaths', value: '/srv  /opt' },
      { section: 'Service', name: 'X', value: '' },
      { section: 'X-Other', name: 'A', value: 'b=c' },
    ])
  })
  it('has specifiers, each expanded once', () => {
    expect(expandSpecifiers('100%% of %i, %%i', { i: '%n' })).toBe('100% of %n, %i')
    expect(expandSpecifiers('%b', { i: '1' })).toBeUndefined()
    expect(expandSpecifiers('end %', { i: '1' })).toBeUndefined()
  })
})

describe('the settings of a one-off command', () => {
  const settings = (change: string, dropIn = '') => {
    const config = parseConfig(`app = "shop"\ncommand = ["node", "x.js"]\n${change}\n`, { file: 'x', folder: '/srv/shop' })
    const units = renderUnits(config, { scope: 'system', node: '/usr/bin/node', cli: '/usr/lib/holdfast/main.js', homePaths: [], instances: '/var/lib/holdfast/shop/instances', run: '/run/holdfast/shop' })
    return settingsOf(`${units.at(-1)?.text}\n${dropIn}`, pathsOf(placesOf('system'), 'shop'), 'shop@4.1.service')
  }
  it('are all of the template but those that make it an instance', () => {
    const names = settings('data = true\nwatchdog = "30s"\n[limits]\nmemory = "1G"').map((setting) => setting.slice(0, setting.indexOf('=')))
    expect(new Set(names)).toEqual(new Set([
      'WorkingDirectory', 'EnvironmentFile', 'User', 'DynamicUser', 'StateDirectory', 'UMask', 'MemoryMax', 'ProtectSystem', 'ProtectHome', 'PrivateTmp',
      'PrivateDevices', 'PrivateUsers', 'ProtectProc', 'ProtectClock', 'ProtectControlGroups', 'ProtectHostname', 'ProtectKernelLogs',
      'ProtectKernelModules', 'ProtectKernelTunables', 'RemoveIPC', 'NoNewPrivileges', 'CapabilityBoundingSet', 'AmbientCapabilities',
      'RestrictAddressFamilies', 'RestrictNamespaces', 'RestrictRealtime', 'RestrictSUIDSGID', 'LockPersonality', 'SystemCallArchitectures',
      'SystemCallFilter', 'SystemCallErrorNumber',
    ]))
  })
  it('name the live instance’s folder, and keep each line of a list and its order', () => {
    const all = settings('')
    expect(all).toContain('WorkingDirectory=/var/lib/holdfast/shop/instances/4.1/release')
    expect(all).toContain('EnvironmentFile=-/var/lib/holdfast/shop/instances/4.1/secrets')
    expect(all.filter((setting) => setting.startsWith('SystemCallFilter='))).toEqual(['SystemCallFilter=@system-service', 'SystemCallFilter=~@privileged', 'SystemCallFilter=~@resources'])
  })
  it('keep quotes and lose the escaping of %', () => {
    expect(settings('[sandbox]\nwrite_paths = [\'/srv/50% "off"\']')).toContain('ReadWritePaths="/srv/50% \\"off\\""')
  })
  it('follow the admin’s drop-ins, but for a specifier that cannot be known', () => {
    expect(settings('', '[Service]\nEnvironment=A=%i\nMemoryMax=\nTimeoutStopSec=1\n').slice(-2)).toEqual(['Environment=A=4.1', 'MemoryMax='])
    expect(() => settings('', '[Service]\nEnvironment=A=%b\n')).toThrow(/Environment=A=%b of shop@4\.1\.service has a specifier/)
  })
})

describe('the plan', () => {
  const systemd = { cat: async () => '[Service]\nUser=hf-shop\n' } as unknown as Systemd
  const app = (live: boolean): AppPaths => {
    const state = mkdtempSync(join(tmpdir(), 'holdfast-test-'))
    folders.push(state)
    const paths = pathsOf({ ...placesOf('system'), state }, 'shop')
    mkdirSync(join(paths.instances, '4.1/release'), { recursive: true })
    if (live) writeFileSync(join(paths.state, 'state.json'), '{"version":1,"generation":4,"live":{"generation":4,"release":"r4","processes":1,"since":""}}')
    return paths
  }
  it('is a systemd-run of which nothing is expanded', async () => {
    const { unit, args } = await planOneOff(app(true), systemd, ['echo', '$HOME', '50%', '--'], { terminal: false })
    expect(unit).toMatch(/^holdfast-run-shop-[0-9a-f]{8}\.service$/)
    expect(args).toEqual([
      '--quiet', '--collect', '--wait', '--pipe', `--unit=${unit}`, '--description=A command with release r4 of shop', '--property=User=hf-shop',
      '--property=UnsetEnvironment=HOLDFAST_GENERATION HOLDFAST_INSTANCE HOLDFAST_LISTEN HOLDFAST_DRAIN_TIMEOUT_MS HOLDFAST_SHUTDOWN_TIMEOUT_MS HOLDFAST_HANG_TIMEOUT_MS HOLDFAST_RECONNECT_WINDOW_MS HOLDFAST_RECONNECT_RATE HOLDFAST_HOLD_FILE HOLDFAST_PRIVATE_SOCKET HOLDFAST_PRIVATE_LISTENER HOLDFAST_REPORT_SOCKET HOLDFAST_STOP_FILE',
      '--', '/bin/sh', '-c', 'trap : HUP INT TERM; "$$@"; exit $$?', 'holdfast', 'echo', '$$HOME', '50%', '--',
    ])
    expect((await planOneOff(app(true), systemd, ['sh'], { terminal: true })).args).toContain('--pty')
  })
  it('needs a live release', async () => {
    const error: unknown = await planOneOff(app(false), systemd, ['sh'], { terminal: false }).catch((error: unknown) => error)
    expect(error).toBeInstanceOf(HoldfastError)
    expect((error as HoldfastError).message).toBe("shop has no live release yet, and a command runs with the live release's code")
  })
})

it('options may stand behind the app’s name, up to the command', () => {
  expect(splitCommand(['--', 'node', '--', '-e'])).toEqual({ command: ['node', '--', '-e'] })
  expect(splitCommand(['node', '--version'])).toEqual({ command: ['node', '--version'] })
  expect(splitCommand(['--user', '--dry-run', '--', '--user'])).toEqual({ user: true, dryRun: true, command: ['--user'] })
  expect(splitCommand([])).toEqual({ command: [] })
  expect(() => splitCommand(['--bogus', 'x'])).toThrow('unknown option --bogus')
})
