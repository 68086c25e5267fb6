import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { shellText } from '../config/shell.js'
import { HoldfastError } from '../errors.js'
import { measure, spool, type Spooled, type SpoolOptions } from './spool.js'

/**
 * Copies an archive that somebody else may be writing to, so that what was hashed is what is unpacked. One that
 * lies at `target` already (spooled standard input) is hashed there.
 * @throws HoldfastError `fetch-failed` when it cannot be read, is no file, or changes meanwhile
 */
export async function takeArchive(path: string, target: string, options: Omit<SpoolOptions, 'what' | 'totalBytes'>): Promise<Spooled> {
  const handle = await openFile(path)
  try {
    const before = await handle.stat({ bigint: true })
    if (!before.isFile()) throw new HoldfastError('fetch-failed', `${path} is ${before.isDirectory() ? 'a folder' : 'no regular file'}, not an archive`, { hint: `ls -ld ${shellText(path)}` })
    const content = handle.createReadStream({ autoClose: false, highWaterMark: 1 << 20 })
    const all = { ...options, what: path, totalBytes: Number(before.size) }
    const result = path === target ? await measure(content, all) : await spool(content, target, all)
    const after = await handle.stat({ bigint: true })
    if (after.size !== before.size || after.mtimeNs !== before.mtimeNs) {
      throw new HoldfastError('fetch-failed', `${path} was changed while it was read`, { hint: 'run this again once whatever writes there has finished' })
    }
    return result
  } finally {
    await handle.close()
  }
}

async function openFile(path: string): Promise<FileHandle> {
  try {
    // O_NONBLOCK: opening a pipe must not wait for a writer, and no terminal becomes ours.
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const what = code === 'ENOENT' ? `there is no file ${path}` : code === 'EACCES' || code === 'EPERM' ? `${path} may not be read by this user` : `${path} cannot be read: ${message}`
    throw new HoldfastError('fetch-failed', what, { hint: `ls -l ${shellText(path)}`, cause: error })
  }
}

/** @throws HoldfastError `fetch-failed` unless the two are the same */
export function compareChecksum(what: string, expected: string, actual: string): void {
  if (expected.toLowerCase() === actual) return
  throw new HoldfastError('fetch-failed', `${what} is not what was asked for: its SHA-256 is ${actual}, expected was ${expected.toLowerCase()}`, {
    hint: 'it was changed, cut short, or the checksum is another file\'s: compare both with where they come from (sha256sum)',
  })
}
