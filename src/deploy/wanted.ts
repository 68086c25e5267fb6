import { rmSync } from 'node:fs'
import type { AppPaths } from '../release/paths.js'
import type { Release } from '../release/release.js'
import { changeState, type State } from '../release/state.js'
import { listReleases, readRelease } from '../release/store.js'
import { denotes, readWanted, wantedFile, writeWanted } from '../release/wanted.js'
import type { InstalledApp } from './app.js'
import { fetchVersion } from './fetch-version.js'

/**
 * The release that somebody wrote into the file `wanted`, by its id or its version; undefined where the file names what
 * is recorded anyway. A version that is not on disk is fetched.
 * @throws HoldfastError `release-failed`, `fetch-failed`, `archive-refused` or `config-invalid`
 */
export async function findWanted(app: InstalledApp, state: State): Promise<Release | undefined> {
  const { paths } = app
  const word = readWanted(paths)
  if (word === undefined) return undefined
  const onDisk = listReleases(paths)
  // A file that a killed handover left behind names what was live before or what was to be: neither is an order.
  const recorded = onDisk.filter(({ id }) => id === state.wanted || id === state.live?.release)
  if (recorded.some((release) => denotes(word, release))) return undefined
  const found = onDisk.findLast((release) => denotes(word, release))
  return found ?? fetchVersion(app, word)
}

/** Records what is about to be brought up. The file first: a power cut in between leaves the state as the truth. */
export function recordWanted(paths: AppPaths, began: State, release: Release): State {
  writeWanted(paths, release)
  return changeState(paths, began, (now) => ({ ...now, wanted: release.id }))
}

/** What was wanted failed: what is live is wanted again. With nothing live, a version that somebody wrote is left to be tried again. */
export function restoreWanted(paths: AppPaths, began: State): State {
  const { live, wanted } = began
  if (live === undefined) {
    if (wanted !== undefined && readWanted(paths) === wanted) rmSync(wantedFile(paths), { force: true })
  } else {
    writeWanted(paths, readRelease(paths, live.release))
  }
  return changeState(paths, began, (now) => ({ ...now, wanted: live?.release }))
}
