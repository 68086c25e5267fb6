import type { ArchiveEntry, EntrySink } from './archive-entry.js'
import { refuseBroken, refuseEntry, refuseSize } from './archive-refusal.js'
import { parsePax, type PaxRecords } from './pax-records.js'

const block = 512
/** Of one pax header or long name; the longest path takes two thousand, and attributes come along. */
const longestMeta = 1 << 20
/** After the end; tapes and `tar --blocking-factor` fill up with zeros. */
const longestPadding = 1 << 20
const zeros = Buffer.alloc(64 * 1024)

/** The fields of a header block that matter; see tar(5) of the BSDs, and pax in POSIX. */
interface Header {
  name: Buffer
  linkName: Buffer
  mode: number
  size: number
  mtimeMs?: number
  type: string
}

/** What headers before an entry say of it. */
interface Extra {
  pax?: PaxRecords
  longName?: Buffer
  longTarget?: Buffer
}

/**
 * Reads a tar archive (ustar, pax, GNU, or the old form) that comes in pieces, and refuses what
 * other programs would mend or skip: whatever is read here in one way must not be there in two.
 * (The parser of the npm package `tar` reads on: it takes another path for a pax path with a line
 * break, puts replacement characters into names, and stops at the end's first block.)
 */
export class TarReader {
  readonly #sink: EntrySink
  readonly #header = Buffer.alloc(block)
  #filled = 0
  /** Bytes of the entry's contents, and of the padding behind them, that are to come. */
  #body = 0
  #padding = 0
  /** Where the contents go: to a file, or to the headers of the next entry. */
  #meta: { type: string; parts: Buffer[] } | undefined
  #extra: Extra = {}
  #global: PaxRecords = {}
  #zeroBlocks = 0
  #afterEnd = 0
  #overhead = 0
  readonly #overheadLimit: number

  constructor(sink: EntrySink) {
    this.#sink = sink
    // Headers that describe no entry end somewhere, too.
    this.#overheadLimit = 16 * 2 ** 20 + sink.room.bytes / 4 + sink.room.files * 4096
  }

  /** @throws HoldfastError `archive-refused` */
  push(chunk: Buffer): void {
    for (let at = 0; at < chunk.length; ) at += this.#take(chunk, at)
  }

  /** @throws HoldfastError `archive-refused` when the archive was not at its end. */
  finish(): void {
    if (this.#zeroBlocks < 2) throw refuseBroken('it ends in the middle')
  }

  /** @returns how many bytes it took, at least one */
  #take(chunk: Buffer, at: number): number {
    const left = chunk.length - at
    if (this.#body > 0) {
      const take = Math.min(left, this.#body)
      const part = chunk.subarray(at, at + take)
      if (this.#meta === undefined) this.#sink.write(part)
      else this.#meta.parts.push(Buffer.from(part))
      this.#body -= take
      if (this.#body === 0) this.#endBody()
      return take
    }
    if (this.#padding > 0) {
      const take = Math.min(left, this.#padding)
      this.#padding -= take
      return take
    }
    if (this.#zeroBlocks === 2) return this.#takeAfterEnd(chunk.subarray(at, at + zeros.length))
    if (this.#filled === 0 && left >= block) {
      this.#readBlock(chunk.subarray(at, at + block))
      return block
    }
    const take = Math.min(left, block - this.#filled)
    chunk.copy(this.#header, this.#filled, at, at + take)
    this.#filled += take
    if (this.#filled === block) {
      this.#filled = 0
      this.#readBlock(this.#header)
    }
    return take
  }

  #takeAfterEnd(part: Buffer): number {
    this.#afterEnd += part.length
    if (!part.equals(zeros.subarray(0, part.length))) throw refuseBroken('something follows its end')
    if (this.#afterEnd > longestPadding) throw refuseBroken('its end is padded without end')
    return part.length
  }

  #readBlock(bytes: Buffer): void {
    this.#overhead += block
    if (this.#overhead > this.#overheadLimit) throw refuseSize('its headers take more than its contents may')
    if (bytes.equals(zeros.subarray(0, block))) {
      if (Object.keys(this.#extra).length > 0) throw refuseBroken('a header in it describes no entry')
      this.#zeroBlocks += 1
      return
    }
    if (this.#zeroBlocks > 0) throw refuseBroken('an entry follows its end')
    const header = readHeader(bytes)
    if ('xgLK'.includes(header.type)) this.#beginMeta(header)
    else this.#beginEntry(header)
  }

  #beginMeta({ type, size, name }: Header): void {
    if (size > longestMeta) throw refuseEntry(name, `is a header of ${size} bytes, and ${longestMeta} are the most`)
    this.#overhead += size
    this.#meta = { type, parts: [] }
    this.#body = size
    this.#padding = (block - (size % block)) % block
    if (size === 0) this.#endBody()
  }

  #endBody(): void {
    const meta = this.#meta
    if (meta === undefined) return this.#sink.end()
    this.#meta = undefined
    const bytes = Buffer.concat(meta.parts)
    const slot = ({ x: 'pax', L: 'longName', K: 'longTarget' } as const)[meta.type]
    if (slot === undefined) {
      const records = parsePax(bytes)
      if (records.path !== undefined || records.linkpath !== undefined || records.size !== undefined) throw refuseBroken('a global header in it names or measures all entries')
      this.#global = { ...this.#global, ...records }
      return
    }
    if (this.#extra[slot] !== undefined) throw refuseBroken('two headers in it describe the same entry')
    if (slot === 'pax') this.#extra.pax = parsePax(bytes)
    else this.#extra[slot] = untilNul(bytes)
  }

  #beginEntry(header: Header): void {
    const { pax = {}, longName, longTarget } = this.#extra
    this.#extra = {}
    const name = pax.path ?? longName ?? header.name
    if (pax.path !== undefined && longName !== undefined) throw refuseEntry(name, 'has two long names')
    if (pax.linkpath !== undefined && longTarget !== undefined) throw refuseEntry(name, 'has two long targets')
    const size = pax.size ?? header.size
    const kind = kindOf(header.type, name, size)
    const mtimeMs = pax.mtimeMs ?? this.#global.mtimeMs ?? header.mtimeMs
    const isLink = kind === 'symbolic link' || kind === 'hard link'
    if (kind !== 'file' && size > 0) throw refuseEntry(name, `is a ${kind} with contents`)
    this.#sink.begin({
      name,
      kind,
      mode: header.mode & 0o7777,
      ...(mtimeMs === undefined ? {} : { mtimeMs }),
      ...(isLink ? { target: pax.linkpath ?? longTarget ?? header.linkName } : {}),
    })
    this.#body = size
    this.#padding = (block - (size % block)) % block
    if (size === 0) this.#sink.end()
  }
}

/** Whether this is the first block of a tar archive. */
export function looksLikeTar(bytes: Buffer): boolean {
  return bytes.length >= block && checksum(bytes) === readOctal(bytes.subarray(148, 156))
}

function readHeader(bytes: Buffer): Header {
  const sum = readOctal(bytes.subarray(148, 156))
  if (sum !== checksum(bytes)) throw refuseBroken('the checksum of an entry is wrong')
  const type = String.fromCharCode(bytes[156] as number)
  const magic = bytes.toString('latin1', 257, 265)
  let name = untilNul(bytes.subarray(0, 100))
  // GNU's own form has times where POSIX has the front of a long path.
  const prefix = magic.startsWith('ustar\0') ? untilNul(bytes.subarray(345, 500)) : Buffer.alloc(0)
  if (prefix.length > 0) name = Buffer.concat([prefix, Buffer.from('/'), name])
  const size = readNumber(bytes.subarray(124, 136))
  const mode = readNumber(bytes.subarray(100, 108))
  const mtime = readNumber(bytes.subarray(136, 148))
  if (size === undefined || !Number.isSafeInteger(size)) throw refuseEntry(name, 'has no size that can be')
  if (mode === undefined) throw refuseEntry(name, 'has no mode that can be')
  return { name, linkName: untilNul(bytes.subarray(157, 257)), mode, size, type, ...(mtime === undefined ? {} : { mtimeMs: mtime * 1000 }) }
}

function kindOf(type: string, name: Buffer, size: number): ArchiveEntry['kind'] {
  switch (type) {
    case '0':
    case '7':
      return 'file'
    case '\0':
      // Before POSIX, a folder was a file with a slash behind its name.
      return name.at(-1) === 0x2f && size === 0 ? 'folder' : 'file'
    case '1':
      return 'hard link'
    case '2':
      return 'symbolic link'
    case '5':
      return 'folder'
    case '3':
    case '4':
      throw refuseEntry(name, 'is a device')
    case '6':
      throw refuseEntry(name, 'is a named pipe')
    case 'S':
      throw refuseEntry(name, 'is a sparse file, which tar writes with --sparse')
    default:
      throw refuseEntry(name, `is of a kind that no release holds (type ${JSON.stringify(type)})`)
  }
}

/** Of a header, with the checksum's own field taken as spaces. */
function checksum(bytes: Buffer): number {
  let sum = 8 * 0x20
  for (let i = 0; i < 148; i += 1) sum += bytes[i] as number
  for (let i = 156; i < block; i += 1) sum += bytes[i] as number
  return sum
}

function untilNul(field: Buffer): Buffer {
  const end = field.indexOf(0)
  return Buffer.from(end < 0 ? field : field.subarray(0, end))
}

/** Octal digits, or GNU's base 256 for what is too large for them; undefined for anything else, and for what is below 0. */
function readNumber(field: Buffer): number | undefined {
  if (field[0] !== 0x80) return readOctal(field)
  let value = 0
  for (const byte of field.subarray(1)) value = value * 256 + byte
  return value
}

function readOctal(field: Buffer): number | undefined {
  const match = /^ *([0-7]*)[ \0]*$/.exec(field.toString('latin1'))
  return match === null ? undefined : Number.parseInt(`0${match[1]}`, 8)
}
