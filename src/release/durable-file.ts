import { spawnSync } from 'node:child_process'
import { closeSync, fchmodSync, fsyncSync, mkdirSync, openSync, readdirSync, renameSync, rmSync, writeSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { HoldfastError } from '../errors.js'

/**
 * Writes a file so that a crash at any instant leaves either the old contents or the new: to a
 * temporary name beside it, synced, renamed, and the folder synced. Makes the folder (0755).
 */
export function writeDurably(file: string, text: string | Uint8Array, mode = 0o644): void {
  const temporary = writeBeside(file, text, mode)
  try {
    renameSync(temporary, file)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
  syncFolder(dirname(file))
}

/**
 * As `writeDurably`, but only where the file still holds what is expected (undefined: is not there). Two writers that began
 * from the same contents: one wins, whenever either is killed.
 * @returns whether it was written
 */
export function swapDurably(file: string, expected: string | undefined, text: string): boolean {
  const temporary = writeBeside(file, text, 0o644)
  try {
    // flock(1): the kernel gives the lock up when its holder ends, however it does.
    const script = expected === undefined ? '[ ! -e "$1" ] && mv -fT -- "$2" "$1"' : 'cmp -s -- - "$1" && mv -fT -- "$2" "$1"'
    const { status, error, stderr } = spawnSync('flock', ['--timeout=10', '--conflict-exit-code=75', `${file}.lock`, 'sh', '-c', script, 'sh', file, temporary], { input: expected ?? '', encoding: 'utf8' })
    // EPIPE: the comparison was over before it had read all.
    if (error !== undefined && (error as NodeJS.ErrnoException).code !== 'EPIPE') throw error
    if (status === 75) throw refusal(`${file}.lock is held by somebody else for 10 s`, `fuser -v ${file}.lock`)
    if (stderr !== '') throw refusal(`${file} cannot be written: ${stderr.trim()}`, 'df -h; findmnt -o TARGET,OPTIONS')
    if (status !== 0) return false
  } finally {
    rmSync(temporary, { force: true })
  }
  syncFolder(dirname(file))
  return true
}

const refusal = (message: string, hint: string): HoldfastError => new HoldfastError('system-refused', message, { hint })

/** @returns the temporary file that holds the text, synced */
function writeBeside(file: string, text: string | Uint8Array, mode: number): string {
  mkdirSync(dirname(file), { recursive: true, mode: 0o755 })
  const temporary = `${file}.${process.pid}.new`
  const fd = openSync(temporary, 'w', mode)
  try {
    fchmodSync(fd, mode) // whatever the umask
    const bytes = typeof text === 'string' ? Buffer.from(text) : text
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at)
    fsyncSync(fd)
  } catch (error) {
    rmSync(temporary, { force: true })
    // Of a write(2), node does not say to which file.
    throw error instanceof Error ? Object.assign(error, { path: file }) : error
  } finally {
    closeSync(fd)
  }
  return temporary
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
