import { createHash } from 'node:crypto'
import { mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { HoldfastError } from '../../errors.js'
import { unpackArchive } from '../../release/archive.js'
import { showName } from '../../release/archive-refusal.js'
import { fetchSource } from '../../release/fetch.js'
import { layOver } from '../../release/lay-over.js'
import type { Release } from '../../release/release.js'
import { copyFolder, fingerprintFolder } from '../../release/snapshot.js'
import type { Fetched, ReleaseSource, SourceSpec, UnpackLimits } from '../../release/source-spec.js'
import type { StepTelling } from './deploy-log.js'
import { codeFolder, type DeploySite } from './deploy-site.js'
import { lastGit } from './last-git.js'

/** A source that is on this machine, with its overlay. */
export interface FetchedSource {
  main: Fetched
  overlay?: Fetched
}

/** The code in the staging folder, and where it came from. */
export interface StagedCode {
  folder: string
  source: ReleaseSource
  overlay?: NonNullable<Release['overlay']>
  fingerprint: string
}

export async function fetchAll(site: DeploySite, telling: StepTelling): Promise<FetchedSource> {
  const { source, overlay } = site.request
  const main = await fetchOne(site, source, site.staging, telling)
  if (main.source.kind === 'git') telling.result(`${main.source.branch} at ${main.source.commit.slice(0, 12)}`)
  if (overlay === undefined) return { main }
  const place = join(site.staging, 'overlay')
  mkdirSync(place, { mode: 0o711 })
  return { main, overlay: await fetchOne(site, overlay, place, telling) }
}

function fetchOne({ app, signal }: DeploySite, spec: SourceSpec, staging: string, telling: StepTelling): Promise<Fetched> {
  const { maxBytes } = app.config.source
  const last = lastGit(app.paths)
  return fetchSource(spec, staging, {
    limitBytes: maxBytes,
    state: app.paths.state,
    ...(last === undefined ? {} : { lastGit: { repository: last.repository, branch: last.branch } }),
    onProgress: ({ bytes, totalBytes }) => telling.progress(bytes, 'bytes', totalBytes),
    onNote: (text) => telling.output(text),
    signal,
  })
}

export async function unpackAll(site: DeploySite, { main, overlay }: FetchedSource, telling: StepTelling): Promise<StagedCode> {
  const folder = codeFolder(site)
  const { maxBytes, maxFiles } = site.app.config.source
  // A repository is as its owners arranged it; an archive may be made with a folder around all.
  const { fingerprint, used } = await unpackOne(site, main, folder, telling, { limits: { bytes: maxBytes, files: maxFiles }, strip: main.source.kind === 'archive' })
  if (overlay === undefined) return { folder, source: main.source, fingerprint }
  if (overlay.source.kind !== 'archive') throw new HoldfastError('archive-refused', 'the overlay is no archive')
  const over = join(site.staging, 'overlay', 'code')
  // The two together are the release.
  const left = { bytes: Math.max(0, maxBytes - used.bytes), files: Math.max(0, maxFiles - used.files) }
  const { fingerprint: overPrint } = await unpackOne(site, overlay, over, telling, { limits: left, strip: false })
  layOver(over, folder)
  const { name, url, sha256 } = overlay.source
  return {
    folder,
    source: main.source,
    overlay: { name: url ?? name, sha256 },
    fingerprint: createHash('sha256').update(`${fingerprint} ${overPrint}`).digest('hex'),
  }
}

interface Unpacking {
  limits: UnpackLimits
  /** See `unpackArchive`. */
  strip: boolean
}

interface UnpackedSource {
  /** What tells this source from another, or from itself at another time. */
  fingerprint: string
  used: UnpackLimits
}

async function unpackOne({ readers, signal }: DeploySite, fetched: Fetched, folder: string, telling: StepTelling, { limits, strip }: Unpacking): Promise<UnpackedSource> {
  if (fetched.kind === 'directory') {
    const before = fingerprintFolder(fetched.path)
    const used = copyFolder(fetched.path, folder, { ...readers, limits })
    if (fingerprintFolder(fetched.path) === before) return { fingerprint: before, used }
    throw new HoldfastError('release-failed', `${fetched.path} was changed while it was copied`, { hint: 'Run the same again once whatever writes there has finished.' })
  }
  const { size } = statSync(fetched.file)
  const { files, bytes, stripped } = await unpackArchive(fetched.file, folder, {
    limits, strip, ...readers, signal,
    onProgress: (progress) => telling.progress(progress.bytes, 'bytes', size),
  })
  telling.result(`${files} files, ${(bytes / 2 ** 20).toFixed(1)}M${stripped === undefined ? '' : `; all lay in ${showName(stripped)}, which is left out`}`)
  const { source } = fetched
  const fingerprint = source.kind === 'archive' ? source.sha256 : createHash('sha256').update(JSON.stringify(source)).digest('hex')
  return { fingerprint, used: { bytes, files } }
}
