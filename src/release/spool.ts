import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { open, rm, type FileHandle } from 'node:fs/promises'
import { formatSize } from '../config/size.js'
import { explainSystemError, HoldfastError } from '../errors.js'

export interface SpoolOptions {
  /** What is written, for messages: an address, a path. */
  what: string
  /** The most that is taken, in bytes. */
  limitBytes: number
  /** What the sender said that it will be. */
  totalBytes?: number
  /** What is thrown where nothing comes. Default: an empty file is written. */
  whenEmpty?: HoldfastError
  onProgress?(progress: { bytes: number; totalBytes?: number }): void
  signal?: AbortSignal
}

export interface Spooled {
  bytes: number
  /** Of what was written, 64 hexadecimal digits. */
  sha256: string
}

/**
 * Writes what comes in to a new file (0600), synced, and hashes it on its way. Nothing is there after an error.
 * @throws HoldfastError `fetch-failed` past the limit, `system-refused` when the file cannot be written; the input's own errors
 */
export async function spool(input: AsyncIterable<Uint8Array>, file: string, options: SpoolOptions): Promise<Spooled> {
  const handle = await openNew(file)
  try {
    const spooled = await measure(input, options, (chunk) => writeAll(handle, chunk))
    if (spooled.bytes === 0 && options.whenEmpty !== undefined) throw options.whenEmpty
    await sync(handle)
    return spooled
  } catch (error) {
    await rm(file, { force: true })
    throw error
  } finally {
    await handle.close()
  }
}

/**
 * Writes an archive that comes on standard input to a file of the staging folder, so that what deploys it needs no client.
 * @throws HoldfastError `usage` for nothing at all; as `spool` does
 */
export async function spoolInput(chunks: AsyncIterable<Uint8Array>, file: string, limitBytes: number): Promise<Spooled> {
  const whenEmpty = new HoldfastError('usage', 'standard input was empty, and an archive was expected there', { hint: 'tar -cz -C FOLDER . | holdfast deploy APP -' })
  return await spool(chunks, file, { what: 'standard input', limitBytes, whenEmpty })
}

/** Hashes and counts what comes in, and hands each part on. */
export async function measure(input: AsyncIterable<Uint8Array>, options: SpoolOptions, take?: (chunk: Uint8Array) => Promise<void>): Promise<Spooled> {
  const { limitBytes, totalBytes, onProgress, signal } = options
  // What is said to be too large need not be fetched to see it.
  if (totalBytes !== undefined && totalBytes > limitBytes) throw tooLarge(options)
  const hash = createHash('sha256')
  let bytes = 0
  for await (const chunk of input) {
    signal?.throwIfAborted()
    bytes += chunk.length
    if (bytes > limitBytes) throw tooLarge(options)
    hash.update(chunk)
    await take?.(chunk)
    onProgress?.({ bytes, ...(totalBytes === undefined ? {} : { totalBytes }) })
  }
  signal?.throwIfAborted()
  return { bytes, sha256: hash.digest('hex') }
}

async function openNew(file: string): Promise<FileHandle> {
  try {
    return await open(file, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600)
  } catch (error) {
    throw explainSystemError(error)
  }
}

async function writeAll(handle: FileHandle, chunk: Uint8Array): Promise<void> {
  try {
    for (let at = 0; at < chunk.length; ) at += (await handle.write(chunk, at)).bytesWritten
  } catch (error) {
    throw explainSystemError(error)
  }
}

/** A full disk may say so only now. */
async function sync(handle: FileHandle): Promise<void> {
  try {
    await handle.sync()
  } catch (error) {
    throw explainSystemError(error)
  }
}

function tooLarge({ what, limitBytes, totalBytes }: SpoolOptions): HoldfastError {
  const size = totalBytes !== undefined && totalBytes > limitBytes ? `${totalBytes} bytes, and more` : 'larger'
  return new HoldfastError('fetch-failed', `${what} is ${size} than ${formatSize(limitBytes)}, the most that is taken`, {
    hint: 'where it is meant to be so large, raise max_size under [source] in the installed holdfast.toml: sudo holdfast install',
  })
}
