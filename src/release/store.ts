import { chmodSync, chownSync, lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { HoldfastError } from '../errors.js'
import { holdfastCommand } from './command-words.js'
import { syncFolder, writeDurably } from './durable-file.js'
import type { AppPaths } from './paths.js'
import type { Readers } from './readers.js'
import type { Release } from './release.js'
import { folderBytes } from './folder-size.js'
import { copyFolder, fingerprintFolder } from './snapshot.js'
import { readVersion } from './version.js'

/** How many releases are kept besides those that are live, wanted, still running, or where a rollback goes. */
export const releasesKept = 5

/** Where the code of a release lies: below `releases/`, or in place with `snapshot = false`. */
export function releaseFolder(paths: AppPaths, release: Release): string {
  return release.source.kind === 'directory' && !release.source.snapshot ? release.source.path : join(paths.releases, release.id)
}

/** The configuration to install for what a release proposes: that of the folder that people edit, else the release's own. */
export const installFile = (paths: AppPaths, { id, source }: Pick<Release, 'id' | 'source'>): string =>
  join(source.kind === 'directory' ? source.path : join(paths.releases, id), 'holdfast.toml')

/** @throws HoldfastError `release-failed` when there is no such release on disk. */
export function readRelease(paths: AppPaths, id: string): Release {
  const release = tryReadRelease(paths, id)
  if (release === undefined) {
    throw new HoldfastError('release-failed', `release ${id} of ${paths.app} is recorded but not in ${paths.releases}`, {
      hint: `${holdfastCommand(paths)} releases ${paths.app}   # those that there are; a deploy brings a new one`,
    })
  }
  return release
}

/** All releases whose code is on disk, oldest first. */
export function listReleases(paths: AppPaths): Release[] {
  let names: string[]
  try {
    names = readdirSync(paths.releases)
  } catch {
    return []
  }
  return names
    .filter((name) => name.endsWith('.json'))
    .map((name) => tryReadRelease(paths, name.slice(0, -'.json'.length)))
    .filter((release) => release !== undefined)
    .sort((a, b) => (a.createdAt < b.createdAt ? -1 : 1))
}

export function writeRelease(paths: AppPaths, release: Release): void {
  writeDurably(join(paths.releases, `${release.id}.json`), `${JSON.stringify(release, null, 2)}\n`)
}

/**
 * Takes what lies in the folder as a release: the one taken before where nothing changed since, else
 * a snapshot. Complete and synced when this returns; what a crash leaves has a name that is never used.
 * @throws HoldfastError `release-failed`
 */
export function takeFolder(paths: AppPaths, folder: string, options: Readers & { snapshot: boolean; versionFile?: string }): { release: Release; reused: boolean } {
  const fingerprint = fingerprintFolder(folder)
  const known = listReleases(paths)
    .reverse()
    .find(({ fingerprint: known, source }) => known === fingerprint && source.kind === 'directory' && source.path === folder && source.snapshot === options.snapshot)
  if (known !== undefined) return { release: known, reused: true }

  const release: Release = {
    id: newReleaseId(paths, new Date(), fingerprint),
    createdAt: new Date().toISOString(),
    source: { kind: 'directory', path: folder, snapshot: options.snapshot },
    fingerprint,
    outcome: 'untried',
  }
  if (options.snapshot) {
    const target = join(paths.releases, release.id)
    const unfinished = `${target}.new`
    makeReleasesFolder(paths.releases, options.group)
    removeRelease(unfinished)
    try {
      copyFolder(folder, unfinished, options)
      if (fingerprintFolder(folder) !== fingerprint) {
        throw new HoldfastError('release-failed', `${folder} was changed while it was copied`, {
          hint: `Run systemctl restart ${paths.app} again once whatever writes there has finished.`,
        })
      }
    } catch (error) {
      removeRelease(unfinished)
      throw error
    }
    renameSync(unfinished, target)
    syncFolder(paths.releases)
  }
  const code = releaseFolder(paths, release)
  const version = readVersion(code, options)
  const sizeBytes = options.snapshot ? folderBytes(code) : undefined
  const whole: Release = { ...release, ...(version === undefined ? {} : { version }), ...(sizeBytes === undefined ? {} : { sizeBytes }) }
  writeRelease(paths, whole)
  return { release: whole, reused: false }
}

/** Makes the folder of the releases. What they come from may be private; with an account of the app's own, so are they. */
export function makeReleasesFolder(folder: string, group: number | undefined): void {
  mkdirSync(folder, { recursive: true, mode: 0o755 })
  if (group === undefined) return
  chownSync(folder, -1, group)
  chmodSync(folder, 0o750)
}

/** Removes a release with its metadata, which goes first: code without it is no release. */
export function dropRelease(paths: AppPaths, id: string): void {
  rmSync(join(paths.releases, `${id}.json`), { force: true })
  removeRelease(join(paths.releases, id))
}

/**
 * Removes folders of code that have no metadata, which an interrupted snapshot left. Metadata without a folder stays: it
 * may be written a moment before its code appears.
 */
export function removeUnfinished(paths: AppPaths): void {
  const names = new Set(existingNames(paths.releases))
  for (const name of names) {
    if (!name.endsWith('.json') && !names.has(`${name}.json`)) removeRelease(join(paths.releases, name))
  }
}

/** Sealed folders are read-only: even their owner must open them first, where it is not root. */
export function removeRelease(folder: string): void {
  const open = (path: string): void => {
    if (!lstatSync(path).isDirectory()) return
    chmodSync(path, 0o700)
    for (const name of readdirSync(path)) open(join(path, name))
  }
  if (process.getuid?.() !== 0 && lstatSync(folder, { throwIfNoEntry: false }) !== undefined) open(folder)
  rmSync(folder, { recursive: true, force: true })
}

function tryReadRelease(paths: AppPaths, id: string): Release | undefined {
  // An id comes from files that root alone writes, but it becomes a path.
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(id)) return undefined
  try {
    const release = JSON.parse(readFileSync(join(paths.releases, `${id}.json`), 'utf8')) as Release
    return release.id === id && lstatSync(releaseFolder(paths, release)).isDirectory() ? release : undefined
  } catch {
    return undefined
  }
}

/** Sorts by time, tells the contents apart: `20261121-014455-3fa9c1`. */
function newReleaseId(paths: AppPaths, now: Date, fingerprint: string): string {
  const time = now.toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-')
  const base = `${time}-${fingerprint.slice(0, 6)}`
  const taken = new Set(existingNames(paths.releases))
  let id = base
  for (let n = 2; taken.has(id) || taken.has(`${id}.json`); n += 1) id = `${base}.${n}`
  return id
}

function existingNames(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}
