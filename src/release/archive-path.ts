import { isUtf8 } from 'node:buffer'
import { refuseEntry } from './archive-refusal.js'

/** Of one name, as filesystems have it (NAME_MAX). */
const nameBytes = 255
/** Of a whole path; with the folder before it, it stays below the kernel's PATH_MAX of 4096. */
const pathBytes = 2048
/** Folders in folders. Each takes a descriptor when a release is copied. */
const depth = 128
/** Of what a symbolic link says; the kernel would take 4095. */
const targetBytes = 1024

/**
 * The parts of an entry's path, without the `.` in it; none for the root itself.
 * @throws HoldfastError `archive-refused`
 */
export function parsePath(raw: Buffer): string[] {
  if (raw.length === 0) throw refuseEntry(raw, 'has no name')
  if (raw.includes(0)) throw refuseEntry(raw, 'has a NUL in its name')
  if (!isUtf8(raw)) throw refuseEntry(raw, 'has a name that is not UTF-8')
  if (raw.length > pathBytes) throw refuseEntry(raw, `has a path of ${raw.length} bytes, and ${pathBytes} are the most`)
  const path = raw.toString('utf8')
  if (path.startsWith('/')) throw refuseEntry(raw, 'has an absolute path')
  const parts = path.split('/').filter((part) => part !== '' && part !== '.')
  if (parts.includes('..')) throw refuseEntry(raw, 'leads out of the release: it has ".." in its path')
  if (parts.length > depth) throw refuseEntry(raw, `lies ${parts.length} folders deep, and ${depth} are the most`)
  if (parts.some((part) => Buffer.byteLength(part) > nameBytes)) throw refuseEntry(raw, `has a name of more than ${nameBytes} bytes`)
  return parts
}

/**
 * What a symbolic link says, as text. Where it leads can only be told once the whole tree is known.
 * @throws HoldfastError `archive-refused`
 */
export function parseTarget(name: Buffer, raw: Buffer): string {
  if (raw.length === 0) throw refuseEntry(name, 'is a symbolic link to nothing')
  if (raw.length > targetBytes) throw refuseEntry(name, `is a symbolic link of ${raw.length} bytes, and ${targetBytes} are the most`)
  if (raw.includes(0) || !isUtf8(raw)) throw refuseEntry(name, 'is a symbolic link to a name that is not UTF-8')
  return raw.toString('utf8')
}
