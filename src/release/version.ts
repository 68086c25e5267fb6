import { closeSync, constants, fstatSync, openSync, readSync, realpathSync } from 'node:fs'
import { join, sep } from 'node:path'

/** What a release may call itself: it is typed on command lines and shown in tables. */
const versionPattern = /^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$/

/**
 * What a release calls itself: the first line of `versionFile`, else of `VERSION`, else `version` of its package.json.
 * Undefined where none of them tells a version that can be one.
 */
export function readVersion(folder: string, versionFile?: string): string | undefined {
  if (versionFile !== undefined) return fromText(readInside(folder, versionFile))
  return fromText(readInside(folder, 'VERSION')) ?? fromPackage(readInside(folder, 'package.json'))
}

function fromText(text: string | undefined): string | undefined {
  const line = text?.trim().split('\n')[0]?.trim()
  return line !== undefined && versionPattern.test(line) ? line : undefined
}

function fromPackage(text: string | undefined): string | undefined {
  try {
    const { version } = JSON.parse(text ?? '{}') as { version?: unknown }
    return typeof version === 'string' && versionPattern.test(version) ? version : undefined
  } catch {
    return undefined
  }
}

/** The reader may be root and the folder anybody's: no link leads out of it, and nothing is waited for. */
function readInside(folder: string, path: string): string | undefined {
  let fd: number
  try {
    const file = realpathSync(join(folder, path))
    if (!file.startsWith(realpathSync(folder) + sep)) return undefined
    fd = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch {
    return undefined
  }
  try {
    if (!fstatSync(fd).isFile()) return undefined
    const bytes = Buffer.alloc(256 * 1024)
    return bytes.toString('utf8', 0, readSync(fd, bytes, 0, bytes.length, 0))
  } finally {
    closeSync(fd)
  }
}
