import { chmodSync, lstatSync, renameSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { refuseEntry } from './archive-refusal.js'
import { readTree } from './read-tree.js'
import { findBadLinks, newFolder, type FolderNode, type TreeNode } from './release-tree.js'
import { removeRelease } from './store.js'

/**
 * Moves what is in `overlay`, as `unpackArchive` made it, over a folder of code on the same filesystem;
 * `overlay` is gone afterwards. A folder over a folder merges and keeps the rights of the lower one;
 * anything else takes the place of what has its name, whatever that is. No link of the lower one is
 * followed. Only the caller may write to either.
 * @throws HoldfastError `archive-refused`, with nothing changed, when a link would lead out of the folder that did not before
 */
export function layOver(overlay: string, folder: string): void {
  const over = readTree(overlay)
  const under = readTree(folder)
  // A source folder may have links of its own that lead elsewhere; they are its owner's.
  const before = new Set(findBadLinks(under).map(({ path }) => path))
  const added = linkPaths(over)
  const bad = findBadLinks(merge(over, under)).find(({ path }) => !before.has(path) || added.has(path))
  if (bad !== undefined) throw refuseEntry(bad.path, bad.why)
  moveOver(over, overlay, folder)
  removeRelease(overlay)
}

function merge(over: FolderNode, under: FolderNode): FolderNode {
  const merged = newFolder()
  for (const [name, node] of under.entries) merged.entries.set(name, node)
  for (const [name, node] of over.entries) {
    const below = under.entries.get(name)
    merged.entries.set(name, node.kind === 'folder' && below?.kind === 'folder' ? merge(node, below) : node)
  }
  return merged
}

function linkPaths(root: FolderNode, at = ''): Set<string> {
  const paths = new Set<string>()
  for (const [name, node] of root.entries) {
    if (node.kind === 'link') paths.add(at + name)
    if (node.kind === 'folder') for (const path of linkPaths(node, `${at}${name}/`)) paths.add(path)
  }
  return paths
}

function moveOver(over: FolderNode, from: string, to: string): void {
  whileWritable(to, () => {
    chmodSync(from, 0o700)
    for (const [name, node] of over.entries) moveEntry(node, join(from, name), join(to, name))
  })
  rmdirSync(from)
}

function moveEntry(node: TreeNode, from: string, to: string): void {
  const there = lstatSync(to, { throwIfNoEntry: false })
  if (node.kind === 'folder' && there?.isDirectory() === true) return moveOver(node, from, to)
  // rename(2) takes the place of a file or link, never of a folder.
  if (there !== undefined && (node.kind === 'folder' || there.isDirectory())) removeRelease(to)
  if (node.kind === 'folder') {
    const mode = lstatSync(from).mode & 0o777
    chmodSync(from, 0o700) // to be moved by another than root it must be writable itself
    renameSync(from, to)
    chmodSync(to, mode)
  } else {
    renameSync(from, to)
  }
}

/** Sealed folders are read-only: also for their owner, where that is not root. */
function whileWritable(folder: string, act: () => void): void {
  const mode = lstatSync(folder).mode & 0o777
  chmodSync(folder, mode | 0o700)
  try {
    act()
  } finally {
    chmodSync(folder, mode)
  }
}
