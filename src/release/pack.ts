import { resolve } from 'node:path'
import type { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { HoldfastError } from '../errors.js'
import { parsePath } from './archive-path.js'
import { refuseEntry } from './archive-refusal.js'
import { readTree } from './read-tree.js'
import { findBadLinks, type FolderNode } from './release-tree.js'

export interface PackOptions {
  /** By path relative to the folder; of a folder, all below is left out with it. */
  exclude?(path: string): boolean
  /** Bytes of archive that were written so far. */
  onProgress?(progress: { bytes: number }): void
  signal?: AbortSignal
}

/**
 * Writes a folder as a .tar.gz, in the order of names, and ends `out`. Links stay links; sockets, pipes
 * and devices are left out. Names its root, so that `unpackArchive` makes the same tree of it.
 * @throws HoldfastError `archive-refused`, before anything is written, for what `unpackArchive` would
 * refuse: a link out of the folder, or a name that is not UTF-8; `release-failed` when it cannot be read
 */
export async function packFolder(folder: string, out: Writable, options: PackOptions = {}): Promise<void> {
  const { Pack } = await import('tar')
  const { onProgress, signal } = options
  let bytes = 0
  const paths = listPaths(folder, options.exclude)
  const pack = new Pack({ cwd: resolve(folder), gzip: { level: 6 }, portable: true, noDirRecurse: true, strict: true })
  // It cannot be stopped: once `out` has failed it reads on until its buffers are full, and may fail, too.
  let failure: Error | undefined
  pack.on('error', (error: unknown) => (failure ??= error as Error))
  const chunks = async function* (): AsyncIterable<Buffer> {
    for await (const chunk of pack as unknown as AsyncIterable<Buffer>) {
      bytes += chunk.length
      onProgress?.({ bytes })
      yield chunk
    }
  }
  const packed = pipeline(chunks, out, signal === undefined ? {} : { signal })
  for (const path of paths) pack.write(path)
  pack.end()
  try {
    await packed
  } catch (error) {
    const { code, path, message } = error as NodeJS.ErrnoException
    if (signal?.aborted === true || (error !== failure && (path === undefined || code === undefined))) throw error
    throw unreadable(folder, message, error)
  }
  // It may have failed before anybody read of it.
  if (failure !== undefined) throw unreadable(folder, failure.message, failure)
}

/** All that goes in, folders before what is in them. */
function listPaths(folder: string, exclude: PackOptions['exclude']): string[] {
  const paths = ['./']
  const list = (node: FolderNode, at: string): void => {
    for (const [name, child] of [...node.entries].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const path = at + name
      parsePath(Buffer.from(path))
      // Node shows bytes that are not UTF-8 so; no file of such a name could be opened.
      if (path.includes('\ufffd')) throw refuseEntry(path, 'has a name that is not UTF-8')
      paths.push(`./${path}`)
      if (child.kind === 'folder') list(child, `${path}/`)
    }
  }
  let tree: FolderNode
  try {
    tree = readTree(folder, exclude)
  } catch (error) {
    throw unreadable(folder, (error as Error).message, error)
  }
  const [bad] = findBadLinks(tree)
  if (bad !== undefined) throw refuseEntry(bad.path, bad.why)
  list(tree, '')
  return paths
}

function unreadable(folder: string, message: string, cause: unknown): HoldfastError {
  return new HoldfastError('release-failed', `${folder} could not be packed: ${message}`, { hint: 'It must be readable, and nobody may write to it meanwhile: then run the command again.', cause })
}
