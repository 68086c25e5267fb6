import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { listDropIns, writeDropIn } from '../../../src/release/instance-drop-in.js'
import { commandScript, environmentFile, readShutdownTimeoutMs, removeInstance, writeInstance } from '../../../src/release/instance.js'
import { pathsOf, placesOf, type AppPaths } from '../../../src/release/paths.js'
import { stopFile, writeStopReason } from '../../../src/release/stop-reason.js'
import type { InstanceEnvironment } from '../../../src/runtime/environment.js'

it.each([
  [['/usr/bin/node', 'server.js']],
  [['/usr/bin/node', '--title=it\'s "here"', '$HOME', '`id`', '$(id)', '\\', '*', 'two\nlines', '', '-n', ';', '%n', 'é']],
])('starts just this command: %j', (command) => {
  const shown = execFileSync('/bin/sh', ['-c', commandScript(['/usr/bin/printf', '%s\\0', ...command])], { encoding: 'utf8' })
  expect(shown.split('\0').slice(0, -1)).toEqual(command)
})

it('refuses a NUL', () => {
  expect(() => commandScript(['a\0b'])).toThrow(/NUL/)
})

it('writes an environment file as systemd.exec(5) reads it', () => {
  expect(environmentFile([['A', 'plain'], ['B', 'a "b" \\ $c `d`'], ['C', 'two\nlines']])).toBe('A="plain"\nB="a \\"b\\" \\\\ \\$c \\`d\\`"\nC="two\nlines"\n')
})

describe('the files of an instance', () => {
  let folder: string
  let paths: AppPaths
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'instance-'))
    paths = pathsOf({ ...placesOf('system'), state: join(folder, 'state'), run: join(folder, 'run'), runtimeUnits: join(folder, 'units') }, 'shop')
  })
  afterEach(() => rmSync(folder, { recursive: true }))
  const one = { generation: 42, process: 1 }
  const holdfast = { HOLDFAST_SHUTDOWN_TIMEOUT_MS: '3000' } as InstanceEnvironment
  const write = (env: Record<string, string> = {}): void =>
    writeInstance(paths, { ...one, folder: '/srv/shop', command: ['/bin/true'], env, holdfast, secrets: undefined, dropIn: '[Service]\nTimeoutStopSec=7s\n' })

  it('come with a drop-in for its unit, without a reason to stop from before, and go with all of it', () => {
    writeStopReason(paths, [one], 'deploy')
    write()
    expect(existsSync(stopFile(paths, one))).toBe(false)
    const dropIn = join(folder, 'units/shop@42.1.service.d/10-holdfast.conf')
    expect(readFileSync(dropIn, 'utf8')).toBe('[Service]\nTimeoutStopSec=7s\n')
    expect(listDropIns(paths)).toEqual([dropIn])
    writeDropIn(paths, one, '[Unit]\nOnSuccess=shop-after-drain.service\n', 'end')
    expect(listDropIns(paths)).toEqual([dropIn, join(folder, 'units/shop@42.1.service.d/11-holdfast.conf')])
    writeStopReason(paths, [one], 'deploy')
    removeInstance(paths, one)
    expect([readdirSync(join(folder, 'units')), readdirSync(paths.instances), readdirSync(paths.run), listDropIns(paths)]).toEqual([[], [], [], []])
  })

  it('tell its limit at a shutdown, whatever the app’s own variables say', () => {
    expect(readShutdownTimeoutMs(paths, one)).toBeUndefined()
    write({ A: 'x\nHOLDFAST_SHUTDOWN_TIMEOUT_MS="9"\n' })
    expect(readShutdownTimeoutMs(paths, one)).toBe(3000)
  })
})
