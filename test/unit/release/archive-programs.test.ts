import { execFileSync } from 'node:child_process'
import { chmodSync, linkSync, mkdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, expect, it } from 'vitest'
import { unpackArchive } from '../../../src/release/archive.js'
import { describeTree, makePlace } from './archive-bytes.js'

// What the programs write that people have: tar, gzip, zstd, zip, git.
const limits = { bytes: 10_000_000, files: 1000 }
let at: ReturnType<typeof makePlace>
let source: string
let archive: string

beforeEach(() => {
  at = makePlace()
  source = join(at.place, 'source')
  archive = join(at.place, 'archive')
  mkdirSync(join(source, 'lib/empty'), { recursive: true })
  writeFileSync(join(source, 'package.json'), '{}')
  writeFileSync(join(source, 'lib/run'), '#!/bin/sh\n', { mode: 0o755 })
  writeFileSync(join(source, `lib/${'long-'.repeat(40)}\u00e9.js`), 'long')
  writeFileSync(join(source, 'lib/large'), Buffer.alloc(600_000, 'large'))
  writeFileSync(join(source, 'setuid'), '')
  chmodSync(join(source, 'setuid'), 0o6755)
  symlinkSync('lib/../package.json', join(source, 'link'))
  linkSync(join(source, 'lib/run'), join(source, 'hard'))
})

function expected(): string[] {
  const sealed = (mode: string): string => mode.slice(-3).replaceAll(/\d/g, (digit) => String(Number(digit) & 5))
  return describeTree(source).map((line) => line.replace(/ (\d{3,4})( |$)/, (_, mode: string, after: string) => ` ${sealed(mode)}${after}`))
}
const run = (program: string, ...args: string[]): unknown => execFileSync(program, args, { cwd: at.place, stdio: ['ignore', 'pipe', 'pipe'] })

it.each<[string, () => unknown]>([
  ['GNU tar', () => run('tar', '--format=gnu', '-cf', 'archive', '-C', 'source', '.')],
  ['pax tar', () => run('tar', '--format=pax', '-cf', 'archive', '-C', 'source', '.')],
  ['tar and gzip', () => run('tar', '-czf', 'archive', '-C', 'source', '.')],
  ['tar with the members by name', () => run('sh', '-c', 'cd source && tar -czf ../archive *')],
  ['tar with a folder around all', () => run('tar', '-czf', 'archive', 'source')],
  ['tar and zstd', () => run('sh', '-c', 'tar -cf - -C source . | zstd -q > archive')],
  ['tar and zstd in two frames', () => run('sh', '-c', 'tar -cf plain -C source . && { head -c 5000 plain | zstd -qc; tail -c +5001 plain | zstd -qc; } > archive; rm plain')],
  ['tar and zstd with a checksum, a size and what is skipped', () => run('sh', '-c', 'tar -cf plain -C source . && { zstd -qc --check plain; printf "\\120\\052\\115\\030\\003\\000\\000\\000abc"; head -c 0 plain | zstd -qc --no-check; } > archive; rm plain')],
  ['tar and zstd of what repeats', () => run('sh', '-c', 'tar -cf - --blocking-factor=1000 -C source . | zstd -q --no-check -19 > archive')],
  ['zip with its links', () => run('sh', '-c', 'cd source && zip --quiet --recurse-paths --symlinks - . > ../archive')],
  ['zip to a file', () => run('sh', '-c', 'cd source && zip --quiet --recurse-paths --symlinks ../archive.zip . && mv ../archive.zip ../archive')],
  ['zip with a folder around all', () => run('sh', '-c', 'zip --quiet --recurse-paths --symlinks archive.zip source && mv archive.zip archive')],
])('takes what %s writes', async (_, make) => {
  make()
  expect(await unpackArchive(archive, at.release, { limits, strip: true })).toMatchObject({ files: 7 })
  expect(describeTree(at.release)).toEqual(expected())
})

it('takes what git archive writes, as forges offer it', async () => {
  const git = (...args: string[]): unknown => run('git', '-C', 'source', '-c', 'user.name=n', '-c', 'user.email=e', ...args)
  git('init', '--quiet')
  git('add', '--all')
  git('commit', '--quiet', '--message=m')
  for (const format of ['tar.gz', 'zip']) {
    git('archive', `--format=${format}`, '--prefix=shop-1.2/', '--output=../archive', 'HEAD')
    const release = join(at.place, format)
    await unpackArchive(archive, release, { limits, strip: true })
    expect(describeTree(release)).toContain('lib/run 555 #!/bin/sh\n')
    expect(readFileSync(join(release, 'link'), 'utf8')).toBe('{}')
  }
})

it('takes what npm pack writes', async () => {
  writeFileSync(join(source, 'package.json'), '{ "name": "shop", "version": "1.0.0" }')
  run('npm', 'pack', '--silent', '--offline', './source')
  run('mv', 'shop-1.0.0.tgz', 'archive')
  await unpackArchive(archive, at.release, { limits, strip: true })
  expect(describeTree(at.release)).toContain('package.json 444 { "name": "shop", "version": "1.0.0" }')
})

it.each<[string, () => unknown, RegExp]>([
  ['a sparse file', () => { truncateSync(join(source, 'package.json'), 5_000_000); run('tar', '--sparse', '--format=pax', '-cf', 'archive', '-C', 'source', '.') }, /a sparse file/],
  ['a sparse file of GNU', () => { truncateSync(join(source, 'package.json'), 5_000_000); run('tar', '--sparse', '--format=gnu', '-cf', 'archive', '-C', 'source', '.') }, /a sparse file/],
  ['a pipe', () => { run('mkfifo', 'source/pipe'); run('tar', '-cf', 'archive', '-C', 'source', '.') }, /"\.\/pipe" is a named pipe/],
  ['absolute names', () => run('tar', '-Pcf', 'archive', source), /has an absolute path/],
  ['names that go up', () => run('sh', '-c', 'cd canary && tar -Pcf ../archive ../canary/file'), /leads out of the release/],
  ['a password', () => run('zip', '--quiet', '--password', 'x', '-r', 'archive.zip', 'canary') && run('mv', 'archive.zip', 'archive'), /is encrypted/],
  ['a file that was added again', () => run('sh', '-c', 'tar -cf archive canary/file && tar -rf archive canary/file'), /is there twice/],
  ['something behind zstd', () => run('sh', '-c', 'tar -cf - canary | zstd -q > archive; echo more >> archive'), /something follows its end|damaged or cut off/],
  ['half of zstd', () => run('sh', '-c', 'tar -cf - -C source . | zstd -q | head -c 400 > archive'), /damaged or cut off/],
  ['a gzip member behind zstd', () => run('sh', '-c', 'tar -cf plain canary; { head -c 1500 plain | zstd -qc; tail -c +1501 plain | gzip -c; } > archive; rm plain'), /something follows its end|damaged or cut off/],
  ['a bomb of zstd', () => run('sh', '-c', 'truncate -s 60M zeros; tar -cf - zeros | zstd -q > archive; rm zeros'), /unpacks to more than 10000000 bytes/],
])('refuses %s', async (_, make, why) => {
  make()
  const before = describeTree(at.place)
  await expect(unpackArchive(archive, at.release, { limits, strip: true })).rejects.toMatchObject({ code: 'archive-refused', message: expect.stringMatching(why) })
  expect(describeTree(at.place)).toEqual(before)
})

it.runIf(!('createZstdDecompress' in (await import('node:zlib'))))('says what to install where there is no zstd', async () => {
  run('sh', '-c', 'tar -cf - canary | zstd -q > archive')
  const { PATH } = process.env
  process.env.PATH = at.canary
  try {
    await expect(unpackArchive(archive, at.release, { limits, strip: true })).rejects.toMatchObject({ code: 'machine-unfit', hint: 'apt install zstd' })
  } finally {
    process.env.PATH = PATH
  }
})
