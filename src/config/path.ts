import { isAbsolute, normalize, resolve } from 'node:path'
import type { Check } from './check.js'
import { quote } from './quote.js'

/** Where Holdfast keeps its own record: an app that could write there could become root. */
const ownFolders = ['/etc/holdfast', '/var/lib/holdfast', '/run/holdfast']

/** PATH_MAX without its NUL, less what unit names and file names add. */
const longestPath = 3500

/** An absolute path in its shortest form; a `/` at its end is dropped. */
export const absolutePath: Check<string> = (value, site) => {
  if (typeof value !== 'string') return site.report(`expected an absolute path, got ${quote(value)}`)
  if (value === '') return site.report('expected an absolute path, got an empty string')
  if (/\p{Cc}/u.test(value)) return site.report(`${quote(value)} has control characters in it: use a plain path`)
  if (value.length > longestPath) return site.report(`${quote(value)} is longer than ${longestPath} characters`)
  if (value.startsWith('~')) return site.report(`${quote(value)}: ~ is the shell's; write the home folder out`)
  if (!isAbsolute(value)) return site.report(`${quote(value)} is a relative path: write an absolute one`)
  const plain = normalize(value).replace(/(?<=.)\/$/, '')
  if (plain !== value.replace(/(?<=.)\/$/, '')) return site.report(`${quote(value)} is written in a roundabout way: write ${quote(plain)}`)
  return plain
}

/** The source folder: absolute, or relative to the folder of the file. */
export const sourceFolder: Check<string> = (value, site) => {
  const { folder } = site.context
  const isRelative = typeof value === 'string' && value !== '' && !/^[/~]/.test(value) && !value.includes('\0')
  if (isRelative && folder === undefined) {
    return site.report(`${quote(value)} is a relative path: an installed configuration needs the absolute one; run \`holdfast install\` with the project's file`)
  }
  const path = absolutePath(isRelative && folder !== undefined ? resolve(folder, value) : value, site)
  if (path === undefined) return undefined
  if (path === '/') return site.report('"/" is the whole machine: name the folder of the app')
  const own = ownFolders.find((own) => path === own || path.startsWith(`${own}/`))
  return own === undefined ? path : site.report(`${quote(path)} is a folder of Holdfast's own: the app's code must be elsewhere, such as "/srv/shop"`)
}

/** A path of ReadWritePaths=: neither everything nor Holdfast's own record. */
export const writePath: Check<string> = (value, site) => {
  const path = absolutePath(value, site)
  if (path === undefined) return undefined
  if (path === '/') return site.report('"/" would open the whole machine: name the folders that the app writes to')
  const own = ownFolders.find((own) => path === own || path.startsWith(`${own}/`) || own.startsWith(`${path}/`))
  return own === undefined ? path : site.report(`${quote(path)} would let the app change ${own}, Holdfast's own record: name a folder outside it`)
}
