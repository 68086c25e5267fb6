import type { Config } from '../config/model.js'
import { loadReleaseConfig } from '../config/release.js'
import { HoldfastError } from '../errors.js'
import type { AppPaths } from '../release/paths.js'
import type { Release } from '../release/release.js'
import type { State } from '../release/state.js'
import { installFile, listReleases, readRelease, releaseFolder, takeFolder } from '../release/store.js'
import { readersOf } from './operation/readers-of.js'
import type { InstalledApp } from './app.js'
import { findWanted } from './wanted.js'
import type { HandoverOrder, HandoverRequest } from './request.js'

export interface ReleaseChoice {
  release: Release
  /** Undefined where the folder was not looked at. */
  reused: boolean | undefined
  /** The installed configuration with what the release itself may set. */
  config: Config
  /** What the release's own configuration says in vain. */
  notes: string[]
}

/**
 * The release to bring up: what was ordered, what somebody wrote into the file `wanted`, what lies in the source folder,
 * or what is recorded as good. Undefined where nothing is recorded.
 */
export async function chooseRelease(app: InstalledApp, state: State, request: HandoverRequest): Promise<ReleaseChoice | undefined> {
  if (request.from === 'order') return chooseRecorded(app, orderedRelease(app, state, request.order))
  // A boot and a retry bring up what has proved itself; with nothing that has, what is wanted is all there is.
  if (request.from === 'folder' || state.live === undefined) {
    const wanted = await findWanted(app, state)
    if (wanted !== undefined) return withConfig(app, wanted, undefined)
  }
  const { directory, snapshot, source: { versionFile } } = app.config
  if (request.from === 'folder' && directory !== undefined) {
    const taken = takeFolder(app.paths, directory, { snapshot, ...(await readersOf(app)), ...(versionFile === undefined ? {} : { versionFile }) })
    return withConfig(app, taken.release, taken.reused)
  }
  const id = recordedRelease(app.paths, state)
  return id === undefined ? undefined : chooseRecorded(app, id)
}

/**
 * What a start brings up. During a handover `wanted` is ahead of what is live; after a crash in its middle, the live one
 * counts. Without a state, the marks on the releases themselves still tell.
 */
export const recordedRelease = (paths: AppPaths, state: State): string | undefined =>
  state.live?.release ?? listReleases(paths).findLast((release) => release.outcome === 'good')?.id

/** A release that is on disk, as it was recorded. @throws HoldfastError `release-failed` */
export const chooseRecorded = (app: InstalledApp, id: string): ReleaseChoice => withConfig(app, readRelease(app.paths, id), undefined)

function orderedRelease({ paths: { app } }: InstalledApp, { live }: State, { release, began }: HandoverOrder): string {
  // Its own release is live: it was killed after it had recorded that, and what comes after is to be done again.
  if (live?.release === began || live?.release === release) return release
  throw new HoldfastError('state-changed', `release ${release} was to take the place of ${began ?? 'nothing'}, but ${live?.release ?? 'nothing'} is live by now: somebody else has brought it up meanwhile`, {
    hint: `holdfast status ${app}   # then run it again, if it is still wanted`,
  })
}

function withConfig(app: InstalledApp, release: Release, reused: boolean | undefined): ReleaseChoice {
  const { config, notes } = loadReleaseConfig(app.config, releaseFolder(app.paths, release), { installFile: installFile(app.paths, release) })
  return { release, reused, config, notes }
}
