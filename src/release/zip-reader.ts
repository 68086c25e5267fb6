import { isUtf8 } from 'node:buffer'
import { Readable, pipeline } from 'node:stream'
import { promisify } from 'node:util'
import * as zlib from 'node:zlib'
import type { Entry, LocalFileHeader, ZipFile } from 'yauzl'
import type { ArchiveEntry, EntrySink } from './archive-entry.js'
import { refuseBroken, refuseEntry, refuseSize } from './archive-refusal.js'
import { crc32 } from './crc32.js'
import { isDamage } from './decompress.js'
import { pieceBytes, readAt, readPieces } from './file-pieces.js'

const flag = { encrypted: 1, sizesFollow: 8, utf8: 0x800, masked: 0x2000 }
/** Of the flags that change what an entry is: both headers must have the same. */
const flagsThatMatter = flag.encrypted | flag.sizesFollow | flag.utf8 | flag.masked
const fileType = { mask: 0o170000, file: 0o100000, folder: 0o040000, link: 0o120000 }
/** Who made an entry: only these two write kinds and rights as Unix has them. */
const unixes = [3, 19]
/** What is kept of half a million entries takes some 120 MB, with names of a usual length. */
const longestDirectory = 256 * 2 ** 20
/** Of one entry; all that is usual (times, ids, a second name, sizes beyond 4 GiB) takes some hundred bytes. */
const longestExtra = 1024
/** Between two entries there may be the sizes of the first: shorter than any header, so that no entry hides there. */
const longestSizes = 24

/** Of an entry of the directory, what is needed later. Its extra fields and comment are not kept. */
interface Listed extends Pick<Entry, 'fileNameRaw' | 'relativeOffsetOfLocalHeader' | 'compressedSize' | 'uncompressedSize' | 'crc32' | 'generalPurposeBitFlag' | 'compressionMethod'> {
  described: ArchiveEntry
}

export interface ZipOptions {
  /** Of the compressed bytes that were read since the last call. */
  onRead(bytes: number): void
  signal: AbortSignal | undefined
}

/**
 * Reads a zip archive. yauzl reads its directory; the contents are read here, so that what each entry
 * takes in the file is known to the byte: entries that share bytes are a bomb (Fifield, "A better zip
 * bomb", 2019), and headers that disagree are two archives in one.
 * @param size of the file
 * @throws HoldfastError `archive-refused`
 */
export async function readZip(fd: number, size: number, sink: EntrySink, { onRead, signal }: ZipOptions): Promise<void> {
  const yauzl = await import('yauzl')
  const open = promisify<number, object, ZipFile>(yauzl.default.fromFd)
  const zip = await open(fd, { lazyEntries: true, autoClose: false, decodeStrings: false }).catch(blame)
  if (zip.entryCount > sink.room.files) throw refuseSize(`it holds more than ${sink.room.files} files, folders and links`)
  const { entries, length } = await listEntries(zip)
  const directory = checkDirectory(fd, size, length)
  entries.sort((a, b) => a.relativeOffsetOfLocalHeader - b.relativeOffsetOfLocalHeader)
  const readLocal = promisify<Listed, LocalFileHeader>(zip.readLocalFileHeader.bind(zip) as never)
  let free = 0
  let gap = 0
  for (const entry of entries) {
    signal?.throwIfAborted()
    const name = entry.fileNameRaw
    const local = await readLocal(entry).catch(blame)
    checkHeaders(entry, local)
    const end = local.fileDataStart + entry.compressedSize
    if (entry.relativeOffsetOfLocalHeader < free || end > directory) throw refuseEntry(name, 'shares its bytes with another')
    checkGap(entry.relativeOffsetOfLocalHeader - free, gap)
    free = end
    gap = (entry.generalPurposeBitFlag & flag.sizesFollow) === 0 ? 0 : longestSizes
    const { described } = entry
    if (described.kind === 'symbolic link') {
      const parts: Buffer[] = []
      if (entry.uncompressedSize > 4096) throw refuseEntry(name, 'is a symbolic link to a name that is too long')
      await readContents(fd, entry, local.fileDataStart, (bytes) => parts.push(Buffer.from(bytes)), signal)
      sink.begin({ ...described, target: Buffer.concat(parts) })
    } else {
      sink.begin(described)
      if (described.kind === 'file') await readContents(fd, entry, local.fileDataStart, (bytes) => sink.write(bytes), signal)
      else if (entry.uncompressedSize > 0) throw refuseEntry(name, 'is a folder with contents')
      sink.end()
    }
    onRead(end - entry.relativeOffsetOfLocalHeader)
  }
  checkGap(directory - free, gap)
}

/** What lies between entries, another reader may take for one. */
function checkGap(bytes: number, allowed: number): void {
  if (bytes > allowed) throw refuseBroken('something lies between its entries that its directory does not list')
}

async function listEntries(zip: ZipFile): Promise<{ entries: Listed[]; length: number }> {
  const entries: Listed[] = []
  let length = 0
  await new Promise<void>((done, fail) => {
    zip.on('error', fail)
    zip.on('end', done)
    zip.on('entry', (entry: Entry) => {
      length += 46 + entry.fileNameLength + entry.extraFieldLength + entry.fileCommentLength
      if (length > longestDirectory) return fail(refuseSize(`its directory takes more than ${longestDirectory} bytes`))
      try {
        entries.push(listEntry(entry))
      } catch (error) {
        return fail(error)
      }
      zip.readEntry()
    })
    zip.readEntry()
  }).catch(blame)
  return { entries, length }
}

function listEntry(entry: Entry): Listed {
  checkEntry(entry)
  const { relativeOffsetOfLocalHeader, compressedSize, uncompressedSize, crc32, generalPurposeBitFlag, compressionMethod } = entry
  // A copy: yauzl's is a part of a buffer with all the entry's fields.
  const name = Buffer.from(entry.fileNameRaw)
  return { fileNameRaw: name, relativeOffsetOfLocalHeader, compressedSize, uncompressedSize, crc32, generalPurposeBitFlag, compressionMethod, described: { ...describe(entry), name } }
}

/**
 * The directory must end where the record of its end begins: else there are entries that this reader
 * does not see and another may.
 * @param length of all entries of it
 * @returns where it begins
 */
function checkDirectory(fd: number, size: number, length: number): number {
  const tail = readAt(fd, Math.max(0, size - 22 - 0xffff - 20 - 56), size)
  const base = size - tail.length
  // As yauzl looks for it: the last one, whose comment reaches to the end.
  let at = tail.length - 22
  while (at >= 0 && tail.readUInt32LE(at) !== 0x06054b50) at -= 1
  if (at < 0) throw refuseBroken('it has no end')
  let end = base + at
  let begin = tail.readUInt32LE(at + 16)
  if (at >= 76 && tail.readUInt32LE(at - 20) === 0x07064b50) {
    end = Number(tail.readBigUInt64LE(at - 12))
    if (end !== base + at - 76) throw refuseBroken('the two records of its end contradict each other')
    begin = Number(tail.readBigUInt64LE(at - 76 + 48))
  }
  if (begin + length !== end) throw refuseBroken('its directory is not as long as it says')
  return begin
}

function checkEntry(entry: Entry): void {
  const { fileNameRaw: name, generalPurposeBitFlag: flags, compressionMethod: method } = entry
  if ((flags & (flag.encrypted | flag.masked)) !== 0) throw refuseEntry(name, 'is encrypted')
  if (method !== 0 && method !== 8) throw refuseEntry(name, `is compressed by method ${method}; only stored and deflated ones can be read`)
  if (entry.extraFieldLength > longestExtra) throw refuseEntry(name, `has ${entry.extraFieldLength} bytes of extra fields, and ${longestExtra} are the most`)
  if (name.includes(0x5c)) throw refuseEntry(name, 'has a backslash in its name')
  if (/^[A-Za-z]:/.test(name.toString('latin1', 0, 2))) throw refuseEntry(name, 'has a drive in its name')
  // Info-ZIP's second name (0x7075), for readers that know it.
  for (const { id, data } of entry.extraFields) {
    if (id === 0x7075 && data[0] === 1 && !data.subarray(5).equals(name) && isUtf8(name)) throw refuseEntry(name, 'has a second name that is another')
  }
}

function checkHeaders(entry: Listed, local: LocalFileHeader): void {
  const name = entry.fileNameRaw
  const claimed = (value: number, real: number): boolean => value === real || value === 0xffffffff || ((local.generalPurposeBitFlag & flag.sizesFollow) !== 0 && value === 0)
  const same =
    local.fileName.equals(name) &&
    local.compressionMethod === entry.compressionMethod &&
    ((local.generalPurposeBitFlag ^ entry.generalPurposeBitFlag) & flagsThatMatter) === 0 &&
    claimed(local.compressedSize, entry.compressedSize) &&
    claimed(local.uncompressedSize, entry.uncompressedSize) &&
    (local.crc32 === entry.crc32 || (local.crc32 === 0 && (local.generalPurposeBitFlag & flag.sizesFollow) !== 0))
  if (!same) throw refuseEntry(name, 'is one thing in the directory and another where it lies')
}

function describe(entry: Entry): ArchiveEntry {
  const name = entry.fileNameRaw
  const looksLikeFolder = name.at(-1) === 0x2f
  const attributes = entry.externalFileAttributes >>> 16
  const type = attributes & fileType.mask
  const byUnix = unixes.includes(entry.versionMadeBy >>> 8)
  const kind = type === fileType.link ? 'symbolic link' : looksLikeFolder ? 'folder' : 'file'
  if (type !== 0) {
    const known = type === fileType.file || type === fileType.folder || (type === fileType.link && byUnix)
    if (!known) throw refuseEntry(name, 'is a device, pipe or socket, or a link that no Unix has made')
    if ((type === fileType.folder) !== looksLikeFolder) throw refuseEntry(name, looksLikeFolder ? `is a ${kind} with the name of a folder` : 'is a folder with the name of a file')
  }
  const mode = attributes & 0o7777
  return { name, kind, mode: mode === 0 ? (kind === 'folder' ? 0o755 : 0o644) : mode, mtimeMs: entry.getLastModDate().getTime() }
}

/** All that an entry holds, as long as both its sizes and its checksum say. */
async function readContents(fd: number, entry: Listed, start: number, write: (bytes: Buffer) => void, signal: AbortSignal | undefined): Promise<void> {
  let sum = 0
  let length = 0
  const take = (bytes: Buffer): void => {
    length += bytes.length
    if (length > entry.uncompressedSize) throw refuseEntry(entry.fileNameRaw, 'holds more than it says')
    sum = crc32(bytes, sum)
    write(bytes)
  }
  const end = start + entry.compressedSize
  let used = entry.compressedSize
  try {
    if (entry.compressionMethod === 0) {
      for await (const bytes of readPieces(fd, start, end, { signal })) take(bytes)
    } else if (entry.compressedSize <= pieceBytes && entry.uncompressedSize <= 16 * pieceBytes) {
      const input = readAt(fd, start, end)
      const { buffer, engine } = zlib.inflateRawSync(input, { info: true, maxOutputLength: entry.uncompressedSize + 1 }) as unknown as { buffer: Buffer; engine: zlib.InflateRaw }
      take(buffer)
      used = engine.bytesWritten
    } else {
      used = await inflateLarge(fd, start, end, take, signal)
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw refuseEntry(entry.fileNameRaw, 'holds more than it says')
    throw isDamage(error) ? refuseEntry(entry.fileNameRaw, `is damaged: ${error.message}`) : error
  }
  if (length !== entry.uncompressedSize || sum !== entry.crc32 || used !== entry.compressedSize) throw refuseEntry(entry.fileNameRaw, 'is damaged: its size or its checksum is wrong')
}

async function inflateLarge(fd: number, start: number, end: number, take: (bytes: Buffer) => void, signal: AbortSignal | undefined): Promise<number> {
  const engine = zlib.createInflateRaw({ chunkSize: pieceBytes })
  pipeline(Readable.from(readPieces(fd, start, end, { signal }), { objectMode: false }), engine, () => {})
  for await (const bytes of engine) take(bytes as Buffer)
  return engine.bytesWritten
}

/** yauzl's own errors are about the archive, and bear no code; the system's do. */
function blame(error: Error & { code?: string }): never {
  // Holdfast's own have a code, too.
  throw error.code === undefined ? refuseBroken(`as a zip it is damaged: ${error.message.replaceAll(/[^\x20-\x7e]/g, '?')}`, error) : error
}
