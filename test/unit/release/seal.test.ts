import { chmodSync, existsSync, linkSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { execFileSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { sealFolder } from '../../../src/release/seal.js'
import { removeRelease } from '../../../src/release/store.js'
import { openWritable } from '../../../src/release/writable-folder.js'

let from: string
let to: string
beforeEach(() => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-seal-'))
  onTestFinished(() => removeRelease(folder))
  from = join(folder, 'staging/d1/code')
  to = join(folder, 'releases/r1')
  mkdirSync(join(from, 'lib'), { recursive: true })
  writeFileSync(join(from, 'server.js'), 'serve()', { mode: 0o444 })
  writeFileSync(join(from, 'lib/a.js'), 'a', { mode: 0o444 })
  symlinkSync('/etc/passwd', join(from, 'link'))
  for (const path of ['lib', '']) chmodSync(join(from, path), 0o555)
})
const modeOf = (path: string): string => (lstatSync(path).mode & 0o7777).toString(8)

describe('sealing', () => {
  it('moves what nobody has touched', async () => {
    const { ino } = statSync(join(from, 'server.js'))
    expect(await sealFolder(from, to, { touched: false })).toEqual({ sizeBytes: 'serve()a'.length })
    expect(statSync(join(to, 'server.js')).ino).toBe(ino)
    expect(modeOf(to)).toBe('555')
    expect(existsSync(from)).toBe(false)
  })
  it('copies what a hook could write to, so that an open file reaches nothing', async () => {
    chmodSync(join(from, 'server.js'), 0o6755)
    execFileSync('mkfifo', [join(from, 'pipe')])
    const { ino } = statSync(join(from, 'server.js'))
    expect(await sealFolder(from, to, { touched: true })).toEqual({ sizeBytes: 'serve()a'.length })
    expect(statSync(join(to, 'server.js')).ino).not.toBe(ino)
    expect(modeOf(join(to, 'server.js'))).toBe('555')
    expect(readdirSync(to).sort()).toEqual(['lib', 'link', 'server.js'])
    expect(lstatSync(join(to, 'link')).isSymbolicLink()).toBe(true)
    expect([existsSync(from), readdirSync(join(from, '..')), readdirSync(join(to, '..'))]).toEqual([false, [], ['r1']])
  })
  it.each<[string, () => void]>([
    ['may be written to', () => chmodSync(join(from, 'lib/a.js'), 0o644)],
    ['has a set-user-ID bit', () => chmodSync(join(from, 'lib/a.js'), 0o4555)],
    ['may get new files', () => chmodSync(join(from, 'lib'), 0o755)],
  ])('copies what %s, whatever is said of it', async (_, change) => {
    const { ino } = statSync(join(from, 'server.js'))
    change()
    await sealFolder(from, to, { touched: false })
    expect(statSync(join(to, 'server.js')).ino).not.toBe(ino)
    expect([modeOf(join(to, 'lib')), modeOf(join(to, 'lib/a.js'))]).toEqual(['555', expect.stringMatching(/^(444|555)$/)])
  })
  it('opens what its owner alone could read to its readers: everyone, for a user of no lasting number', async () => {
    chmodSync(join(from, 'server.js'), 0o600)
    chmodSync(join(from, 'lib'), 0o700)
    await sealFolder(from, to, { touched: true, everyone: true })
    expect([modeOf(join(to, 'server.js')), modeOf(join(to, 'lib'))]).toEqual(['444', '555'])
  })
  it('gives it to the group of the app’s account alone', async () => {
    await sealFolder(from, to, { touched: true, group: process.getgid?.() as number })
    expect(modeOf(join(to, '..'))).toBe('750')
  })
  it('leaves the folder where there is no room for it, or too much in it', async () => {
    await expect(sealFolder(from, to, { touched: true, maxBytes: 7 })).rejects.toThrow('the release has 8 bytes with what its hooks made, and at most 7 are allowed')
    expect([existsSync(to), existsSync(from)]).toEqual([false, true])
    mkdirSync(to, { recursive: true })
    await expect(sealFolder(from, to, { touched: false })).rejects.toThrow(`${to} is there already`)
  })
})

describe('opening a folder for a hook', () => {
  it('makes all of it writable to its owner', () => {
    openWritable(from)
    expect([modeOf(from), modeOf(join(from, 'lib')), modeOf(join(from, 'lib/a.js'))]).toEqual(['700', '755', '644'])
  })
  it('parts it from the releases that share files with it', () => {
    const shared = join(from, '../shared.js')
    linkSync(join(from, 'server.js'), shared)
    openWritable(from)
    writeFileSync(join(from, 'server.js'), 'changed')
    expect(readFileSync(shared, 'utf8')).toBe('serve()')
    expect(modeOf(shared)).toBe('444')
    expect(lstatSync(join(from, 'server.js')).mtimeMs).toBeGreaterThan(0)
    expect(readdirSync(from).sort()).toEqual(['lib', 'link', 'server.js'])
  })
  it('follows no link', () => {
    symlinkSync('/nowhere', join(from, '../away'))
    expect(() => openWritable(join(from, '../away'))).toThrow(/ELOOP|ENOTDIR/)
    openWritable(from)
    expect(modeOf('/etc/passwd')).toBe('644')
  })
})
