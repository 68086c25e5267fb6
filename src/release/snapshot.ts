import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync, closeSync, constants, copyFileSync, fchmodSync, fchownSync, fstatSync, futimesSync, lstatSync, mkdirSync,
  openSync, readdirSync, readlinkSync, symlinkSync, type BigIntStats,
} from 'node:fs'
import { join } from 'node:path'
import { HoldfastError } from '../errors.js'
import { sealedMode, type Readers } from './readers.js'
import type { UnpackLimits } from './source-spec.js'

/**
 * A copy of a folder that somebody else may be writing to, made by root. Every entry is opened
 * relative to its folder's own descriptor (`/proc/self/fd/N/name`, node's openat(2)) and never
 * through a symbolic link, so that a folder swapped for a link in the middle leads nowhere.
 */

export interface Entry {
  /** Relative to the folder, `/`-separated. */
  path: string
  /** A path that leads to it by its folder's descriptor, until the visitor returns. */
  at: string
  stat: BigIntStats
  /** A descriptor of a file or folder, open until the visitor returns. */
  fd?: number
  /** Of a symbolic link. */
  target?: string
}

/**
 * Tells two states of a folder apart without reading files: by the path, mode, size, time and inode of
 * each entry, as rsync and make do.
 * @returns 64 hexadecimal digits
 * @throws HoldfastError `release-failed` when the folder cannot be read.
 */
export function fingerprintFolder(folder: string): string {
  const hash = createHash('sha256')
  walk(folder, ({ path, stat, target }) => {
    const kind = stat.mode.toString(8)
    // A folder's own times change when an entry is made and removed again: its entries tell enough.
    hash.update(stat.isDirectory() ? `${path}\0${kind}\0` : `${path}\0${kind}\0${stat.size}\0${stat.mtimeNs}\0${stat.ctimeNs}\0${stat.ino}\0${target ?? ''}\0`)
  })
  return hash.digest('hex')
}

/**
 * Copies the folder to a new one that belongs to the caller and that nobody may write to. Shares
 * blocks where the filesystem can (reflink). Set-user-ID bits and write permission are dropped; what
 * the owner of a file alone could read is opened to its readers. Synced,
 * unless `sync` is false.
 * @param options.limits what it may be at most. Default none.
 * @returns the entries below the folder, and the bytes of its files
 * @throws HoldfastError `release-failed`
 */
export function copyFolder(folder: string, target: string, options: Readers & { sync?: boolean; limits?: UnpackLimits } = {}): UnpackLimits {
  const folders: { path: string; mode: number }[] = []
  const copied = { bytes: 0, files: 0 }
  walk(folder, ({ path, stat, fd, target: link }) => {
    if (path !== '') copied.files += 1
    if (stat.isFile()) copied.bytes += Number(stat.size)
    checkLimits(folder, copied, options.limits)
    const to = join(target, path)
    const mode = sealedMode(Number(stat.mode), options)
    if (link !== undefined) {
      symlinkSync(link, to)
    } else if (stat.isDirectory()) {
      mkdirSync(to, { mode: 0o700 })
      folders.push({ path: to, mode })
    } else {
      copyFileSync(`/proc/self/fd/${fd}`, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE)
      finishFile(to, mode, stat, options.group)
    }
  })
  // Deepest first: a folder that is sealed can take no more entries.
  for (const { path, mode } of folders.reverse()) {
    const fd = openSync(path, 'r')
    if (options.group !== undefined) fchownSync(fd, -1, options.group)
    closeSync(fd)
    chmodSync(path, mode)
  }
  // One syncfs(2) for all; a sync of each file takes seconds per thousand.
  if (options.sync !== false) execFileSync('sync', ['--file-system', target])
  return copied
}

function checkLimits(folder: string, { bytes, files }: UnpackLimits, limits: UnpackLimits | undefined): void {
  if (limits === undefined || (bytes <= limits.bytes && files <= limits.files)) return
  const most = bytes > limits.bytes ? `${limits.bytes} bytes` : `${limits.files} files, folders and links`
  throw new HoldfastError('release-failed', `${folder} holds more than ${most}, the most that a release may`, { hint: 'If it is meant to be this large, raise max_size or max_files under [source] in holdfast.toml, and install that.' })
}

function finishFile(path: string, mode: number, stat: BigIntStats, group: number | undefined): void {
  const fd = openSync(path, 'r')
  try {
    if (group !== undefined) fchownSync(fd, -1, group)
    fchmodSync(fd, mode)
    futimesSync(fd, Number(stat.atimeMs) / 1000, Number(stat.mtimeMs) / 1000)
  } finally {
    closeSync(fd)
  }
}

const notText = (folder: string, path: string): HoldfastError =>
  new HoldfastError('release-failed', `${folder} could not be taken as a release: ${JSON.stringify(path)} has a name that is not UTF-8`, { hint: `rename it: ls -b ${folder}` })

/**
 * Visits a folder and all below it, parents first, in the order of names; sockets, pipes and devices are left out.
 * @throws HoldfastError `release-failed`
 */
export function walk(folder: string, visit: (entry: Entry) => void): void {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

  const visitFolder = (fd: number, path: string): void => {
    visit({ path, at: `/proc/self/fd/${fd}`, stat: fstatSync(fd, { bigint: true }), fd })
    for (const name of readdirSync(`/proc/self/fd/${fd}`).sort()) {
      const at = `/proc/self/fd/${fd}/${name}`
      const child = path === '' ? name : `${path}/${name}`
      // Node reads other bytes so, and could open no such file.
      if (name.includes('\ufffd') && lstatSync(at, { throwIfNoEntry: false }) === undefined) throw notText(folder, child)
      const stat = lstatSync(at, { bigint: true })
      if (stat.isSymbolicLink()) visit({ path: child, at, stat, target: readlinkSync(at) })
      else if (stat.isDirectory() || stat.isFile()) openEntry(at, child)
      // Sockets, pipes and devices are no code: they stay behind.
    }
  }
  const openEntry = (at: string, path: string): void => {
    const fd = openSync(at, flags)
    try {
      const stat = fstatSync(fd, { bigint: true })
      if (stat.isDirectory()) visitFolder(fd, path)
      else if (stat.isFile()) visit({ path, at, stat, fd })
    } finally {
      closeSync(fd)
    }
  }

  try {
    // The folder itself may be a link, as the admin wrote it.
    const fd = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY)
    try {
      visitFolder(fd, '')
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    if (error instanceof HoldfastError) throw error
    const { code, path = '', message } = error as NodeJS.ErrnoException
    const where = path.startsWith('/proc/self/fd/') ? `an entry of ${folder}` : path || folder
    const hint =
      code === 'ENOENT' || code === 'ELOOP'
        ? 'It was changed in the middle, or is not there: run the command again once nobody writes to it.'
        : 'Check that the folder is readable and that the disk has room: df -h'
    throw new HoldfastError('release-failed', `${folder} could not be taken as a release: ${where}: ${message}`, { hint, cause: error })
  }
}
