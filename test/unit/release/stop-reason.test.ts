import { chmodSync, closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { pathsOf, placesOf, type AppPaths } from '../../../src/release/paths.js'
import { clearStopReason, pruneStopReasons, stopFile, writeStopReason } from '../../../src/release/stop-reason.js'

let folder: string
let paths: AppPaths
let umask: number
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'stop-'))
  paths = pathsOf({ ...placesOf('system'), run: join(folder, 'run/holdfast') }, 'shop')
  umask = process.umask(0o077)
})
afterEach(() => {
  process.umask(umask)
  rmSync(folder, { recursive: true })
})
const one = { generation: 42, process: 1 }
const two = { generation: 42, process: 2 }
const mode = (path: string): string => (statSync(path).mode & 0o777).toString(8)

it('is one word that everybody can read, whatever the umask', () => {
  expect(stopFile(paths, one)).toBe(join(folder, 'run/holdfast/shop/42.1.stop'))
  writeStopReason(paths, [one, two], 'deploy')
  expect(readFileSync(stopFile(paths, two), 'utf8')).toBe('deploy\n')
  expect([paths.run, join(folder, 'run/holdfast'), stopFile(paths, one)].map(mode)).toEqual(['755', '755', '644'])
  writeStopReason(paths, [one], 'shutdown')
  expect(readFileSync(stopFile(paths, one), 'utf8')).toBe('shutdown\n')
  expect(readdirSync(paths.run).sort()).toEqual(['42.1.stop', '42.2.stop'])
})

it('opens a folder that somebody else has made for root alone, as systemd on the way to a socket', () => {
  mkdirSync(paths.run, { recursive: true, mode: 0o700 })
  for (const path of [join(folder, 'run/holdfast'), paths.run]) chmodSync(path, 0o700)
  writeStopReason(paths, [one], 'deploy')
  expect([join(folder, 'run/holdfast'), paths.run].map(mode)).toEqual(['755', '755'])
})

it('takes the place of an older one as a whole: who reads that meanwhile reads all of it', () => {
  writeStopReason(paths, [one], 'deploy')
  // What a write that was broken off left behind changes nothing.
  writeFileSync(`${stopFile(paths, one)}.new`, 'shutdown, and more than that', { mode: 0o600 })
  const reader = openSync(stopFile(paths, one), 'r')
  writeStopReason(paths, [one], 'shutdown')
  expect(readFileSync(reader, 'utf8')).toBe('deploy\n')
  closeSync(reader)
  expect(readFileSync(stopFile(paths, one), 'utf8')).toBe('shutdown\n')
  expect(mode(stopFile(paths, one))).toBe('644')
  expect(readdirSync(paths.run)).toEqual(['42.1.stop'])
})

it('is not written anew when it is the same', () => {
  writeStopReason(paths, [one], 'deploy')
  const { ino } = statSync(stopFile(paths, one))
  // Keeps the number from being given to the next file.
  const reader = openSync(stopFile(paths, one), 'r')
  writeStopReason(paths, [one], 'deploy')
  expect(statSync(stopFile(paths, one)).ino).toBe(ino)
  closeSync(reader)
})

it('goes for those that are started, and for all but those that run', () => {
  writeStopReason(paths, [one, two, { generation: 7, process: 1 }], 'stop')
  clearStopReason(paths, [one])
  clearStopReason(paths, [one])
  writeFileSync(join(paths.run, 'take-folder'), '')
  writeFileSync(join(paths.run, '7.1.stop.new'), 'sh')
  pruneStopReasons(paths, new Set(['42.2']))
  expect(readdirSync(paths.run).sort()).toEqual(['42.2.stop', 'take-folder'])
})

it('fails nothing where it cannot be written', () => {
  writeFileSync(join(folder, 'run'), 'a file in the way')
  expect(() => writeStopReason(paths, [one], 'deploy')).not.toThrow()
  expect(() => clearStopReason(paths, [one])).not.toThrow()
  expect(() => pruneStopReasons(paths, new Set())).not.toThrow()
  rmSync(join(folder, 'run'))
  mkdirSync(join(stopFile(paths, one), 'a folder in the way'), { recursive: true })
  expect(() => writeStopReason(paths, [one], 'deploy')).not.toThrow()
  expect(readdirSync(paths.run)).toEqual(['42.1.stop'])
})
