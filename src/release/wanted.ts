import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { writeDurably } from './durable-file.js'
import type { AppPaths } from './paths.js'
import type { Release } from './release.js'

/**
 * The file `wanted`: one line that names a release by its id or its version. It tells what is recorded, and takes what
 * somebody writes there: the next restart or `apply` brings that up.
 */
export const wantedFile = (paths: AppPaths): string => join(paths.state, 'wanted')

/** No id or version comes near it, in bytes. */
const longest = 256

/** What stands in the file; undefined where there is none, or nothing in it. */
export function readWanted(paths: AppPaths): string | undefined {
  let fd: number
  try {
    fd = openSync(wantedFile(paths), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch {
    return undefined
  }
  try {
    if (!fstatSync(fd).isFile()) return undefined
    const bytes = Buffer.alloc(longest)
    const word = bytes.toString('utf8', 0, readSync(fd, bytes)).trim()
    return word === '' ? undefined : word
  } finally {
    closeSync(fd)
  }
}

/** Whether a word of the file means this release. */
export const denotes = (word: string, { id, version }: Pick<Release, 'id' | 'version'>): boolean => word === id || word === version

/** Makes the file name the release; one that does so already, by a version, is left as somebody wrote it. */
export function writeWanted(paths: AppPaths, release: Pick<Release, 'id' | 'version'>): void {
  const word = readWanted(paths)
  if (word === undefined || !denotes(word, release)) writeDurably(wantedFile(paths), `${release.id}\n`)
}
