import { lstatSync } from 'node:fs'
import { dirname } from 'node:path'

/**
 * The first part of a path, from its end, that somebody other than root may change, as the middle of
 * a sentence; undefined where only root may. The path holds no links.
 */
export function findForeign(path: string): string | undefined {
  for (let part = path; ; part = dirname(part)) {
    const foreign = describeForeign(part)
    if (foreign !== undefined || part === '/') return foreign
  }
}

/** Who other than root may change this file or folder itself. */
export function describeForeign(path: string): string | undefined {
  const stat = lstatSync(path)
  if (stat.uid !== 0) return `${path} belongs to user ${stat.uid}`
  if (stat.isSymbolicLink()) return undefined
  // In a sticky folder nobody may replace what is root's.
  if (stat.isDirectory() && (stat.mode & 0o1000) !== 0) return undefined
  if ((stat.mode & 0o002) !== 0) return `everybody may write to ${path}`
  if ((stat.mode & 0o020) !== 0 && stat.gid !== 0) return `group ${stat.gid} may write to ${path}`
  return undefined
}
