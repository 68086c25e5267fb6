import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, lstatSync, renameSync, type BigIntStats } from 'node:fs'
import { dirname, join } from 'node:path'
import { HoldfastError } from '../errors.js'
import { syncFolder } from './durable-file.js'
import type { Readers } from './readers.js'
import { copyFolder, walk } from './snapshot.js'
import { makeReleasesFolder, removeRelease } from './store.js'

export interface SealOptions extends Readers {
  /** Whether the folder was writable to the app's user: processes of that user may still hold it open, so what counts is a copy. */
  touched: boolean
  /** The most that it may hold, in bytes. Default: no limit. */
  maxBytes?: number
}

export interface Sealed {
  /** Of all its files, as long as they say they are. */
  sizeBytes: number
}

/**
 * Makes a folder of code a release's: the caller's own, written by nobody, synced, and there under its name as a whole
 * or not at all. Both names are on one filesystem; the old one is gone afterwards. What turns out not to be sealed is
 * copied, whether it is said to be touched or not.
 * @throws HoldfastError `release-failed`
 */
export async function sealFolder(from: string, to: string, { touched, maxBytes, ...readers }: SealOptions): Promise<Sealed> {
  const { group } = readers
  if (existsSync(to)) throw new HoldfastError('release-failed', `${to} is there already`)
  makeReleasesFolder(dirname(to), group)
  const before = touched && maxBytes === undefined ? undefined : measure(from, group)
  if (before !== undefined) checkSize(before.sizeBytes, maxBytes)
  if (!touched && before?.isSealed === true) {
    syncFilesystem(from)
    moveFolder(from, to)
    syncFolder(dirname(from))
    return { sizeBytes: before.sizeBytes }
  }
  // Not below releases/: a restart removes there what it does not know.
  const copy = join(dirname(from), 'sealed')
  removeRelease(copy)
  try {
    copyFolder(from, copy, { sync: false, ...readers })
    const { sizeBytes } = measure(copy, group)
    checkSize(sizeBytes, maxBytes)
    // Before the sync: what it holds need not be written to the disk any more.
    removeRelease(from)
    syncFilesystem(copy)
    moveFolder(copy, to)
    syncFolder(dirname(from))
    return { sizeBytes }
  } catch (error) {
    removeRelease(copy)
    throw error
  }
}

function checkSize(bytes: number, maxBytes = Infinity): void {
  if (bytes <= maxBytes) return
  throw new HoldfastError('release-failed', `the release has ${bytes} bytes with what its hooks made, and at most ${maxBytes} are allowed`)
}

/** One syncfs(2) for all; a sync of each file takes seconds per thousand. */
const syncFilesystem = (folder: string): void => void execFileSync('sync', ['--file-system', folder])

/** The size of a folder's files, and whether all of it is the caller's own and written by nobody. */
export function measure(folder: string, group?: number): { sizeBytes: number; isSealed: boolean } {
  const own = BigInt(process.geteuid?.() ?? 0)
  let sizeBytes = 0
  let isSealed = true
  const isSealedEntry = ({ mode, uid, gid }: BigIntStats, isLink: boolean): boolean =>
    uid === own && (isLink || ((mode & 0o7222n) === 0n && (group === undefined || gid === BigInt(group))))
  walk(folder, ({ stat, target }) => {
    if (stat.isFile()) sizeBytes += Number(stat.size)
    isSealed &&= isSealedEntry(stat, target !== undefined)
  })
  return { sizeBytes, isSealed }
}

/** To another folder it can be moved only by whom may write to it: its `..` changes. */
function moveFolder(from: string, to: string): void {
  const mode = lstatSync(from).mode & 0o777
  if (process.geteuid?.() !== 0) chmodSync(from, mode | 0o200)
  renameSync(from, to)
  if (process.geteuid?.() !== 0) chmodSync(to, mode)
  syncFolder(to)
  syncFolder(dirname(to))
}
