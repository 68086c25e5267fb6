import { closeSync, fstatSync, lstatSync, openSync, readSync } from 'node:fs'
import { shellText } from '../config/shell.js'
import { explainSystemError, HoldfastError } from '../errors.js'
import { refuseBroken } from './archive-refusal.js'
import { gunzip, unzstd } from './decompress.js'
import { readPieces } from './file-pieces.js'
import type { Readers } from './readers.js'
import type { UnpackLimits } from './source-spec.js'
import { removeRelease } from './store.js'
import { looksLikeTar, TarReader } from './tar-reader.js'
import { TreeWriter } from './tree-writer.js'
import { readZip } from './zip-reader.js'

export interface UnpackOptions extends Readers {
  limits: UnpackLimits
  /**
   * Leaves out a single top folder around a package.json or holdfast.toml, as `npm pack` and forges put one around all; not where
   * the archive names its root (`./`) too. Default false.
   */
  strip?: boolean
  /** Bytes of the archive that were read so far, of as many as the file has. */
  onProgress?(progress: { bytes: number }): void
  /** Stops it; what was unpacked is removed, and the signal's reason thrown. */
  signal?: AbortSignal
}

export interface Unpacked {
  files: number
  bytes: number
  /** The name of the top folder that was left out. */
  stripped?: string
}

/**
 * Unpacks a tar archive (plain, or compressed by gzip or zstd) or a zip into a new folder, whole or not
 * at all. The format is told by the contents. All of it belongs to the caller, and nobody may write to
 * it (see `Readers`). Not synced.
 *
 * The archive may be anybody's: an entry that would lie, lead or weigh more than a release may refuses
 * the whole; limits count what is written, not what headers claim.
 * @param folder must not exist; only the caller may write to the folder it is in
 * @returns how many files and links it made, the bytes in them, and the top folder that was left out
 * @throws HoldfastError `archive-refused`; `release-failed` when it cannot be read or written;
 * `machine-unfit` when it needs zstd(1) and there is none
 */
export async function unpackArchive(file: string, folder: string, options: UnpackOptions): Promise<Unpacked> {
  const work = `${folder}.unpacking`
  for (const path of [folder, work]) {
    if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) throw new HoldfastError('release-failed', `${path} is there already`, { hint: `Once nothing else uses it: rm -r ${shellText(path)}` })
  }
  let fd: number | undefined
  let writer: TreeWriter | undefined
  let done = false
  try {
    options.signal?.throwIfAborted()
    fd = openSync(file, 'r')
    writer = new TreeWriter(work, options.limits, options)
    await readEntries(fd, writer, options)
    if (writer.unpacked.files === 0) throw refuseBroken('there is no file in it')
    const stripped = writer.finish(folder, { strip: options.strip === true })
    done = true
    return { ...writer.unpacked, ...(stripped === undefined ? {} : { stripped }) }
  } catch (error) {
    throw options.signal?.aborted === true && !(error instanceof HoldfastError) ? options.signal.reason : explain(error, file)
  } finally {
    if (fd !== undefined) closeSync(fd)
    writer?.abandon()
    if (!done && writer !== undefined) {
      removeRelease(work)
      removeRelease(folder)
    }
  }
}

async function readEntries(fd: number, writer: TreeWriter, { onProgress, signal }: UnpackOptions): Promise<void> {
  const stat = fstatSync(fd)
  if (!stat.isFile()) throw refuseBroken('it is no file')
  let bytes = 0
  const onRead = (more: number): void => {
    bytes += more
    onProgress?.({ bytes })
  }
  const format = tellFormat(fd)
  if (format === 'zip') return readZip(fd, stat.size, writer, { onRead, signal })

  const pieces = readPieces(fd, 0, stat.size, { onRead, signal })
  const reader = new TarReader(writer)
  const chunks = format === 'gzip' ? gunzip(pieces, stat.size) : format === 'zstd' ? unzstd(pieces, stat.size) : pieces
  for await (const chunk of chunks) {
    signal?.throwIfAborted()
    reader.push(chunk)
  }
  reader.finish()
}

function tellFormat(fd: number): 'gzip' | 'zstd' | 'zip' | 'tar' {
  const start = Buffer.alloc(512)
  const length = readSync(fd, start, 0, start.length, 0)
  const begins = (...bytes: number[]): boolean => start.subarray(0, bytes.length).equals(Buffer.from(bytes))
  if (begins(0x1f, 0x8b)) return 'gzip'
  if (begins(0x28, 0xb5, 0x2f, 0xfd)) return 'zstd'
  if (begins(0x50, 0x4b, 3, 4)) return 'zip'
  if (begins(0x50, 0x4b, 5, 6)) throw refuseBroken('there is no file in it')
  if (looksLikeTar(start.subarray(0, length))) return 'tar'
  throw new HoldfastError('archive-refused', 'the archive was refused: it is no tar, no zip, and not compressed by gzip or zstd', {
    hint: 'Make one of these: tar --create --gzip --file ARCHIVE.tar.gz --directory FOLDER .',
  })
}

function explain(error: unknown, file: string): unknown {
  const explained = explainSystemError(error)
  if (!(explained instanceof HoldfastError) || explained.code !== 'system-refused') return explained
  const hint = explained.hint ?? 'Check that the archive is readable and that the disk has room: df -h'
  return new HoldfastError('release-failed', `${file} could not be unpacked: ${explained.message}`, { hint, cause: error })
}
