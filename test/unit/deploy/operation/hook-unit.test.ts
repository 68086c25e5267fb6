import { describe, expect, it } from 'vitest'
import { parseConfig } from '../../../../src/config/parse.js'
import { describeHookFailure } from '../../../../src/deploy/operation/hook-failure.js'
import { hookArguments, hookVariables, type CommandUnit } from '../../../../src/deploy/operation/hook-unit.js'
import { settingsOf } from '../../../../src/deploy/instance-settings.js'
import { pathsOf, placesOf } from '../../../../src/release/paths.js'
import { renderInstanceDropIn, renderUnits } from '../../../../src/units/render.js'
import { unitState } from '../unit-state.js'

const hook: CommandUnit = {
  unit: 'shop-hook.service', description: 'x', folder: '/var/lib/holdfast/shop/staging/d1/code', writable: true,
  environmentFiles: ['/run/holdfast/shop/hook/environment', '/etc/shop.env'], output: '/run/holdfast/shop/hook/output', timeoutMs: 900_000, stopMs: 10_000,
}

function planned(over: Partial<CommandUnit> = {}, { scope = 'system', config = '', dropIn = '', argv = ['/bin/sh', '-c', 'npm ci'] }: { scope?: 'system' | 'user'; config?: string; dropIn?: string; argv?: string[] } = {}) {
  const parsed = parseConfig(`app = "shop"\ncommand = ["node", "x.js"]\n${config}\n`, { file: 'x', folder: '/srv/shop' })
  const paths = pathsOf(placesOf(scope, { HOME: '/home/me', XDG_RUNTIME_DIR: '/run/user/1' }), 'shop')
  const units = renderUnits(parsed, { scope, node: '/usr/bin/node', cli: '/usr/lib/holdfast/main.js', homePaths: [], instances: paths.instances, run: paths.run })
  const settings = settingsOf(`${units.at(-1)?.text}\n${dropIn}`, paths, 'shop@0.1.service')
  const args = hookArguments({ ...hook, ...over }, argv, settings, paths)
  return { args, settings: args.filter((arg) => arg.startsWith('--property=')).map((arg) => arg.slice('--property='.length)), instances: paths.instances }
}
const valuesOf = (settings: string[], name: string): string[] => settings.filter((setting) => setting.startsWith(`${name}=`)).map((setting) => setting.slice(name.length + 1))

describe('the unit of a hook', () => {
  it('has the sandbox of an instance, and none of its files', () => {
    const { settings, instances } = planned({}, { config: 'data = true\n[limits]\nmemory = "1G"' })
    expect(settings.filter((setting) => setting.includes(instances))).toEqual([])
    for (const setting of ['ProtectSystem=strict', 'NoNewPrivileges=yes', 'DynamicUser=yes', 'User=hf-shop', 'StateDirectory=holdfast/shop/data', `MemoryMax=${2 ** 30}`, 'Type=oneshot']) {
      expect(settings).toContain(setting)
    }
    expect(valuesOf(settings, 'EnvironmentFile')).toEqual(hook.environmentFiles)
    expect(valuesOf(settings, 'WorkingDirectory')).toEqual([hook.folder])
    expect(valuesOf(settings, 'Sockets')).toEqual([])
    expect(valuesOf(settings, 'TimeoutStartSec')).toEqual(['900s'])
    expect(valuesOf(settings, 'CacheDirectory')).toEqual(['holdfast/shop'])
  })
  it('leaves the last word to the admin’s files of variables, and their folders to the instances', () => {
    const { settings } = planned({}, { dropIn: '[Service]\nEnvironmentFile=/etc/own.env\nRuntimeDirectory=shop\nCacheDirectory=shop\n' })
    expect(valuesOf(settings, 'EnvironmentFile')).toEqual([...hook.environmentFiles, '/etc/own.env'])
    expect(settings).toContain('RuntimeDirectoryPreserve=yes')
    expect(valuesOf(settings, 'CacheDirectoryMode')).toEqual([])
    expect(valuesOf(planned().settings, 'CacheDirectoryMode')).toEqual(['0700'])
  })
  it('may write to its folder only where it is to', () => {
    const reading = planned({ writable: false }).settings
    expect(valuesOf(reading, 'ReadOnlyPaths')).toEqual([`"${hook.folder}"`])
    expect([...valuesOf(reading, 'ReadWritePaths'), ...valuesOf(reading, 'ExecStartPre')]).toEqual([])
    expect(valuesOf(reading, 'UMask')).toEqual(['0077'])
    const writing = planned({ folder: '/srv/a "b" $c' }).settings
    expect(valuesOf(writing, 'ReadWritePaths')).toEqual(['"/srv/a \\"b\\" $c"'])
    expect(valuesOf(writing, 'UMask').at(-1)).toBe('0022')
    expect(valuesOf(writing, 'ExecStartPre')[0]).toMatch(/^\+\/bin\/sh -c "if id=\$\$\(readlink .*" sh "hf-shop" "\/srv\/a \\"b\\" \$\$c"$/)
  })
  it('of a user’s own manager needs neither mounts nor another user', () => {
    const { settings } = planned({}, { scope: 'user' })
    expect(settings.filter((setting) => /^(ReadWritePaths|ReadOnlyPaths|ExecStartPre|CacheDirectory|User|UMask=0022)/.test(setting))).toEqual([])
    expect(hookVariables({ scope: 'user', app: 'shop', release: 'r1' }, {}, '/bin').map(([name]) => name)).toEqual(['PATH', 'HOLDFAST_APP', 'HOLDFAST_RELEASE'])
  })
  it('ends with another unit, which it waits for only when that has started', () => {
    const bound = planned({ boundTo: { unit: 'shop-deploy.service', isActive: true } }).settings
    expect([...valuesOf(bound, 'BindsTo'), ...valuesOf(bound, 'After')]).toEqual(['shop-deploy.service', 'shop-deploy.service'])
    const starting = planned({ boundTo: { unit: 'shop-deploy.service', isActive: false } }).settings
    expect([...valuesOf(starting, 'BindsTo'), ...valuesOf(starting, 'After')]).toEqual(['shop-deploy.service'])
  })
  it('has what its caller adds: variables of an instance, and settings that have the last word', () => {
    const { settings } = planned({ keeps: ['HOLDFAST_INSTANCE'], properties: ['BindPaths=/a:/b'], stopMs: 1000 })
    expect(valuesOf(settings, 'UnsetEnvironment')[0]).not.toContain('HOLDFAST_INSTANCE')
    expect(valuesOf(settings, 'UnsetEnvironment')[0]).toContain('HOLDFAST_GENERATION')
    expect(settings.at(-1)).toBe('BindPaths=/a:/b')
    expect(valuesOf(settings, 'TimeoutStopSec')).toEqual(['1s'])
    expect(valuesOf(planned().settings, 'UnsetEnvironment')[0]).toContain('HOLDFAST_INSTANCE')
  })
  it('gets the words of its command as they are', () => {
    expect(planned({}, { argv: ['/bin/sh', '-c', 'echo $HOME 50%', '--'] }).args.slice(-5)).toEqual(['--', '/bin/sh', '-c', 'echo $$HOME 50%', '--'])
  })
  it('has the app’s variables over its own defaults, and who it is over all', () => {
    const env = new Map(hookVariables({ scope: 'system', app: 'shop', release: 'r1' }, { HOME: '/srv/home', HOLDFAST_APP: 'no' }, '/bin'))
    expect(Object.fromEntries(env)).toEqual({ HOME: '/srv/home', XDG_CACHE_HOME: '/var/cache/holdfast/shop/.cache', npm_config_cache: '/var/cache/holdfast/shop/.npm', PATH: '/bin', HOLDFAST_APP: 'shop', HOLDFAST_RELEASE: 'r1' })
  })
})

it.each([
  [{ result: 'exit-code', exit: { how: 'exited' as const, status: 1 } }, 'exited with status 1'],
  [{ result: 'signal', exit: { how: 'killed' as const, status: 9 } }, 'was ended by SIGKILL'],
  [{ result: 'core-dump', exit: { how: 'dumped' as const, status: 11 } }, 'was ended by SIGSEGV and dumped core'],
  [{ result: 'oom-kill', exit: { how: 'killed' as const, status: 9 } }, 'ran out of memory (limits.memory)'],
  [{ result: 'timeout', exit: { how: 'killed' as const, status: 15 } }, 'took longer than 15min (hooks.timeout) and was ended'],
  [{ result: 'resources', exit: undefined }, 'could not be started: systemd lacked a file or a resource that it needs'],
  [{ result: 'exit-code', exit: { how: 'exited' as const, status: 203 } }, 'did not start: its program could not be run (203/EXEC)'],
  [{ result: 'exit-code', exit: undefined }, "could not be started: its folder could not be given to the app's user (exit-code)"],
  [{ active: 'inactive', result: 'success', exit: undefined }, 'was stopped before its end'],
])('%j is told as: %s', (state, expected) => {
  expect(describeHookFailure(unitState({ active: 'failed', ...state }), { timeoutMs: 900_000 })).toBe(expected)
})

it('has nothing of what the drop-in of a generation is for: systemd-run(1) does not know all of it', () => {
  const config = parseConfig('app = "shop"\ncommand = ["node", "--import", "holdfast/register", "x.js"]\n', { file: 'x', folder: '/srv/shop' })
  const paths = pathsOf(placesOf('system', {}), 'shop')
  expect(settingsOf(renderInstanceDropIn(config, { app: 'shop', isPrivate: true }), paths, 'shop@1.1.service')).toEqual([])
})
