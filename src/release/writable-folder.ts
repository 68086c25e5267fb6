import { chmodSync, closeSync, constants, copyFileSync, fchmodSync, fchownSync, futimesSync, openSync, renameSync, type BigIntStats } from 'node:fs'
import { dirname } from 'node:path'
import { randomBytes } from 'node:crypto'
import { walk } from './snapshot.js'

/**
 * Makes a folder of code, as it was unpacked or copied, writable to its owner. A file that another release has as well
 * (a hard link of reused dependencies) becomes a copy: what is written here must not be written there. Of a system's
 * own, nobody but root gets into the folder until it is given to somebody.
 * @throws HoldfastError `release-failed`
 */
export function openWritable(folder: string): void {
  const fd = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
  try {
    fchownSync(fd, process.geteuid?.() ?? -1, -1)
    fchmodSync(fd, 0o700)
  } finally {
    closeSync(fd)
  }
  walk(folder, ({ path, at, stat, fd }) => {
    if (path === '' || fd === undefined) return
    if (stat.isDirectory()) fchmodSync(fd, modeOf(stat) | 0o700)
    else if (stat.nlink > 1n) replaceByCopy(at, fd, stat)
    else fchmodSync(fd, modeOf(stat) | 0o200)
  })
}

const modeOf = (stat: BigIntStats): number => Number(stat.mode) & 0o777

function replaceByCopy(at: string, fd: number, stat: BigIntStats): void {
  const copy = `${dirname(at)}/.holdfast-${randomBytes(6).toString('hex')}`
  copyFileSync(`/proc/self/fd/${fd}`, copy, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE)
  chmodSync(copy, modeOf(stat) | 0o200)
  const to = openSync(copy, 'r')
  try {
    futimesSync(to, Number(stat.atimeMs) / 1000, Number(stat.mtimeMs) / 1000)
  } finally {
    closeSync(to)
  }
  renameSync(copy, at)
}
