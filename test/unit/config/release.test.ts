import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { installedKeys, loadReleaseConfig, mergeRelease, releaseKeys } from '../../../src/config/release.js'
import { catchError, read, write } from './fixtures.js'
import { schemaKeys } from './schema-keys.js'

const installed = read(write('directory = "/srv/shop"'))
const mend = 'run `holdfast install /srv/shop/holdfast.toml`'

describe('mergeRelease', () => {
  test('without a text the installed configuration applies', () => {
    expect(mergeRelease(installed, undefined)).toEqual({ config: installed, notes: [] })
  })

  test('takes what a release may say', () => {
    const text = write('directory = "."\nprocesses = 2\nstrategy = "rolling"\nenv = { A = "b" }', '[start]\ntimeout = "5s"\nsettle = "1s"\nstandby = true\n[drain]\ntimeout = "1min"').replace('server.js', 'other.js')
    expect(mergeRelease(installed, text)).toEqual({
      config: {
        ...installed, command: ['node', 'other.js'], processes: 2, strategy: 'rolling', env: { A: 'b' },
        start: { timeoutMs: 5000, settleMs: 1000, standby: true }, drain: { ...installed.drain, timeoutMs: 60_000, shutdownTimeoutMs: 60_000, hangTimeoutMs: 60_000 },
      },
      notes: [],
    })
  })

  test.each<[extra: string, tables: string, note: string]>([
    ['user = "shop"', '', '`user` is "shop" in the release and absent installed'],
    ['description = "x"', '', '`description` is "x" in the release and absent installed'],
    ['env_file = "/etc/shadow"', '', '`env_file` is "/etc/shadow" in the release and absent installed'],
    ['data = true', '', '`data` is true in the release and false installed'],
    ['snapshot = false', '', '`snapshot` is false in the release and true installed'],
    ['watchdog = "90s"', '', '`watchdog` is 1min 30s in the release and absent installed'],
    ['', 'admin = "/run/a"', '`[listen] admin` is /run/a with mode 0600 in the release and absent installed'],
    ['', '[limits]\nmemory = "1G"', '`[limits] memory` is 1G in the release and absent installed'],
    ['', '[limits]\ntasks = 5', '`[limits] tasks` is 5 in the release and absent installed'],
    ['', '[source]\nversion_file = "V"', '`[source] version_file` is "V" in the release and absent installed'],
    ['', '[source]\nmax_size = "1T"', '`[source] max_size` is 1T in the release and 4G installed'],
    ['', '[source]\nmax_files = 1000000', '`[source] max_files` is 1000000 in the release and 500000 installed'],
    ['', '[preview]\naddress = 9000', '`[preview] address` is 9000 in the release and absent installed'],
    ['', '[preview]\nexpire = "1h"', '`[preview] expire` is 1h in the release and absent installed'],
    ['', '[admission]\nmemory = false', '`[admission] memory` is false in the release and true installed'],
    ['', '[admission]\nreserve = "1G"', '`[admission] reserve` is 1G in the release and 64M installed'],
    ['', '[admission]\nmax_draining = 99', '`[admission] max_draining` is 99 in the release and 32 installed'],
    ['', '[admission]\nmax_drain_age = "1h"', '`[admission] max_drain_age` is 1h in the release and absent installed'],
    ['', '[sandbox]\nhome = "visible"', '`[sandbox] home` is "visible" in the release and "hidden" installed'],
    ['', '[sandbox]\nsetuid = true', '`[sandbox] setuid` is true in the release and false installed'],
    ['', '[sandbox]\ncapabilities = ["CAP_SYS_ADMIN"]', '`[sandbox] capabilities` is "CAP_SYS_ADMIN" in the release and empty installed'],
    ['', '[sandbox]\nwrite_paths = ["/etc/x"]', '`[sandbox] write_paths` is "/etc/x" in the release and empty installed'],
  ])('%s%s is noted, and not in force', (extra, tables, note) => {
    const result = mergeRelease(installed, write(`directory = "."\n${extra}`, tables))
    expect(result).toEqual({ config: installed, notes: [`${note}: ${mend}`] })
  })

  test('another address', () => {
    const { config, notes } = mergeRelease(installed, write('directory = "."').replace('8080', '9000'))
    expect(notes).toEqual([`\`[listen] http\` is 127.0.0.1:9000 in the release and 127.0.0.1:8080 installed: ${mend}`])
    expect(config.listen).toEqual(installed.listen)
  })

  test.each([
    ['start', 'timeout', '2min', '1min'],
    ['start', 'settle', '1min', '2s'],
    ['drain', 'timeout', '1h', '15min'],
    ['drain', 'shutdown_timeout', '2min', '1min 30s'],
    ['drain', 'hang_timeout', '3min', '2min'],
    ['hooks', 'timeout', '1h', '15min'],
  ])('a longer [%s] %s is cut', (table, key, longer, limit) => {
    const { config, notes } = mergeRelease(installed, write('directory = "."', `[${table}]\n${key} = "${longer}"`))
    expect(config).toEqual(installed)
    expect(notes).toEqual([`\`[${table}] ${key}\` is ${longer} in the release and ${limit} installed; a release can only shorten it, so ${limit} is in force: ${mend}`])
  })

  test('how clients come back is the release’s own, within the drain that is in force', () => {
    const text = write('directory = "."', '[drain]\ntimeout = "1h"\nreconnect_window = "30min"\nreconnect_rate = 5')
    expect(mergeRelease(installed, text).config.drain).toEqual({ ...installed.drain, reconnectWindowMs: 900_000, reconnectRate: 5 })
  })

  test('a release without a source folder installed', () => {
    const { notes } = mergeRelease(read(write()), write('directory = "."'))
    expect(notes).toEqual(['`directory` is "/srv/shop" in the release and absent installed: run `holdfast install holdfast.toml`'])
    const { notes: placed } = mergeRelease(read(write()), write('data = true'), { file: "/srv/it's/holdfast.toml" })
    expect(placed).toEqual(["`data` is true in the release and false installed: run `holdfast install '/srv/it'\\''s/holdfast.toml'`"])
  })

  test('hooks are the release’s own', () => {
    const withHooks = read(write('directory = "/srv/shop"', '[hooks]\ninstall = "npm ci"\nmigrate = "npm run migrate"\ntimeout = "1min"'))
    const text = write('directory = "."', '[hooks]\nmigrate = ["node", "migrate.js"]\nafter_drain = "npm run contract"\ntimeout = "10s"')
    expect(mergeRelease(withHooks, text)).toEqual({
      config: {
        ...withHooks,
        hooks: {
          migrate: { text: '["node", "migrate.js"]', argv: ['node', 'migrate.js'] },
          afterDrain: { text: 'npm run contract', argv: ['/bin/sh', '-c', 'npm run contract'] },
          timeoutMs: 10_000,
        },
      },
      notes: [],
    })
    expect(mergeRelease(withHooks, undefined).config.hooks).toEqual(withHooks.hooks)
  })

  describe('how a new generation is looked at', () => {
    const looked = read(write('directory = "/srv/shop"', '[health]\npath = "/healthz"\n[bake]\nfor = "1min"\nmax_errors = "0.1%"'))

    test('is the installed way where the release says nothing: leaving it out does not drop it', () => {
      expect(mergeRelease(looked, write('directory = "."'))).toEqual({ config: looked, notes: [] })
      expect(mergeRelease(looked, write('directory = "."', '[bake]\nmax_errors = "100%"')).config.bake).toEqual(looked.bake)
    })

    test('is the release’s own where it says so', () => {
      const { config, notes } = mergeRelease(looked, write('directory = "."', '[health]\ncommand = "true"\n[bake]\nfor = "0s"'))
      expect(config.health).toMatchObject({ probe: { kind: 'command' }, deadlineMs: 60_000 })
      expect(config.bake).toEqual({ forMs: 0, maxErrors: 0.01, maxSlowdown: 3, minRequests: 50 })
      expect(notes).toEqual([])
    })
  })

  test('who is told is not the release’s to say', () => {
    const { config, notes } = mergeRelease(installed, write('directory = "."', '[notify]\ncommand = ["sh", "-c", "x"]'))
    expect(config).toEqual(installed)
    expect(notes).toEqual([
      `\`[notify] command\` is "-c", "sh", "x" in the release and absent installed: ${mend}`,
      `\`[notify] timeout\` is 10s in the release and absent installed: ${mend}`,
    ])
  })

  test('an address in a note shows no secret', () => {
    const { notes } = mergeRelease(installed, write('directory = "."', '[source]\nurl = "https://me:secret@example.com/{version}.tgz?token=secret"'))
    expect(notes).toEqual([`\`[source] url\` is "https://example.com/{version}.tgz" in the release and absent installed: ${mend}`])
  })

  test('renames no app', () => {
    expect(catchError(() => mergeRelease(installed, write().replace('"shop"', '"store"')))).toMatchObject({
      code: 'config-invalid',
      message: 'holdfast.toml: app: "store" in the release, and "shop" installed: a release cannot rename its app',
    })
  })

  test('a release that is not in order is an error', () => {
    expect(catchError(() => mergeRelease(installed, write('data = 1'))).message).toBe('holdfast.toml:3: data: expected true or false (without quotes), got 1')
  })

  test('every key of the schema is either the release’s or the installed file’s', () => {
    const own = ['app', ...releaseKeys, ...Object.keys(installedKeys)]
    expect(new Set(own).size).toBe(own.length)
    expect(own.toSorted()).toEqual(schemaKeys().filter((key) => !key.startsWith('listen')).toSorted())
  })
})

test('loadReleaseConfig follows no link', () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-release-'))
  try {
    expect(loadReleaseConfig(installed, folder).config).toBe(installed)
    writeFileSync(join(folder, 'secret'), 'app = "shop"\nsecret = 1')
    symlinkSync('secret', join(folder, 'holdfast.toml'))
    expect(catchError(() => loadReleaseConfig(installed, folder)).message).toContain('symbolic link')
    rmSync(join(folder, 'holdfast.toml'))
    writeFileSync(join(folder, 'holdfast.toml'), write('directory = "/srv/shop"\nprocesses = 2'))
    expect(loadReleaseConfig(installed, folder)).toEqual({ config: { ...installed, processes: 2 }, notes: [] })
  } finally {
    rmSync(folder, { recursive: true })
  }
})
