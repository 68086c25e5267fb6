import { execFileSync } from 'node:child_process'
import { chmodSync, createWriteStream, linkSync, mkdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough, Writable } from 'node:stream'
import { beforeEach, expect, it } from 'vitest'
import { unpackArchive } from '../../../src/release/archive.js'
import { packFolder } from '../../../src/release/pack.js'
import { copyFolder } from '../../../src/release/snapshot.js'
import { describeTree, makePlace } from './archive-bytes.js'

const limits = { bytes: 10_000_000, files: 1000 }
let at: ReturnType<typeof makePlace>
let source: string
let archive: string
beforeEach(() => {
  at = makePlace()
  source = join(at.place, 'source')
  archive = join(at.place, 'archive')
  mkdirSync(join(source, 'lib/empty'), { recursive: true })
  writeFileSync(join(source, 'lib/run'), 'run', { mode: 0o755 })
})

it('makes an archive that unpacks to what was packed', async () => {
  writeFileSync(join(source, `lib/${'\u00e9'.repeat(120)}`), 'long')
  writeFileSync(join(source, 'a\nb =c'), 'lines')
  writeFileSync(join(source, 'C:\\d'), 'drive')
  writeFileSync(join(source, 'large'), Buffer.alloc(3_000_000, 'large'))
  symlinkSync(`lib/../lib/${'./'.repeat(60)}run`, join(source, 'link'))
  linkSync(join(source, 'lib/run'), join(source, 'hard'))
  execFileSync('mkfifo', [join(source, 'pipe')])
  chmodSync(source, 0o2775)
  let last = 0
  await packFolder(source, createWriteStream(archive), { onProgress: ({ bytes }) => { last = bytes } })
  expect(last).toBe(statSync(archive).size)
  await unpackArchive(archive, at.release, { limits })
  copyFolder(source, join(at.place, 'copy'))
  expect(describeTree(at.release)).toEqual(describeTree(join(at.place, 'copy')))
  expect(execFileSync('tar', ['--list', '--gzip', '--file', archive], { encoding: 'utf8' })).toMatch(/^\.\/\n\.\/C:/)
})

it('keeps the only folder of a folder', async () => {
  const outer = join(at.place, 'outer')
  mkdirSync(join(outer, 'app'), { recursive: true })
  writeFileSync(join(outer, 'app/package.json'), '{}')
  await packFolder(outer, createWriteStream(archive))
  await unpackArchive(archive, at.release, { limits })
  expect(describeTree(at.release)).toEqual(['app/ 555', 'app/package.json 444 {}'])
})

it('leaves out what is excluded, and never looks into it', async () => {
  mkdirSync(join(source, '.git'))
  symlinkSync('/etc', join(source, '.git/out'))
  const asked: string[] = []
  await packFolder(source, createWriteStream(archive), { exclude: (path) => { asked.push(path); return path === '.git' } })
  await unpackArchive(archive, at.release, { limits })
  expect(describeTree(at.release)).toEqual(['lib/ 555', 'lib/empty/ 555', 'lib/run 555 run'])
  expect(asked.sort()).toEqual(['.git', 'lib', 'lib/empty', 'lib/run'])
})

it.each<[string, () => unknown, object]>([
  ['a link out', () => symlinkSync('../canary', join(source, 'out')), { code: 'archive-refused', message: expect.stringMatching(/"out" is a symbolic link that leads out/) }],
  ['an absolute link', () => symlinkSync('/etc', join(source, 'etc')), { code: 'archive-refused', message: expect.stringMatching(/absolute/) }],
  ['a name that is not UTF-8', () => writeFileSync(Buffer.concat([Buffer.from(`${source}/`), Buffer.from([0xff])]), ''), { code: 'archive-refused', message: expect.stringMatching(/not UTF-8/) }],
  ['no folder', () => { source = join(at.place, 'none') }, { code: 'release-failed', message: expect.stringMatching(/none could not be packed: ENOENT/) }],
])('refuses %s before it writes anything', async (_, make, error) => {
  make()
  let bytes = 0
  const out = new Writable({ write: (chunk: Buffer, _encoding, done) => { bytes += chunk.length; done() } })
  await expect(packFolder(source, out)).rejects.toMatchObject(error)
  expect(bytes).toBe(0)
})

it('fails when a file goes while it packs', async () => {
  const gone = (path: string): boolean => {
    if (path === 'lib/run') rmSync(join(source, path))
    return false
  }
  const out = createWriteStream(archive)
  // Its file may be made only now.
  const closed = new Promise<void>((resolve) => void out.once('close', resolve))
  await expect(packFolder(source, out, { exclude: gone })).rejects.toMatchObject({ code: 'release-failed', message: expect.stringMatching(/source could not be packed: ENOENT/) })
  await closed
})

it('fails as what it writes to fails', async () => {
  writeFileSync(join(source, 'large'), Buffer.from(Array.from({ length: 500_000 }, (_, n) => (n * n * 7919) >> 5)))
  const broken = new Error('the connection is gone')
  await expect(packFolder(source, new Writable({ write: (_chunk, _encoding, done) => done(broken) }))).rejects.toBe(broken)
})

it('stops at a signal', async () => {
  const stop = new AbortController()
  writeFileSync(join(source, 'large'), Buffer.from(Array.from({ length: 500_000 }, (_, n) => (n * n * 7919) >> 5)))
  const out = new PassThrough({ highWaterMark: 1 }) // nobody reads it
  const packed = packFolder(source, out, { signal: stop.signal, onProgress: () => stop.abort() })
  await expect(packed).rejects.toMatchObject({ name: 'AbortError' })
})
