import { lstatSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

/**
 * The bytes of all files below a folder, by their lengths; blocks that files share on disk count for each of them. Of a file,
 * its own length. Undefined where it cannot be looked through.
 */
export function folderBytes(path: string): number | undefined {
  try {
    const stat = lstatSync(path)
    if (!stat.isDirectory()) return stat.size
    let bytes = 0
    for (const name of readdirSync(path)) {
      const inside = folderBytes(join(path, name))
      if (inside === undefined) return undefined
      bytes += inside
    }
    return bytes
  } catch {
    return undefined
  }
}
