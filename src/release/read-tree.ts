import { readdirSync, readlinkSync } from 'node:fs'
import { newFolder, type FolderNode } from './release-tree.js'

/**
 * The names, kinds and links of a folder on disk; links are not followed, and sockets, pipes and
 * devices are left out. Of one that somebody else may write to, it is only what was there.
 * @param isExcluded by relative path; of a folder, nothing below is asked about
 */
export function readTree(folder: string, isExcluded: (path: string) => boolean = () => false): FolderNode {
  const read = (at: string): FolderNode => {
    const node = newFolder()
    for (const entry of readdirSync(at === '' ? folder : `${folder}/${at}`, { withFileTypes: true })) {
      const path = at === '' ? entry.name : `${at}/${entry.name}`
      if (isExcluded(path)) continue
      if (entry.isDirectory()) node.entries.set(entry.name, read(path))
      else if (entry.isFile()) node.entries.set(entry.name, { kind: 'file' })
      else if (entry.isSymbolicLink()) node.entries.set(entry.name, { kind: 'link', target: readlinkSync(`${folder}/${path}`) })
    }
    return node
  }
  return read('')
}
