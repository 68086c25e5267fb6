import { lstatSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { expect, it, describe } from 'vitest'
import { HoldfastError } from '../../../src/errors.js'
import { unpackArchive, type UnpackOptions } from '../../../src/release/archive.js'
import { describeTree, makePlace, pax, tarEnd, tarEntry, tarOf, zipOf, type TarEntry, type ZipEntry } from './archive-bytes.js'

const limits = { bytes: 1 << 20, files: 150 }
const file: TarEntry = { name: 'server.js', body: 'serve()' }
const folderType = 0o040755
const linkType = 0o120777

async function unpack(bytes: Buffer, options: Partial<UnpackOptions> = {}): Promise<string[]> {
  const { release, put } = makePlace()
  await unpackArchive(put(bytes), release, { limits, ...options })
  return describeTree(release)
}

/** The whole is refused, nothing is left, and nothing beside it has changed. */
async function expectRefused(bytes: Buffer, why: RegExp, options: Partial<UnpackOptions> = {}): Promise<void> {
  const { place, release, put } = makePlace()
  const archive = put(bytes)
  const before = describeTree(place)
  const error: unknown = await unpackArchive(archive, release, { limits, ...options }).then(
    (result) => new Error(`it was taken: ${JSON.stringify(result)} ${describeTree(release).join(', ')}`),
    (error) => error,
  )
  expect(error).toBeInstanceOf(HoldfastError)
  expect(error).toMatchObject({ code: 'archive-refused', message: expect.stringMatching(why), hint: expect.any(String) })
  expect(describeTree(place)).toEqual(before)
}

describe('a tar archive', () => {
  it('is unpacked with names, contents, times and the right to execute, for nobody to write to', async () => {
    const { release, put } = makePlace()
    const archive = put(tarOf(
      { name: 'bin/', type: '5', mode: 0o775 },
      { name: 'bin/run', body: '#!/bin/sh', mode: 0o6755 },
      { name: 'a b\n\u00e9', body: 'x'.repeat(1234), mode: 0o600 },
      { name: 'deep/down/file', body: '' },
      { name: 'link', type: '2', target: 'deep/../bin/run' },
      { name: 'same', type: '1', target: './bin/run' },
    ))
    expect(await unpackArchive(archive, release, { limits })).toEqual({ files: 5, bytes: 9 + 1234 })
    expect(describeTree(release)).toEqual([
      expect.stringMatching(/^a b\n\u00e9 400 [0-9a-f]{64}$/),
      'bin/ 555', 'bin/run 555 #!/bin/sh', 'deep/ 555', 'deep/down/ 555', 'deep/down/file 444 ', 'link -> deep/../bin/run', 'same 555 #!/bin/sh',
    ])
    expect(readFileSync(join(release, 'a b\n\u00e9'), 'utf8')).toBe('x'.repeat(1234))
    expect((lstatSync(release).mode & 0o7777).toString(8)).toBe('555')
    expect(lstatSync(join(release, 'bin/run')).mtimeMs).toBe(1_000_000_000_000)
    expect(lstatSync(join(release, 'bin/run')).uid).toBe(process.getuid?.())
  })

  it('opens what only the owner could read to the group that is given', async () => {
    const tree = await unpack(tarOf({ name: 'private/', type: '5', mode: 0o700 }, { name: 'private/key', body: 'k', mode: 0o600 }), { group: process.getgid?.() as number })
    expect(tree).toEqual(['private/ 550', 'private/key 440 k'])
  })

  it('keeps no time that has not come yet', async () => {
    const { release, put } = makePlace()
    await unpackArchive(put(tarOf({ ...file, mtime: 8_000_000_000 }, { name: 'b' })), release, { limits })
    expect(lstatSync(join(release, 'server.js')).mtimeMs).toBeLessThanOrEqual(Date.now())
  })

  it.each<[string, Buffer]>([
    ['GNU long names', tarOf(tarEntry({ name: '././@LongLink', type: 'L', body: `${'d/'.repeat(60)}file\0` }), { name: 'short', body: 'x', magic: 'ustar  \0' })],
    ['a pax path', tarOf(pax({ path: `${'d/'.repeat(60)}file`, mtime: '1.5' }), { name: 'short', body: 'x' })],
    ['a ustar prefix', tarOf({ name: 'file', body: 'x', prefix: 'd/'.repeat(60).slice(0, -1) })],
  ])('may have %s', async (_, bytes) => {
    const tree = await unpack(bytes)
    expect(tree.at(-1)).toBe(`${'d/'.repeat(60)}file 444 x`)
    expect(tree).toHaveLength(61)
  })

  it('may have a pax size, a line break in a pax path, a global comment, and a folder twice', async () => {
    const tree = await unpack(tarOf(
      pax({ comment: '0123abcd' }, 'g'), { name: 'd/', type: '5' }, pax({ path: 'd/a\n9 path=b', size: '3' }), { name: 'd/x', body: 'abc', size: 0 }, { name: 'd/', type: '5', mode: 0o700 },
    ))
    expect(tree).toEqual(['d/ 500', 'd/a\n9 path=b 444 abc'])
  })

  it('may link to what its own links lead to', async () => {
    const tree = await unpack(tarOf(
      { name: 'current', type: '2', target: 'lib/v1' }, { name: 'lib/v1/up', type: '2', target: '../../server.js' }, { name: 'x/y', type: '2', target: '../current/../v1/./up' }, { name: 'none', type: '2', target: 'not/there' }, file,
    ))
    expect(tree).toContain('x/y -> ../current/../v1/./up')
  })

  const hostile: [string, (TarEntry | Buffer)[], RegExp][] = [
    ['an absolute path', [{ name: '/etc/cron.d/evil' }], /its entry "\/etc\/cron\.d\/evil" has an absolute path$/],
    ['a path that goes up', [{ name: '../canary/file' }], /"\.\.\/canary\/file" leads out of the release/],
    ['a path that goes up in the middle', [{ name: 'a/../../canary/file' }], /has "\.\." in its path/],
    ['a path that ends up', [{ name: 'a/..', type: '5' }], /has "\.\." in its path/],
    ['a prefix that goes up', [{ name: 'file', prefix: '../canary' }], /has "\.\." in its path/],
    ['a pax path that goes up', [pax({ path: '../canary/file' }), file], /leads out of the release/],
    ['a long name that goes up', [tarEntry({ name: 'x', type: 'L', body: '../canary/file\0' }), file], /leads out of the release/],
    ['a NUL in a pax path', [pax({ path: 'server.js\0.png' }), file], /has a NUL in its name/],
    ['no name', [{ name: '' }], /has no name/],
    ['an empty pax path', [pax({ path: '' }), file], /has no name/],
    ['the name of the root', [{ name: './' }], /takes the place of the release itself/],
    ['a link in the place of the root', [{ name: '.', type: '2', target: 'x' }], /takes the place of the release itself/],
    ['a name that is too long', [pax({ path: 'x'.repeat(256) }), file], /a name of more than 255 bytes/],
    ['a path that is too long', [pax({ path: 'abcdefghi/'.repeat(205) }), file], /a path of 2050 bytes/],
    ['a path that is too deep', [pax({ path: `${'d/'.repeat(128)}f` }), file], /129 folders deep/],
    ['a name that is not UTF-8', [{ name: Buffer.from([0x61, 0xff]) }], /entry "a\\u\{fffd\}" has a name that is not UTF-8/],
    ['an entry through a link', [{ name: 'a', type: '2', target: 'b' }, { name: 'b/', type: '5' }, { name: 'a/x' }], /"a\/x" goes through a symbolic link/],
    ['an entry through a link out', [{ name: 'a', type: '2', target: '../canary' }, { name: 'a/file', body: 'silent' }], /goes through a symbolic link/],
    ['a folder over a link', [{ name: 'a', type: '2', target: 'b' }, { name: 'a/', type: '5' }], /goes through a symbolic link/],
    ['a file over a link', [{ name: 'a', type: '2', target: '../canary/file' }, { name: 'a', body: 'silent' }], /"a" is there twice/],
    ['a link over a folder', [{ name: 'a/x' }, { name: 'a', type: '2', target: 'b' }], /"a" lies where a folder is/],
    ['a file over a folder', [{ name: 'a/', type: '5' }, { name: 'a' }], /"a" lies where a folder is/],
    ['a folder where a file is', [{ name: 'a' }, { name: 'a/b' }], /"a\/b" needs a folder where a file is/],
    ['a file twice', [file, { ...file, name: './/server.js' }], /server\.js" is there twice/],
    ['an absolute link', [{ name: 'a', type: '2', target: '/etc/passwd' }], /"a" is a symbolic link with an absolute path \(-> "\/etc\/passwd"\)/],
    ['a link out', [{ name: 'd/a', type: '2', target: '../../canary' }], /"d\/a" is a symbolic link that leads out of the release/],
    ['a link out and back in', [{ name: 'a', type: '2', target: '../release/server.js' }, file], /leads out of the release/],
    ['a link out by way of another', [{ name: 'b', type: '2', target: 'x/y' }, { name: 'x/y/', type: '5' }, { name: 'a', type: '2', target: 'b/../../../canary' }], /"a" .* leads out/],
    ['a link whose way up is shorter than it looks', [{ name: 'd/e/b', type: '2', target: '../..' }, { name: 'a', type: '2', target: 'd/e/b/../canary' }], /"a" .* leads out/],
    ['a link out by a pax target', [pax({ linkpath: '../canary' }), { name: 'a', type: '2', target: 'b' }], /leads out/],
    ['a link out by a long target', [tarEntry({ name: 'x', type: 'K', body: '../canary\0' }), { name: 'a', type: '2', target: 'b' }], /leads out/],
    ['a link to nothing', [{ name: 'a', type: '2' }], /a symbolic link to nothing/],
    ['a link to a very long name', [tarEntry({ name: 'x', type: 'K', body: 'a/'.repeat(600) }), { name: 'a', type: '2' }], /a symbolic link of 1200 bytes/],
    ['links in a circle', [{ name: 'a', type: '2', target: 'b' }, { name: 'b', type: '2', target: 'a' }], /goes round in a circle/],
    ['a hard link out', [{ name: 'a', type: '1', target: '../canary/file' }], /leads out of the release/],
    ['an absolute hard link', [{ name: 'a', type: '1', target: '/etc/passwd' }], /has an absolute path/],
    ['a hard link to what comes later', [{ name: 'a', type: '1', target: 'server.js' }, file], /"a" is a hard link to something other than a file that came before/],
    ['a hard link to a link', [{ name: 'l', type: '2', target: 'server.js' }, { name: 'a', type: '1', target: 'l' }], /hard link to something other/],
    ['a hard link to a folder', [{ name: 'd/', type: '5' }, { name: 'a', type: '1', target: 'd' }], /hard link to something other/],
    ['a hard link through a link', [{ name: 'l', type: '2', target: '.' }, file, { name: 'a', type: '1', target: 'l/server.js' }], /hard link to something other/],
    ['a hard link with contents', [file, { name: 'a', type: '1', target: 'server.js', body: 'x' }], /is a hard link with contents/],
    ['a folder with contents', [{ name: 'a/', type: '5', body: 'x'.repeat(512) }], /is a folder with contents/],
    ['a character device', [{ name: 'null', type: '3' }], /"null" is a device/],
    ['a block device', [{ name: 'sda', type: '4' }], /is a device/],
    ['a named pipe', [{ name: 'pipe', type: '6' }], /is a named pipe/],
    ['a sparse file', [{ name: 'a', type: 'S' }], /is a sparse file/],
    ['a sparse file of pax', [pax({ 'GNU.sparse.major': '1', 'GNU.sparse.realsize': '99999999' }), file], /a sparse file/],
    ['a kind that nobody knows', [{ name: 'a', type: 'Z' }], /is of a kind that no release holds \(type "Z"\)/],
    ['a file with the name of a folder', [{ name: 'a/', body: 'x' }], /is a file with the name of a folder/],
    ['a wrong checksum', [file, { name: 'b', wrongBy: 1 }], /the checksum of an entry is wrong/],
    ['a size that is no number', [{ name: 'a', size: '0000000009x\0' }], /has no size that can be/],
    ['a size below 0', [{ name: 'a', size: '\u00ff'.repeat(12) }], /has no size that can be/],
    ['a size beyond all numbers', [{ name: 'a', size: `\u0080${'\u00ff'.repeat(11)}` }], /has no size that can be/],
    ['a pax size beyond all numbers', [pax({ size: '99999999999999999999' }), file], /has a size that cannot be/],
    ['a pax size below 0', [pax({ size: '-1' }), file], /has a size that cannot be/],
    ['a pax header that is too short', [tarEntry({ name: 'x', type: 'x', body: '5 a=b\n' }), file], /pax header in it is malformed/],
    ['a pax header that is too long', [tarEntry({ name: 'x', type: 'x', body: '9 a=b\n' }), file], /pax header in it is malformed/],
    ['a pax header of nonsense', [tarEntry({ name: 'x', type: 'x', body: 'nonsense\n' }), file], /pax header in it is malformed/],
    ['a huge pax header', [tarEntry({ name: 'PaxHeader', type: 'x', size: 2 ** 21 }), file], /is a header of 2097152 bytes/],
    ['a global path', [pax({ path: 'x' }, 'g'), file], /a global header in it names/],
    ['two pax headers for one entry', [pax({ mtime: '1' }), pax({ mtime: '2' }), file], /two headers in it describe the same entry/],
    ['two long names for one entry', [pax({ path: 'a' }), tarEntry({ name: 'x', type: 'L', body: 'b\0' }), file], /two long names/],
    ['two long targets for one entry', [pax({ linkpath: 'a' }), tarEntry({ name: 'x', type: 'K', body: 'b\0' }), { name: 'l', type: '2' }], /two long targets/],
    ['a header for no entry', [file, pax({ path: 'a' })], /describes no entry/],
    ['more bytes than allowed', [{ name: 'a', body: Buffer.alloc(600_000) }, { name: 'b', body: Buffer.alloc(600_000) }], /unpacks to more than 1048576 bytes/],
    ['more files than allowed', Array.from({ length: 151 }, (_, n) => ({ name: `f${n}` })), /more than 150 files/],
    ['more folders than allowed', Array.from({ length: 151 }, (_, n) => ({ name: `f${n}/`, type: '5' })), /more than 150 files/],
    ['more folders on the way than allowed', Array.from({ length: 2 }, (_, n) => pax({ path: `${n}${'/d'.repeat(100)}` })).flatMap((header) => [header, file]), /more than 150 files/],
    ['nothing', [], /it is no tar, no zip/],
    ['folders only', [{ name: 'a/', type: '5' }], /there is no file in it/],
    ['something after its end', [file, tarEnd, { name: 'evil' }], /something follows its end/],
    ['an entry after half its end', [file, Buffer.alloc(512), { name: 'evil' }], /an entry follows its end/],
    ['endless zeros after its end', [file, Buffer.alloc((1 << 20) + 2048)], /padded without end/],
  ]
  it.each(hostile)('is refused with %s, plain and compressed', async (_, entries, why) => {
    const bytes = tarOf(...entries)
    await expectRefused(bytes, why)
    if (entries.length > 0) await expectRefused(gzipSync(bytes), why)
  })

  it.each<[string, Buffer, RegExp]>([
    ['in a header', tarOf(file).subarray(0, 300), /it is no tar/],
    ['in a second header', tarOf(file, file).subarray(0, 1300), /ends in the middle/],
    ['in a file', tarOf({ name: 'a', body: Buffer.alloc(2000) }).subarray(0, 1400), /ends in the middle/],
    ['before its end', tarEntry(file), /ends in the middle/],
    ['in its end', tarOf(file).subarray(0, -512), /ends in the middle/],
    ['in what fills up its end', Buffer.concat([tarOf(file), Buffer.alloc(700)]).subarray(0, 1024), /ends in the middle/],
    ['in the compressed part', gzipSync(tarOf({ name: 'a', body: Buffer.alloc(200_000, 'abc') })).subarray(0, -9), /damaged or cut off/],
    ['in the checksum behind it', gzipSync(tarOf(file)).subarray(0, -3), /damaged or cut off/],
  ])('is refused when it is cut %s', (_, bytes, why) => expectRefused(bytes, why))

  it('is refused when the checksum of gzip is wrong, with all of the tar read before', () => {
    const bytes = gzipSync(tarOf(file))
    bytes[bytes.length - 6] = (bytes.at(-6) as number) ^ 1
    return expectRefused(bytes, /damaged or cut off: incorrect data check/)
  })

  it.each([1, 100_000, 400_000])('is refused when something follows the end of gzip, %i bytes in', async (length) => {
    const bytes = gzipSync(tarOf({ name: 'a', body: Buffer.from(Array.from({ length }, (_, n) => (n * n * 7919) >> 3)) }))
    await expectRefused(Buffer.concat([bytes, Buffer.from('x')]), /damaged or cut off/)
    await expectRefused(Buffer.concat([bytes, Buffer.alloc(10)]), /something follows its end/)
    await expectRefused(Buffer.concat([bytes, Buffer.alloc(600_000, 7)]), /damaged or cut off/)
  })

  it('may be of two gzip members, as pigz and bgzip write it', async () => {
    const bytes = tarOf(file)
    expect(await unpack(Buffer.concat([gzipSync(bytes.subarray(0, 700)), gzipSync(bytes.subarray(700))]))).toEqual(['server.js 444 serve()'])
  })

  it('is refused when it is a bomb, long before its end', async () => {
    const { place, release, put } = makePlace()
    const bomb = put(gzipSync(Buffer.concat([tarEntry({ name: 'zeros', size: 2 ** 30 }).subarray(0, 512), Buffer.alloc(2 ** 26)]), { level: 1 }))
    let read = 0
    await expect(unpackArchive(bomb, release, { limits, onProgress: ({ bytes }) => { read = bytes } })).rejects.toThrow(/more than 1048576 bytes/)
    expect(read).toBeLessThan(lstatSync(bomb).size + 1)
    expect(readdirSync(place).sort()).toEqual(['archive', 'canary'])
  })

  it('is refused when its headers are the bomb', async () => {
    const meta = Array.from({ length: 40 }, () => pax({ comment: 'x'.repeat(900_000) }, 'g'))
    await expectRefused(tarOf(...meta, file), /its headers take more than its contents may/, { limits: { bytes: 1000, files: 10 } })
  })

  it('is refused for links to links without end, in no time', async () => {
    // Forty links in a row, each with four hundred steps of its own, and as many to follow them all.
    const long = (name: string, end: string): Buffer => Buffer.concat([tarEntry({ name: 'x', type: 'K', body: 'x/../'.repeat(195) + end }), tarEntry({ name, type: '2' })])
    const links = Array.from({ length: 39 }, (_, n) => long(`l${n + 1}`, `l${n}`))
    const more = Array.from({ length: 80 }, (_, n) => long(`m${n}`, 'l39'))
    const started = performance.now()
    await expectRefused(tarOf({ name: 'l0' }, ...links, ...more), /is one of too many links to links/)
    expect(performance.now() - started).toBeLessThan(3000)
  })
})

describe('a single top folder', () => {
  const strip = true
  const top = (...names: string[]): Promise<string[]> => unpack(tarOf(...names.map((name): TarEntry => ({ name, type: name.endsWith('/') ? '5' : '0' }))), { strip })
  it('stays, unless asked', async () => {
    const { release, put } = makePlace()
    const archive = put(tarOf({ name: 'conf/package.json' }))
    expect(await unpackArchive(archive, release, { limits })).toEqual({ files: 1, bytes: 0 })
    expect(describeTree(release)).toEqual(['conf/ 555', 'conf/package.json 444 '])
    expect(await unpackArchive(archive, `${release}2`, { limits, strip })).toEqual({ files: 1, bytes: 0, stripped: 'conf' })
  })
  it('is left out where it holds a package.json or holdfast.toml', async () => {
    expect(await top('package/package.json', 'package/lib/a.js')).toEqual(['lib/ 555', 'lib/a.js 444 ', 'package.json 444 '])
    expect(await top('shop-1.2/', 'shop-1.2/holdfast.toml')).toEqual(['holdfast.toml 444 '])
  })
  it('stays where it holds neither, where something is beside it, and where the root is named too', async () => {
    expect(await top('lib/a.js')).toEqual(['lib/ 555', 'lib/a.js 444 '])
    expect(await top('package/package.json', 'x')).toContain('package/package.json 444 ')
    expect(await top('./', './package/package.json')).toContain('package/package.json 444 ')
    expect(await top('package/package.json/x')).toContain('package/package.json/x 444 ')
  })
  it('takes links with it: they are judged where they come to lie', async () => {
    const link = (target: string): Buffer => tarOf({ name: 'package/package.json' }, { name: 'package/lib/l', type: '2', target })
    expect(await unpack(link('../package.json'), { strip })).toContain('lib/l -> ../package.json')
    await expectRefused(link('../../package/package.json'), /"lib\/l" is a symbolic link that leads out/, { strip })
  })
})

describe('a zip archive', () => {
  const entry: ZipEntry = { name: 'server.js', body: 'serve()' }

  it('is unpacked with names, contents, rights and links', async () => {
    const tree = await unpack(zipOf([
      entry, { name: 'bin/', mode: folderType, method: 0 }, { name: 'bin/run', body: '#!', mode: 0o104755, method: 0 },
      { name: 'bin/link', body: '../server.js', mode: linkType, method: 0 }, { name: '\u00e9', body: '', mode: 0, madeBy: 0 },
      { name: 'large', body: Buffer.alloc(900_000, 'large') },
    ]))
    expect(tree).toEqual(['bin/ 555', 'bin/link -> ../server.js', 'bin/run 555 #!', expect.stringMatching(/^large 444 [0-9a-f]{64}$/), 'server.js 444 serve()', '\u00e9 444 '])
  })

  const hostile: [string, Buffer, RegExp][] = [
    ['a path that goes up', zipOf([{ name: '../canary/file' }]), /leads out of the release/],
    ['an absolute path', zipOf([{ name: '/etc/evil' }]), /has an absolute path/],
    ['a backslash', zipOf([{ name: '..\\canary\\file' }]), /entry "\.\.\\\\canary\\\\file" has a backslash/],
    ['a drive', zipOf([{ name: 'C:evil' }]), /has a drive in its name/],
    ['a NUL', zipOf([{ name: 'a\0.js' }]), /has a NUL in its name/],
    ['no name', zipOf([{ name: '' }]), /has no name/],
    ['a name that is not UTF-8', zipOf([{ name: Buffer.from([0x82]) }]), /is not UTF-8/],
    ['a second name', zipOf([{ ...entry, extra: Buffer.concat([Buffer.from([0x75, 0x70, 8, 0, 1, 0, 0, 0, 0]), Buffer.from('..e')]) }]), /has a second name/],
    ['an entry through a link', zipOf([{ name: 'a', body: '.', mode: linkType }, { name: 'a/x' }]), /goes through a symbolic link/],
    ['a link out', zipOf([{ name: 'a', body: '../canary', mode: linkType }]), /leads out of the release/],
    ['a link that no Unix has made', zipOf([{ name: 'a', body: 'b', mode: linkType, madeBy: 0 }]), /a link that no Unix has made/],
    ['a link to a very long name', zipOf([{ name: 'a', body: 'b'.repeat(5000), mode: linkType }]), /a name that is too long/],
    ['a device', zipOf([{ name: 'a', mode: 0o020666 }]), /is a device, pipe or socket/],
    ['a pipe', zipOf([{ name: 'a', mode: 0o010666 }]), /is a device, pipe or socket/],
    ['a socket', zipOf([{ name: 'a', mode: 0o140666 }]), /is a device, pipe or socket/],
    ['a folder with the name of a file', zipOf([{ name: 'a', mode: folderType }]), /is a folder with the name of a file/],
    ['a link with the name of a folder', zipOf([{ name: 'a/', body: 'b', mode: linkType }]), /is a symbolic link with the name of a folder/],
    ['a folder with contents', zipOf([{ name: 'a/', body: 'x', mode: folderType }]), /is a folder with contents/],
    ['a file twice', zipOf([entry, entry]), /is there twice/],
    ['an encrypted entry', zipOf([{ ...entry, flags: 0x801 }]), /is encrypted/],
    ['a strongly encrypted entry', zipOf([{ ...entry, flags: 0x841 }]), /encrypt/],
    ['a masked entry', zipOf([{ ...entry, flags: 0x2800 }]), /is encrypted/],
    ['an entry of bzip2', zipOf([{ ...entry, method: 12 }]), /is compressed by method 12/],
    ['another name where it lies', zipOf([{ ...entry, directory: { name: 'client.js' } }]), /is one thing in the directory and another where it lies/],
    ['another size where it lies', zipOf([{ ...entry, size: 3, directory: { size: 7 } }]), /is one thing in the directory/],
    ['another method where it lies', zipOf([{ ...entry, method: 0, directory: { method: 8 } }]), /is one thing in the directory/],
    ['another checksum where it lies', zipOf([{ ...entry, crc: 1, directory: { crc: 2 } }]), /is one thing in the directory/],
    ['other flags where it lies', zipOf([{ ...entry, flags: 0, directory: { flags: 0x800 } }]), /is one thing in the directory/],
    ['a wrong checksum', zipOf([{ ...entry, crc: 1 }]), /is damaged: its size or its checksum is wrong/],
    ['a smaller size than it has', zipOf([{ ...entry, size: 3 }]), /holds more than it says/],
    ['a larger size than it has', zipOf([{ ...entry, size: 30 }]), /is damaged: its size or its checksum is wrong/],
    ['a smaller size than its bomb', zipOf([{ name: 'a', body: Buffer.alloc(20_000_000), size: 10 }]), /holds more than it says/],
    ['a much smaller size than its large bomb', zipOf([{ name: 'a', body: Buffer.alloc(200_000_000), size: 10 }]), /holds more than it says/],
    ['bytes behind what is compressed', zipOf([{ ...entry, compressedSize: 12 }, { name: 'b', body: 'xxxxxxxxxxx' }]), /is damaged: its size or its checksum is wrong/],
    ['something that is not compressed', (() => { const bytes = zipOf([{ ...entry, body: 'abc'.repeat(50) }]); bytes.fill(0xff, 39, 45); return bytes })(), /is damaged/],
    ['entries that share all their bytes', zipOf([entry, { ...entry, hidden: true, directory: { offset: 0 } }]), /shares its bytes with another/],
    ['entries that share some of their bytes', zipOf([{ name: 'a', method: 0, body: zipOf([entry]).subarray(0, 60) }, { ...entry, hidden: true, directory: { offset: 31 } }]), /shares its bytes with another/],
    ['extra fields without end', zipOf([{ ...entry, extra: Buffer.alloc(1028) }]), /"server\.js" has 1028 bytes of extra fields/],
    ['an entry between two that the directory does not list', zipOf([entry, { name: 'hidden', unlisted: true }, { name: 'b' }]), /between its entries that its directory does not list/],
    ['an entry that the directory does not list, before the others', zipOf([{ name: 'hidden', unlisted: true }, entry]), /between its entries/],
    ['an entry that the directory does not list, behind the others', zipOf([entry, { name: 'hidden', unlisted: true }]), /between its entries/],
    ['an entry that reaches into the directory', zipOf([{ ...entry, method: 0, size: 40, compressedSize: 40 }]), /"server\.js" shares its bytes with another/],
    ['an entry in the directory', zipOf([entry], { offset: 20 }), /as a zip it is damaged/],
    ['more entries than the end says', zipOf([entry, { name: 'b' }], { count: 1 }), /its directory is not as long as it says/],
    ['fewer entries than the end says', zipOf([entry], { count: 2 }), /as a zip it is damaged/],
    ['an entry beyond the file', zipOf([{ ...entry, directory: { offset: 100_000 } }]), /as a zip it is damaged/],
    ['more bytes than allowed', zipOf([{ name: 'a', body: Buffer.alloc(2 ** 21) }]), /unpacks to more than 1048576 bytes/],
    ['more stored bytes than allowed', zipOf([{ name: 'a', method: 0, body: Buffer.alloc(2 ** 21) }]), /unpacks to more than 1048576 bytes/],
    ['more entries than allowed', zipOf(Array.from({ length: 151 }, (_, n) => ({ name: `f${n}` }))), /more than 150 files/],
    ['more folders on the way than allowed', zipOf(Array.from({ length: 2 }, (_, n) => ({ name: `${n}${'/d'.repeat(100)}` }))), /more than 150 files/],
    ['nothing', zipOf([]), /there is no file in it/],
    ['something after its end', Buffer.concat([zipOf([entry]), Buffer.from('x')]), /as a zip it is damaged/],
    ['no end', zipOf([entry]).subarray(0, -22), /as a zip it is damaged/],
  ]
  it.each(hostile)('is refused with %s', (_, bytes, why) => expectRefused(bytes, why))
})

it('is refused when it is neither', () => expectRefused(Buffer.from('\u00fd7zXZ\0 and so on'.padEnd(2000), 'latin1'), /is no tar, no zip, and not compressed by gzip or zstd/))
it('is refused when it is empty', () => expectRefused(Buffer.alloc(0), /is no tar/))
it('is refused when what is compressed is no tar', () => expectRefused(gzipSync(Buffer.alloc(4000, 'text ')), /the checksum of an entry is wrong/))

it('shows no name that could write on the terminal', async () => {
  await expectRefused(tarOf({ name: '../\u001b[2J\u202e\u0007"x' }), /entry "\.\.\/\\u\{1b\}\[2J\\u\{202e\}\\u\{7\}\\"x" leads/)
})

it('says which file cannot be read, and leaves what was there before', async () => {
  const { release, place } = makePlace()
  await expect(unpackArchive(join(place, 'none'), release, { limits })).rejects.toMatchObject({ code: 'release-failed', message: expect.stringMatching(/none could not be unpacked: .*ENOENT/) })
  await expect(unpackArchive(join(place, 'canary'), release, { limits })).rejects.toMatchObject({ code: 'archive-refused' })
  mkdirSync(release)
  writeFileSync(join(release, 'mine'), '')
  await expect(unpackArchive(join(place, 'canary/file'), release, { limits })).rejects.toMatchObject({ code: 'release-failed', message: expect.stringMatching(/release is there already/) })
  expect(readdirSync(release)).toEqual(['mine'])
})

it.each<[string, Buffer]>([
  ['tar', gzipSync(tarOf({ name: 'a', body: Buffer.alloc(1_000_000, 'abcd') }, { name: 'b', body: Buffer.alloc(1000) }))],
  ['zip', zipOf([{ name: 'a', method: 0, body: Buffer.alloc(1_000_000) }, { name: 'b' }])],
])('stops at a signal and leaves nothing (%s)', async (_, bytes) => {
  const { release, place, put } = makePlace()
  const archive = put(bytes)
  const why = new Error('enough')
  await expect(unpackArchive(archive, release, { limits, signal: AbortSignal.abort(why) })).rejects.toBe(why)
  const stop = new AbortController()
  setImmediate(() => stop.abort(why))
  await expect(unpackArchive(archive, release, { limits, signal: stop.signal })).rejects.toBe(why)
  expect(readdirSync(place).sort()).toEqual(['archive', 'canary'])
})

it.each<[string, Buffer]>([
  ['tar', tarOf(file)],
  ['gzip', gzipSync(tarOf(file))],
  ['zip', zipOf([{ name: 'a' }])],
])('tells how much was read (%s)', async (_, bytes) => {
  const { release, put } = makePlace()
  let last = 0
  await unpackArchive(put(bytes), release, { limits, onProgress: ({ bytes }) => { last = bytes } })
  expect(last).toBeGreaterThan(0)
  expect(last).toBeLessThanOrEqual(bytes.length)
})
