import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { formatSize } from '../config/size.js'
import { parseAddress, showAddress } from '../config/web-address.js'
import { HoldfastError } from '../errors.js'
import { compareChecksum, takeArchive } from './archive-file.js'
import { findChecksum, largestChecksumFileBytes } from './checksum-file.js'
import { download, explainDownloadError, isConnectionLost, type DownloadOptions } from './download.js'
import { spool, type Spooled } from './spool.js'
import type { Fetched, FetchOptions, SourceSpec } from './source-spec.js'

/** How often a download begins anew whose connection was cut. */
const mostRetries = 2

/**
 * Fetches an archive by its address into `archive` of the staging folder, once its SHA-256 is known, and compares.
 * @throws HoldfastError `usage` for an address that cannot be, `fetch-failed`, `system-refused`
 */
export async function fetchAddress(spec: Extract<SourceSpec, { kind: 'address' }>, staging: string, options: FetchOptions & DownloadOptions): Promise<Fetched> {
  const url = takeAddress(spec.url)
  const shown = showAddress(url.href)
  const name = nameOf(url)
  const expected = spec.sha256 === undefined ? await fetchChecksum(spec, name, staging, options) : takeDigits(spec.sha256, shown)
  const file = join(staging, 'archive')
  const { sha256 } = await fetchFile(url, file, options)
  try {
    compareChecksum(shown, expected, sha256)
  } catch (error) {
    await rm(file, { force: true })
    throw error
  }
  return { kind: 'archive', file, source: { kind: 'archive', name, url: shown, sha256 } }
}

/** @throws HoldfastError `usage` for digits that are no SHA-256 */
export function takeDigits(sha256: string, what: string): string {
  if (/^[0-9a-f]{64}$/i.test(sha256)) return sha256.toLowerCase()
  throw new HoldfastError('usage', `the SHA-256 of ${what} is not one: 64 hexadecimal digits were expected, and ${sha256.length} characters given`, { hint: 'sha256sum FILE   # prints it' })
}

async function fetchChecksum(spec: Extract<SourceSpec, { kind: 'address' }>, name: string, staging: string, options: FetchOptions & DownloadOptions): Promise<string> {
  if (spec.checksumUrl === undefined) {
    throw new HoldfastError('usage', `${showAddress(spec.url)} needs a checksum: what is behind an address can be changed by others`, { hint: 'add --sha256, with what sha256sum says of the file where it was made' })
  }
  const url = takeAddress(spec.checksumUrl)
  const folder = await mkdtemp(join(staging, 'checksum-'))
  try {
    const file = join(folder, 'file')
    // Its size is no part of the archive's progress.
    const { onProgress: _onProgress, ...rest } = options
    await fetchFile(url, file, { ...rest, limitBytes: largestChecksumFileBytes })
    return findChecksum(await readFile(file, 'utf8'), name, showAddress(url.href))
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code !== 'fetch-failed' || error.message.startsWith('the checksum file')) throw error
    throw new HoldfastError('fetch-failed', `the checksum file: ${error.message}`, { ...(error.hint === undefined ? {} : { hint: error.hint }), cause: error })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function fetchFile(url: URL, file: string, options: FetchOptions & DownloadOptions): Promise<Spooled> {
  if (url.protocol === 'file:') return await takeArchive(pathOf(url), file, options)
  const { onProgress, onNote, signal } = options
  for (let retries = 0; ; retries += 1) {
    let taken = 0
    let at = url
    try {
      const { body, ...size } = await download(url, { ...options, onAsk: (asked) => (at = asked) })
      return await spool(body, file, {
        what: showAddress(url.href),
        limitBytes: options.limitBytes,
        ...size,
        onProgress: (progress) => {
          taken = progress.bytes
          onProgress?.(progress)
        },
        ...(signal === undefined ? {} : { signal }),
      })
    } catch (error) {
      signal?.throwIfAborted()
      if (!isConnectionLost(error) || retries === mostRetries) throw explainDownloadError(error, at, url)
      onNote?.(`the connection to ${at.host} was cut after ${formatSize(Math.ceil(taken / 1024) * 1024)}: beginning anew (${retries + 1} of ${mostRetries})`)
    }
  }
}

function takeAddress(text: string): URL {
  const url = parseAddress(text)
  if (url !== undefined && ['https:', 'http:', 'file:'].includes(url.protocol)) return url
  throw new HoldfastError('usage', `${showAddress(text)} is no address that can be fetched`, { hint: 'use one that begins with https:// or file:///' })
}

function pathOf(url: URL): string {
  try {
    return fileURLToPath(url)
  } catch (error) {
    throw new HoldfastError('usage', `${showAddress(url.href)} names no file of this machine`, { hint: 'write file:///path/of/the/archive.tar.gz, with three slashes', cause: error })
  }
}

/** The file name that an address ends with, as people write it. */
function nameOf(url: URL): string {
  const last = url.pathname.split('/').findLast((part) => part !== '') ?? 'download'
  try {
    return decodeURIComponent(last)
  } catch {
    return last
  }
}
