import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { readVersion, versionUrl } from '../../../src/release/version.js'
import { catchError, read, write } from '../config/fixtures.js'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-version-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

function put(files: Record<string, string>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), text)
  }
}

describe('readVersion', () => {
  test.each<[what: string, files: Record<string, string>, versionFile: string | undefined, version: string | undefined]>([
    ['nothing', {}, undefined, undefined],
    ['the configured file', { 'build/v': '2.1.0\n', VERSION: '1' }, 'build/v', '2.1.0'],
    ['VERSION', { VERSION: '\ufeff\n v1.2.3+build_7  \r\nmore\n', 'package.json': '{"version":"9"}' }, undefined, 'v1.2.3+build_7'],
    ['package.json', { 'package.json': '\ufeff{"version":"1.0.0-rc.1"}' }, undefined, '1.0.0-rc.1'],
    ['a configured .json', { 'info.json': '{"version":"7"}', VERSION: '1' }, 'info.json', '7'],
    ['a configured file that is missing', { VERSION: '1' }, 'none', '1'],
    ['bad ones are passed over', { v: '../../etc', VERSION: '-rf', 'package.json': '{"version":"3"}' }, 'v', '3'],
    ['64 characters', { VERSION: 'a'.repeat(64) }, undefined, 'a'.repeat(64)],
    ['65 characters', { VERSION: 'a'.repeat(65) }, undefined, undefined],
    ['a space in it', { VERSION: '1 2' }, undefined, undefined],
    ['control characters', { VERSION: '1\u001b[2J' }, undefined, undefined],
    ['JSON that is none', { 'package.json': '{"version":' }, undefined, undefined],
    ['null', { 'package.json': 'null' }, undefined, undefined],
    ['a number', { 'package.json': '{"version":5}' }, undefined, undefined],
    ['a large file', { VERSION: `1${'\n'.repeat(1024 * 1024)}` }, undefined, undefined],
  ])('%s', (_what, files, versionFile, version) => {
    put(files)
    expect(readVersion(folder, versionFile === undefined ? {} : { versionFile })).toBe(version)
  })

  test('follows no link, in the folder or on the way', () => {
    put({ 'there/VERSION': '1' })
    symlinkSync('there/VERSION', join(folder, 'VERSION'))
    symlinkSync('there', join(folder, 'here'))
    expect(readVersion(folder, { versionFile: 'here/VERSION' })).toBeUndefined()
    expect(readVersion(folder, { versionFile: 'there/VERSION' })).toBe('1')
  })

  test('waits for no pipe, and reads no folder', () => {
    execFileSync('mkfifo', [join(folder, 'VERSION')])
    mkdirSync(join(folder, 'v'))
    expect(readVersion(folder, { versionFile: 'v' })).toBeUndefined()
  })
})

describe('versionUrl', () => {
  const settings = (lines: string) => read(write('', `[source]\n${lines}`)).source

  test.each<[lines: string, version: string, url: string, checksumUrl: string]>([
    ['url = "https://example.com/{version}/shop-{version}.tgz"', '1.2', 'https://example.com/1.2/shop-1.2.tgz', 'https://example.com/1.2/shop-1.2.tgz.sha256'],
    ['url = "https://example.com/shop-{version}.tgz?key=x"', '1+2', 'https://example.com/shop-1%2B2.tgz?key=x', 'https://example.com/shop-1%2B2.tgz.sha256?key=x'],
    ['url = "file:///srv/{version}.zip"\nchecksum = "https://example.com/SHA256SUMS"', '1', 'file:///srv/1.zip', 'https://example.com/SHA256SUMS'],
  ])('%s', (lines, version, url, checksumUrl) => {
    expect(versionUrl(settings(lines), version)).toEqual({ kind: 'address', url, checksumUrl })
  })

  test('is refused without an address, and for what is no version', () => {
    expect(catchError(() => versionUrl(settings(''), '1'))).toMatchObject({ code: 'fetch-failed', message: 'version 1 is not on this machine, and nothing says where to fetch it from' })
    expect(catchError(() => versionUrl(settings('url = "https://example.com/{version}"'), '../1')).message).toContain('"../1" is no version')
  })
})
