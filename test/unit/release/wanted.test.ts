import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { beforeEach, expect, it } from 'vitest'
import type { AppPaths } from '../../../src/release/paths.js'
import { readWanted, wantedFile, writeWanted } from '../../../src/release/wanted.js'
import { makePaths } from './app-paths.js'

let paths: AppPaths
beforeEach(() => {
  paths = makePaths()
})

it.each([['1.2.3\n', '1.2.3'], ['  20261121-014455-3fa9c1\r\n\n', '20261121-014455-3fa9c1'], ['\n', undefined], ['', undefined]])('reads %j', (text, word) => {
  writeFileSync(wantedFile(paths), text)
  expect(readWanted(paths)).toBe(word)
})

it('reads no link, no pipe, no folder, and not where nothing is', () => {
  expect(readWanted(paths)).toBeUndefined()
  symlinkSync('/etc/hostname', wantedFile(paths))
  expect(readWanted(paths)).toBeUndefined()
  rmSync(wantedFile(paths))
  execFileSync('mkfifo', [wantedFile(paths)])
  expect(readWanted(paths)).toBeUndefined()
  rmSync(wantedFile(paths))
  mkdirSync(wantedFile(paths))
  expect(readWanted(paths)).toBeUndefined()
})

it('leaves the version that somebody wrote as long as it means the release', () => {
  writeFileSync(wantedFile(paths), '1.2.3\n')
  writeWanted(paths, { id: 'b', version: '1.2.3' })
  expect(readFileSync(wantedFile(paths), 'utf8')).toBe('1.2.3\n')
  writeWanted(paths, { id: 'c', version: '1.2.4' })
  expect(readFileSync(wantedFile(paths), 'utf8')).toBe('c\n')
})
