import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The parsed package.json of a release: what somebody else wrote. */
export type Package = Record<string, unknown>

const longestFile = 64 << 20

/** The bytes of a plain file of a release; undefined where there is none, `other` for a link, a folder or one that is far too long. */
export function readPlain(file: string): Buffer | 'other' | undefined {
  let fd: number
  try {
    fd = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? undefined : 'other'
  }
  try {
    const stat = fstatSync(fd)
    return stat.isFile() && stat.size <= longestFile ? readFileSync(fd) : 'other'
  } finally {
    closeSync(fd)
  }
}

/** The package.json of a folder, or in words why it cannot be read. */
export function readPackage(folder: string): Package | string {
  const bytes = readPlain(join(folder, 'package.json'))
  if (bytes === undefined) return 'there is no package.json'
  try {
    const value: unknown = bytes === 'other' ? undefined : JSON.parse(bytes.toString('utf8'))
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Package
  } catch {
    // Said below.
  }
  return 'package.json cannot be read'
}
