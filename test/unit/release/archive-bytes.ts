import { createHash } from 'node:crypto'
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deflateRawSync } from 'node:zlib'
import { crc32InSteps as crc32 } from '../../../src/release/crc32.js'
import { onTestFinished } from 'vitest'
import { removeRelease } from '../../../src/release/store.js'

// Writers of archives that say whatever a test wants: no program would write most of these.

export interface TarEntry {
  name: string | Buffer
  /** The type flag. Default 0, a file. */
  type?: string
  body?: string | Buffer
  /** As the header has it. Default the body's length. */
  size?: number | string
  target?: string
  mode?: number
  mtime?: number
  prefix?: string
  /** The eight bytes at 257. Default those of POSIX. */
  magic?: string
  /** Added to the checksum. */
  wrongBy?: number
}

const octal = (value: number, length: number): string => `${value.toString(8).padStart(length - 1, '0')}\0`

export function tarEntry(entry: TarEntry): Buffer {
  const { name, type = '0', body = '', target = '', mode = 0o644, mtime = 1_000_000_000, prefix = '', magic = 'ustar\u000000', wrongBy = 0 } = entry
  const contents = Buffer.from(body)
  const { size = contents.length } = entry
  const header = Buffer.alloc(512)
  Buffer.from(name).copy(header, 0, 0, 100)
  header.write(octal(mode, 8) + octal(0, 8) + octal(0, 8), 100, 'latin1')
  header.write(typeof size === 'string' ? size : octal(size, 12), 124, 'latin1')
  header.write(octal(mtime, 12), 136, 'latin1')
  header.write(' '.repeat(8), 148)
  header.write(type, 156)
  header.write(target, 157)
  header.write(magic, 257, 'latin1')
  header.write(prefix, 345)
  const sum = header.reduce((total, byte) => total + byte, 0) + wrongBy
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return Buffer.concat([header, contents, Buffer.alloc((512 - (contents.length % 512)) % 512)])
}

export const tarEnd = Buffer.alloc(1024)

export function tarOf(...entries: (TarEntry | Buffer)[]): Buffer {
  return Buffer.concat([...entries.map((entry) => (Buffer.isBuffer(entry) ? entry : tarEntry(entry))), tarEnd])
}

/** A pax header with these records, for the entry that follows it. */
export function pax(records: Record<string, string>, type = 'x'): Buffer {
  const body = Object.entries(records).map(([key, value]) => {
    const rest = Buffer.byteLength(` ${key}=${value}\n`)
    let length = rest + 1
    while (String(length).length + rest !== length) length += 1
    return `${length} ${key}=${value}\n`
  })
  return tarEntry({ name: 'PaxHeader', type, body: body.join('') })
}

export interface ZipEntry {
  name: string | Buffer
  body?: string | Buffer
  mode?: number
  flags?: number
  method?: number
  madeBy?: number
  crc?: number
  /** Both default to what is so. */
  size?: number
  compressedSize?: number
  /** Of the directory, where it says something else than the entry itself. */
  directory?: Partial<{ name: string | Buffer; crc: number; size: number; compressedSize: number; offset: number; method: number; flags: number }>
  extra?: Buffer
  /** Leaves the entry itself out. */
  unlisted?: boolean
  hidden?: boolean
}

export function zipOf(entries: ZipEntry[], end: Partial<{ count: number; comment: string; size: number; offset: number }> = {}): Buffer {
  const parts: Buffer[] = []
  const directory: Buffer[] = []
  let at = 0
  for (const entry of entries) {
    const { method = 8, flags = 0x800, mode = 0o100644, madeBy = 3, extra = Buffer.alloc(0) } = entry
    const body = Buffer.from(entry.body ?? '')
    const data = method === 8 ? deflateRawSync(body) : body
    const told = { name: entry.name, crc: entry.crc ?? crc32(body), size: entry.size ?? body.length, compressedSize: entry.compressedSize ?? data.length, offset: at, method, flags }
    const fields = ({ name, crc, size, compressedSize, method, flags }: typeof told): Buffer => {
      const bytes = Buffer.alloc(26)
      bytes.writeUInt16LE(20, 0)
      bytes.writeUInt16LE(flags, 2)
      bytes.writeUInt16LE(method, 4)
      bytes.writeUInt16LE(0x6000, 6)
      bytes.writeUInt16LE(0x5000, 8)
      bytes.writeUInt32LE(crc >>> 0, 10)
      bytes.writeUInt32LE(compressedSize, 14)
      bytes.writeUInt32LE(size, 18)
      bytes.writeUInt16LE(Buffer.from(name).length, 22)
      bytes.writeUInt16LE(extra.length, 24)
      return bytes
    }
    if (entry.hidden !== true) {
      const local = Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), fields(told), Buffer.from(told.name), extra, data])
      parts.push(local)
      at += local.length
    }
    if (entry.unlisted === true) continue
    const listed = { ...told, ...entry.directory }
    const rest = Buffer.alloc(14)
    rest.writeUInt32LE((mode << 16) >>> 0, 6)
    rest.writeUInt32LE(listed.offset, 10)
    directory.push(Buffer.from('PK\x01\x02', 'latin1'), Buffer.from([20, madeBy]), fields(listed), rest, Buffer.from(listed.name), extra)
  }
  const list = Buffer.concat(directory)
  const tail = Buffer.alloc(22)
  tail.write('PK\x05\x06', 'latin1')
  const count = end.count ?? entries.filter(({ unlisted }) => unlisted !== true).length
  tail.writeUInt16LE(count, 8)
  tail.writeUInt16LE(count, 10)
  tail.writeUInt32LE(end.size ?? list.length, 12)
  tail.writeUInt32LE(end.offset ?? at, 16)
  tail.writeUInt16LE(Buffer.byteLength(end.comment ?? ''), 20)
  return Buffer.concat([...parts, list, tail, Buffer.from(end.comment ?? '')])
}

/** A folder that goes with the test, with `canary/` in it and the place `release` that is free. */
export function makePlace(): { place: string; release: string; canary: string; put(bytes: Buffer | string, name?: string): string } {
  const place = mkdtempSync(join(tmpdir(), 'holdfast-archive-'))
  onTestFinished(() => removeRelease(place))
  const canary = join(place, 'canary')
  mkdirSync(canary)
  writeFileSync(join(canary, 'file'), 'sings')
  const put = (bytes: Buffer | string, name = 'archive'): string => {
    writeFileSync(join(place, name), bytes)
    return join(place, name)
  }
  return { place, release: join(place, 'release'), canary, put }
}

/** Everything below a folder with its kind, rights and contents, one line each. */
export function describeTree(folder: string, at = ''): string[] {
  return readdirSync(join(folder, at))
    .sort()
    .flatMap((name) => {
      const path = at === '' ? name : `${at}/${name}`
      const stat = lstatSync(join(folder, path))
      const mode = (stat.mode & 0o7777).toString(8)
      if (stat.isSymbolicLink()) return [`${path} -> ${readlinkSync(join(folder, path))}`]
      if (stat.isDirectory()) return [`${path}/ ${mode}`, ...describeTree(folder, path)]
      if (!stat.isFile()) return [`${path} ${mode} is neither`]
      const bytes = readFileSync(join(folder, path))
      return [`${path} ${mode} ${bytes.length > 40 ? createHash('sha256').update(bytes).digest('hex') : bytes.toString('utf8')}`]
    })
}
