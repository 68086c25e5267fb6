import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

const setup = resolve(import.meta.dirname, '../../scripts/setup')
let folder: string
let programs: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-setup-'))
  programs = join(folder, 'bin')
  mkdirSync(programs)
})
afterEach(() => rmSync(folder, { recursive: true }))

/** Links what is named, or a program that does nothing where this machine has none. */
function provide(...names: string[]): void {
  for (const name of names) {
    const { stdout } = spawnSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' })
    symlinkSync(stdout.trim().startsWith('/') ? stdout.trim() : '/bin/true', join(programs, name))
  }
}

describe('on another distribution', () => {
  const needed = ['g++', 'make', 'pkg-config', 'python3', 'dbus-daemon', 'systemctl', 'curl', 'openssl', 'ip', 'ps', 'zip', 'zstd']

  test.each(['zip', 'zstd', 'openssl'])('names %s where it is missing', (missing) => {
    provide('dirname', 'readlink', 'mkdir', 'flock', ...needed.filter((name) => name !== missing))
    const { status, stderr } = spawnSync('/bin/bash', [setup, '--without-examples'], { env: { PATH: programs }, encoding: 'utf8' })
    expect(stderr).toContain(`this is not a Debian, and there is no ${missing}; install what equals these packages:`)
    expect(status).toBe(2)
  })
})

describe.runIf(process.getuid?.() === 0)('what a setup that was killed left behind', () => {
  /** With a /usr/sbin of its own, and every package there. */
  function runSetup(text: string): boolean {
    const sbin = join(folder, 'sbin')
    mkdirSync(sbin)
    writeFileSync(join(sbin, 'policy-rc.d'), text, { mode: 0o755 })
    const names = execFileSync('/bin/bash', [setup, '--packages'], { encoding: 'utf8' }).trim().split(' ')
    writeFileSync(join(programs, 'dpkg-query'), `#!/bin/sh\nprintf '%s installed\\n' ${names.join(' ')}\n`, { mode: 0o755 })
    const command = 'mount --bind "$1" /usr/sbin && exec /bin/bash "$2" --install-packages'
    execFileSync('unshare', ['--mount', 'sh', '-c', command, 'sh', sbin, setup], { env: { PATH: `${programs}:/usr/bin:/bin` }, stdio: ['ignore', 'ignore', 'pipe'] })
    return existsSync(join(sbin, 'policy-rc.d'))
  }

  test('goes', () => {
    expect(runSetup('#!/bin/sh\nexit 101 # "forbidden", see invoke-rc.d(8); made by scripts/setup of Holdfast while it runs\n')).toBe(false)
  })
  test('stays where it is somebody else’s', () => {
    expect(runSetup('#!/bin/sh\nexit 101\n')).toBe(true)
  })
})
