import { execFileSync } from 'node:child_process'
import { chmodSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, expect, it, onTestFinished } from 'vitest'
import { copyFolder, fingerprintFolder } from '../../../src/release/snapshot.js'
import { removeRelease } from '../../../src/release/store.js'

let source: string
let target: string
beforeEach(() => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-snapshot-'))
  onTestFinished(() => removeRelease(folder))
  source = join(folder, 'source')
  target = join(folder, 'target')
  mkdirSync(join(source, 'lib'), { recursive: true })
  writeFileSync(join(source, 'server.js'), 'serve()')
  writeFileSync(join(source, 'lib/a b\n\u00e9.js'), 'a')
})
const modeOf = (path: string): string => (lstatSync(path).mode & 0o7777).toString(8)

it('copies names, contents and times, and takes away every right to write', () => {
  chmodSync(join(source, 'server.js'), 0o764)
  utimesSync(join(source, 'server.js'), 1_000_000_000, 1_000_000_001.5)
  copyFolder(source, target)
  expect(readdirSync(join(target, 'lib'))).toEqual(['a b\n\u00e9.js'])
  expect(readFileSync(join(target, 'server.js'), 'utf8')).toBe('serve()')
  expect(modeOf(join(target, 'server.js'))).toBe('544')
  expect(modeOf(target)).toBe('555')
  expect(lstatSync(join(target, 'server.js')).mtimeMs).toBe(1_000_000_001_500)
})

it('drops set-user-ID bits', () => {
  chmodSync(join(source, 'server.js'), 0o6755)
  copyFolder(source, target)
  expect(modeOf(join(target, 'server.js'))).toBe('555')
})

it('opens what only the owner could read to the group that is given, and to nobody else', () => {
  chmodSync(join(source, 'server.js'), 0o600)
  copyFolder(source, target, { group: process.getgid?.() as number })
  expect(modeOf(join(target, 'server.js'))).toBe('440')
})

it('keeps links as links, and never follows them', () => {
  symlinkSync('/etc/shadow', join(source, 'secret'))
  symlinkSync('/etc', join(source, 'folder'))
  symlinkSync('nowhere', join(source, 'broken'))
  copyFolder(source, target)
  expect(['secret', 'folder', 'broken'].every((name) => lstatSync(join(target, name)).isSymbolicLink())).toBe(true)
})

it('leaves pipes and sockets behind instead of waiting at them', () => {
  execFileSync('mkfifo', [join(source, 'pipe')])
  copyFolder(source, target)
  expect(readdirSync(target).sort()).toEqual(['lib', 'server.js'])
})

it('says which name is no text', () => {
  writeFileSync(Buffer.concat([Buffer.from(`${source}/bad-`), Buffer.from([0xff, 0xfe])]), 'x')
  expect(() => copyFolder(source, target)).toThrow('"bad-\ufffd\ufffd" has a name that is not UTF-8')
  writeFileSync(join(source, 'good-\ufffd'), 'x')
  expect(() => fingerprintFolder(source)).toThrow('"bad-')
})

it('says which folder cannot be taken', () => {
  expect(() => fingerprintFolder('/nowhere/at/all')).toThrow(/^\/nowhere\/at\/all could not be taken as a release: .*ENOENT/)
  expect(() => fingerprintFolder(join(source, 'server.js'))).toThrow(/ENOTDIR/)
})

it.each<[string, () => void]>([
  ['a changed file', () => writeFileSync(join(source, 'server.js'), 'serve(2)')],
  ['a new file', () => writeFileSync(join(source, 'new.js'), '')],
  ['a file that went', () => rmSync(join(source, 'server.js'))],
  ['other rights', () => chmodSync(join(source, 'server.js'), 0o755)],
  ['a new empty folder', () => mkdirSync(join(source, 'empty'))],
  ['a file of the same size and time', () => {
    const { atime, mtime } = lstatSync(join(source, 'server.js'))
    writeFileSync(join(source, 'server.js'), 'serve[]')
    utimesSync(join(source, 'server.js'), atime, mtime)
  }],
])('has another fingerprint after %s', (_, change) => {
  const before = fingerprintFolder(source)
  expect(fingerprintFolder(source)).toBe(before)
  change()
  expect(fingerprintFolder(source)).not.toBe(before)
})

it('a copy tells how much it is, and may be limited', () => {
  mkdirSync(join(source, 'many'))
  for (const name of ['a', 'b', 'c']) writeFileSync(join(source, 'many', name), '0123456789')
  const all = copyFolder(source, target)
  expect(all.bytes).toBeGreaterThanOrEqual(30)
  copyFolder(source, `${target}2`, { limits: all })
  expect(() => copyFolder(source, `${target}3`, { limits: { ...all, bytes: all.bytes - 1 } })).toThrow(expect.objectContaining({ code: 'release-failed', message: `${source} holds more than ${all.bytes - 1} bytes, the most that a release may` }))
  expect(() => copyFolder(source, `${target}4`, { limits: { ...all, files: all.files - 1 } })).toThrow(/more than \d+ files, folders and links/)
})
