import { chmodSync, existsSync, lstatSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { beforeEach, expect, it } from 'vitest'
import { unpackArchive } from '../../../src/release/archive.js'
import { layOver } from '../../../src/release/lay-over.js'
import { copyFolder } from '../../../src/release/snapshot.js'
import { describeTree, makePlace, tarOf, type TarEntry } from './archive-bytes.js'

let at: ReturnType<typeof makePlace>
let base: string
let overlay: string
beforeEach(() => {
  at = makePlace()
  base = join(at.place, 'base')
  overlay = join(at.place, 'overlay')
})

/** Files as `path` or `path -> target`, sealed as a release is. */
function makeBase(...lines: string[]): void {
  const source = join(at.place, 'source')
  mkdirSync(source)
  for (const line of lines) {
    const [path = '', target] = line.split(' -> ')
    mkdirSync(dirname(join(source, path)), { recursive: true })
    if (target === undefined) writeFileSync(join(source, path), 'base')
    else symlinkSync(target, join(source, path))
  }
  copyFolder(source, base)
}
const makeOverlay = (...entries: TarEntry[]): Promise<unknown> => unpackArchive(at.put(tarOf(...entries)), overlay, { limits: { bytes: 1000, files: 100 } })

it('adds and replaces files and links, merges folders, and leaves the rest', async () => {
  makeBase('config/default', 'config/deep/kept', 'server.js', 'link -> server.js')
  await makeOverlay({ name: 'config/default', body: 'over' }, { name: 'config/new/file', body: 'over' }, { name: 'link', type: '2', target: 'config/default' }, { name: 'config/deep/l', type: '2', target: 'kept' })
  layOver(overlay, base)
  expect(describeTree(base)).toEqual([
    'config/ 555', 'config/deep/ 555', 'config/deep/kept 444 base', 'config/deep/l -> kept', 'config/default 444 over', 'config/new/ 555', 'config/new/file 444 over', 'link -> config/default', 'server.js 444 base',
  ])
  expect((lstatSync(base).mode & 0o777).toString(8)).toBe('555')
  expect(existsSync(overlay)).toBe(false)
})

it('wins where the kinds differ, and follows no link of what lies below', async () => {
  makeBase('out -> ../canary', 'folder/file', 'file', 'inside -> folder')
  await makeOverlay({ name: 'out/file', body: 'over' }, { name: 'folder', body: 'over' }, { name: 'file/file', body: 'over' }, { name: 'inside/x', body: 'over' })
  layOver(overlay, base)
  expect(describeTree(base)).toEqual(['file/ 555', 'file/file 444 over', 'folder 444 over', 'inside/ 555', 'inside/x 444 over', 'out/ 555', 'out/file 444 over'])
  expect(describeTree(at.canary)).toEqual(['file 644 sings'])
})

it('replaces a link itself by a file, not what it leads to', async () => {
  makeBase('out -> ../canary/file', 'keep')
  await makeOverlay({ name: 'out', body: 'over' })
  layOver(overlay, base)
  expect(describeTree(base)).toContain('out 444 over')
  expect(describeTree(at.canary)).toEqual(['file 644 sings'])
})

it('takes links of the folder below that lead elsewhere: they were there before', async () => {
  makeBase('data -> /srv/data')
  await makeOverlay({ name: 'x', body: 'over' })
  layOver(overlay, base)
  expect(describeTree(base)).toEqual(['data -> /srv/data', 'x 444 over'])
})

it.each<[string, string[], TarEntry[], RegExp]>([
  ['one of its own by way of one below', ['up -> ../canary'], [{ name: 'l', type: '2', target: 'up/file' }], /"l" is a symbolic link that leads out/],
  ['one of its own where one led out before', ['up -> ../canary', 'l -> /srv'], [{ name: 'l', type: '2', target: 'up/file' }], /"l" is a symbolic link that leads out/],
  ['one below by way of its own', ['a/b/c/x', 'l -> a/b/c/../../..'], [{ name: 'a/b/c', type: '2', target: '.' }], /"l" is a symbolic link that leads out/],
])('refuses to make a link lead out, %s, and changes nothing', async (_, lines, entries, why) => {
  makeBase(...lines)
  await makeOverlay(...entries)
  const before = describeTree(at.place)
  expect(() => layOver(overlay, base)).toThrow(expect.objectContaining({ code: 'archive-refused', message: expect.stringMatching(why) }))
  expect(describeTree(at.place)).toEqual(before)
})

it('keeps the rights of a folder that was there', async () => {
  makeBase('private/file')
  chmodSync(join(base, 'private'), 0o500)
  await makeOverlay({ name: 'private/', type: '5', mode: 0o755 }, { name: 'private/x', body: 'over' })
  layOver(overlay, base)
  expect(describeTree(base)).toEqual(['private/ 500', 'private/file 444 base', 'private/x 444 over'])
})
