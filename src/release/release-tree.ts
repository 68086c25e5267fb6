import { showName } from './archive-refusal.js'

/**
 * The files of a release as a tree in memory: which names there are, of which kind, and where each
 * symbolic link leads. Touches no filesystem, so that a link is judged before it is made.
 */
export interface FolderNode {
  kind: 'folder'
  entries: Map<string, TreeNode>
  /** As the archive has it; undefined where only something below it was named. */
  mode?: number
}
export type TreeNode = FolderNode | { kind: 'file' } | { kind: 'link'; target: string }

export const newFolder = (): FolderNode => ({ kind: 'folder', entries: new Map() })

/** As many links in a row as the kernel follows (path_resolution(7)). */
const linksInARow = 40

/** A symbolic link that no release may hold, and why, as the end of a sentence that its path begins. */
export interface BadLink {
  path: string
  why: string
}

/**
 * Judges each symbolic link of a tree as the kernel would follow it from the place where it lies, with
 * `..` taken after the links before it: `a -> b/..` leads wherever `b` does. What is not there counts
 * as a folder, since it may come to be one.
 * @returns those that are absolute, lead out of `root`, even for a moment, or go round in a circle
 */
export function findBadLinks(root: FolderNode): BadLink[] {
  const bad: BadLink[] = []
  // Links to links to long paths cost steps without end: an honest tree takes a few for each link.
  let steps = 1_000_000

  const follow = (target: string, from: readonly FolderNode[]): string | undefined => {
    const at: (TreeNode | undefined)[] = [...from]
    const ahead = target.split('/').reverse()
    if (target.startsWith('/')) return 'is a symbolic link with an absolute path'
    for (let links = 0; ahead.length > 0; ) {
      steps -= 1
      if (steps < 0) return 'is one of too many links to links'
      const name = ahead.pop() as string
      if (name === '' || name === '.') continue
      if (name === '..') {
        if (at.length === 1) return 'is a symbolic link that leads out of the release'
        at.pop()
        continue
      }
      const here = at.at(-1)
      const next = here?.kind === 'folder' ? here.entries.get(name) : undefined
      if (next?.kind !== 'link') {
        at.push(next)
        continue
      }
      links += 1
      if (links > linksInARow) return 'is a symbolic link that goes round in a circle'
      if (next.target.startsWith('/')) return 'is a symbolic link that leads out of the release'
      ahead.push(...next.target.split('/').reverse())
    }
    return undefined
  }

  const visit = (folders: readonly FolderNode[], path: string): void => {
    for (const [name, node] of (folders.at(-1) as FolderNode).entries) {
      const child = path === '' ? name : `${path}/${name}`
      if (node.kind === 'folder') visit([...folders, node], child)
      if (node.kind !== 'link') continue
      steps += 100
      const why = follow(node.target, folders)
      if (why !== undefined) bad.push({ path: child, why: `${why} (-> ${showName(node.target)})` })
    }
  }
  visit([root], '')
  return bad
}
