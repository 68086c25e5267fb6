import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import type { SourceSettings } from '../config/model.js'
import { HoldfastError } from '../errors.js'
import type { SourceSpec } from './source-spec.js'

/** What a release may be called. Becomes part of addresses and of what people type, never of a path. */
export const versionPattern = /^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$/

/** Of package.json; a version file ends long before. */
const mostBytes = 1024 * 1024

/**
 * What a release calls itself: the first line of its version file, else of `VERSION`, else the version in package.json; of a
 * `.json` file its `version`. Follows no link, and takes nothing that is not a version.
 */
export function readVersion(folder: string, settings: Pick<SourceSettings, 'versionFile'>): string | undefined {
  for (const file of [settings.versionFile, 'VERSION', 'package.json']) {
    const text = file === undefined ? undefined : readInside(folder, file)
    const version = text === undefined ? undefined : file?.endsWith('.json') ? takeJsonVersion(text) : text.replace(/^\ufeff/, '').trimStart().split(/\r?\n/)[0]?.trim()
    if (version !== undefined && versionPattern.test(version)) return version
  }
  return undefined
}

/**
 * Where a version is fetched from.
 * @throws HoldfastError `fetch-failed` without `[source] url`, or for what is no version
 */
export function versionUrl(settings: SourceSettings, version: string): SourceSpec {
  if (!versionPattern.test(version)) {
    throw new HoldfastError('fetch-failed', `${JSON.stringify(version.slice(0, 80))} is no version: up to 64 of A-Z, a-z, 0-9, ".", "_", "+" and "-" were expected`, { hint: 'holdfast releases   # those that are here' })
  }
  if (settings.url === undefined) {
    throw new HoldfastError('fetch-failed', `version ${version} is not on this machine, and nothing says where to fetch it from`, {
      hint: 'add [source] url = "https://…/shop-{version}.tar.gz" to holdfast.toml and run `holdfast install`; or deploy it: holdfast deploy ARCHIVE',
    })
  }
  // "+" is a space in a query, and for some servers in a path.
  const put = (address: string): string => address.replaceAll('{version}', encodeURIComponent(version))
  return { kind: 'address', url: put(settings.url), checksumUrl: put(settings.checksumUrl ?? besideIt(settings.url)) }
}

/** `.sha256` behind the path, before a query. */
const besideIt = (address: string): string => address.replace(/(?=[?#])|$/, '.sha256')

function takeJsonVersion(text: string): string | undefined {
  try {
    const { version } = JSON.parse(text.replace(/^\ufeff/, '')) as { version?: unknown }
    return typeof version === 'string' ? version : undefined
  } catch {
    return undefined
  }
}

/** A file's text, opened folder by folder, each relative to the one before and none of them a link. */
function readInside(folder: string, file: string): string | undefined {
  const opened: number[] = []
  try {
    opened.push(openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY))
    for (const name of file.split('/')) {
      opened.push(openSync(`/proc/self/fd/${opened.at(-1)}/${name}`, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY))
    }
    const fd = opened.at(-1) ?? -1
    const { size } = fstatSync(fd)
    if (!fstatSync(fd).isFile() || size > mostBytes) return undefined
    const buffer = Buffer.alloc(size)
    return buffer.toString('utf8', 0, readSync(fd, buffer, 0, size, 0))
  } catch {
    return undefined
  } finally {
    for (const fd of opened) closeSync(fd)
  }
}
