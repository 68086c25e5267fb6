import { closeSync, fchmodSync, fsyncSync, mkdirSync, openSync, readdirSync, renameSync, rmSync, writeSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

/**
 * Writes a file so that a crash at any instant leaves either the old contents or the new: to a
 * temporary name beside it, synced, renamed, and the folder synced. Makes the folder (0755).
 */
export function writeDurably(file: string, text: string | Uint8Array, mode = 0o644): void {
  const folder = dirname(file)
  mkdirSync(folder, { recursive: true, mode: 0o755 })
  const temporary = `${file}.${process.pid}.new`
  const fd = openSync(temporary, 'w', mode)
  try {
    fchmodSync(fd, mode) // whatever the umask
    const bytes = typeof text === 'string' ? Buffer.from(text) : text
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at)
    fsyncSync(fd)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  } finally {
    closeSync(fd)
  }
  renameSync(temporary, file)
  syncFolder(folder)
}

/** The temporary files beside a file that writers have left which were killed in the middle. */
export function findUnfinished(file: string): string[] {
  let names: string[]
  try {
    names = readdirSync(dirname(file))
  } catch {
    return []
  }
  const isUnfinished = (rest: string): boolean => /^\.\d+\.new$/.test(rest)
  return names.filter((name) => name.startsWith(basename(file)) && isUnfinished(name.slice(basename(file).length))).map((name) => join(dirname(file), name))
}

/** Makes a rename or a removal in this folder survive a power cut. */
export function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
