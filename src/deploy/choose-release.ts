import type { Config } from '../config/model.js'
import { loadReleaseConfig } from '../config/release.js'
import { HoldfastError } from '../errors.js'
import type { Release } from '../release/release.js'
import type { State } from '../release/state.js'
import { listReleases, readRelease, releaseFolder, takeFolder } from '../release/store.js'
import { runProgram } from '../systemd/systemctl.js'
import type { InstalledApp } from './app.js'
import type { Source } from './request.js'

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
 * The release to bring up: what lies in the source folder, or what is recorded as good. Undefined where
 * nothing is recorded.
 */
export async function chooseRelease(app: InstalledApp, state: State, from: Source): Promise<ReleaseChoice | undefined> {
  const { directory, snapshot } = app.config
  if (from === 'folder' && directory !== undefined) {
    const taken = takeFolder(app.paths, directory, { snapshot, ...(await groupOf(app.config)) })
    return withConfig(app, taken.release, taken.reused)
  }
  // During a handover `wanted` is ahead of what is live; after a crash in its middle, the live one counts.
  // Without a state, the marks on the releases themselves still tell.
  const id = state.live?.release ?? listReleases(app.paths).findLast((release) => release.outcome === 'good')?.id
  return id === undefined ? undefined : chooseRecorded(app, id)
}

/** A release that is on disk, as it was recorded. @throws HoldfastError `release-failed` */
export const chooseRecorded = (app: InstalledApp, id: string): ReleaseChoice => withConfig(app, readRelease(app.paths, id), undefined)

function withConfig(app: InstalledApp, release: Release, reused: boolean | undefined): ReleaseChoice {
  const { config, notes } = loadReleaseConfig(app.config, releaseFolder(app.paths, release))
  return { release, reused, config, notes }
}

/** The group that may read what the owner of the source alone could: the app's own account's. */
async function groupOf({ user }: Config): Promise<{ group?: number }> {
  if (user === undefined) return {}
  const { status, stdout } = await runProgram('id', ['-g', '--', user])
  if (status !== 0) {
    throw new HoldfastError('machine-unfit', `user = ${JSON.stringify(user)}: there is no such account`, { hint: `adduser --system --group ${user}` })
  }
  return { group: Number(stdout) }
}
