import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { HoldfastError } from '../errors.js'

/** No configuration comes near it; a larger file is something else. */
export const largestFileBytes = 64 * 1024

/** How a file is read. */
export interface ReadOptions {
  /**
   * false for a file that somebody else than its reader may have put there, as root reads a release's own: a
   * symbolic link is refused, so that no message can show what only root may read. Default true.
   */
  trusted?: boolean
}

/** Reads a configuration's text; undefined when there is no such file. Throws `config-invalid` otherwise. */
export function readConfigFile(file: string, { trusted = true }: ReadOptions = {}): string | undefined {
  let descriptor: number
  try {
    // O_NONBLOCK: opening a FIFO must not wait for a writer.
    descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY | (trusted ? 0 : constants.O_NOFOLLOW))
  } catch (error) {
    return explainOpenError(file, error as NodeJS.ErrnoException)
  }
  try {
    return decode(file, readBytes(file, descriptor))
  } finally {
    closeSync(descriptor)
  }
}

function readBytes(file: string, descriptor: number): Uint8Array {
  const status = fstatSync(descriptor)
  if (status.isDirectory()) {
    throw new HoldfastError('config-invalid', `${file} is a folder, not a configuration`, { hint: `name the file in it: ${file.replace(/\/$/, '')}/holdfast.toml` })
  }
  if (!status.isFile()) {
    throw new HoldfastError('config-invalid', `${file} is not a regular file`, { hint: `ls -l ${file}` })
  }
  // One byte more than allowed tells a file that is too large, even one that grows meanwhile.
  const buffer = new Uint8Array(largestFileBytes + 1)
  let length = 0
  for (let count = -1; count !== 0 && length < buffer.length; length += count) {
    count = readSync(descriptor, buffer, length, buffer.length - length, null)
  }
  if (length > largestFileBytes) {
    throw new HoldfastError('config-invalid', `${file} is larger than ${largestFileBytes / 1024} KiB, which no configuration is`, { hint: `ls -l ${file}` })
  }
  return buffer.subarray(0, length)
}

function decode(file: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new HoldfastError('config-invalid', `${file} is not UTF-8 text`, { hint: `file ${file}` })
  }
}

function explainOpenError(file: string, error: NodeJS.ErrnoException): undefined {
  switch (error.code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return undefined
    case 'ELOOP':
      throw new HoldfastError('config-invalid', `${file} is a symbolic link, which is not followed here`, { hint: `put the file itself there: ls -l ${file}`, cause: error })
    case 'EACCES':
    case 'EPERM':
      throw new HoldfastError('config-invalid', `${file} may not be read by this user`, { hint: `run it as a user who may: ls -l ${file}`, cause: error })
    default:
      throw new HoldfastError('config-invalid', `${file} cannot be read (${error.code ?? error.message})`, { hint: `ls -l ${file}`, cause: error })
  }
}

/** The error for a configuration that is not there. */
export function missingFile(file: string): HoldfastError {
  return new HoldfastError('config-invalid', `there is no ${basename(file)} in ${dirname(file)}`, {
    hint: `write one: cd ${dirname(file)} && holdfast init`,
  })
}
