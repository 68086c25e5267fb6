import { rmSync } from 'node:fs'
import { HoldfastError } from '../errors.js'
import { holdfastCommand } from '../release/command-words.js'
import { readHistory } from '../release/history.js'
import type { AppPaths } from '../release/paths.js'
import type { Release } from '../release/release.js'
import { changeState, type State } from '../release/state.js'
import { listReleases } from '../release/store.js'
import { versionPattern } from '../release/version.js'
import { denotes, readWanted, wantedFile, writeWanted } from '../release/wanted.js'
import type { InstalledApp } from './app.js'
import { fetchVersion } from './operation/fetch-version.js'
import { passedContracts } from './operation/previous-release.js'

/** What the file `wanted` asks for. */
export type Asked =
  /** The file names what is recorded anyway, or nothing. */
  | { kind: 'nothing' }
  | { kind: 'release'; release: Release }
  /** Neither a release on disk nor the version of one. */
  | { kind: 'elsewhere'; word: string }

/** What somebody wrote into the file `wanted`, as far as it is on disk. */
export function findOnDisk(paths: AppPaths, state: State): Asked {
  const word = readWanted(paths)
  // The id of what is recorded is no order, even with its code gone.
  if (word === undefined || word === state.wanted || word === state.live?.release) return { kind: 'nothing' }
  const onDisk = listReleases(paths)
  // A file that a killed handover left behind names what was live before or what was to be: neither is an order.
  const recorded = onDisk.filter(({ id }) => id === state.wanted || id === state.live?.release)
  if (recorded.some((release) => denotes(word, release))) return { kind: 'nothing' }
  const release = onDisk.findLast((release) => denotes(word, release))
  return release === undefined ? { kind: 'elsewhere', word } : { kind: 'release', release }
}

/**
 * The release that somebody wrote into the file `wanted`, by its id or its version; undefined where the file names what
 * is recorded anyway. A version that is not on disk is fetched.
 * @throws HoldfastError `release-failed`, `fetch-failed`, `archive-refused` or `config-invalid`
 */
export async function findWanted(app: InstalledApp, state: State): Promise<Release | undefined> {
  const asked = findOnDisk(app.paths, state)
  switch (asked.kind) {
    case 'nothing':
      return undefined
    case 'release':
      refuseContract(app.paths, state, asked.release)
      return asked.release
    case 'elsewhere':
      if (!versionPattern.test(asked.word)) {
        throw new HoldfastError('release-failed', `${wantedFile(app.paths)} names ${JSON.stringify(asked.word.slice(0, 80))}, which is neither a release nor a version`, { hint: `${holdfastCommand(app.paths)} releases ${app.paths.app}   # those that there are` })
      }
      return fetchVersion(app, asked.word)
  }
}

/** As a rollback is refused: what an older release needs of the database may be gone. */
function refuseContract(paths: AppPaths, { live }: State, target: Release): void {
  const passed = passedContracts({ releases: listReleases(paths), history: readHistory(paths), live: live?.release, target: target.id })
  if (passed.length === 0) return
  throw new HoldfastError('release-failed', `${wantedFile(paths)} names release ${target.id}, and hooks.after_drain has run since, for ${passed.map(({ id }) => id).join(', ')}: what ${target.id} needs of the database may be gone`, {
    hint: `${holdfastCommand(paths)} rollback ${paths.app} ${target.id} --force   # where you know that it can run with what is there`,
  })
}

/**
 * Records what is about to be brought up. The file last: cut off in between, it names what is live, which is no order.
 * @param options `keepsFile`: what somebody wrote there is left for the next restart or apply; default false
 */
export function recordWanted(paths: AppPaths, began: State, release: Release, { keepsFile = false } = {}): State {
  const isAsked = keepsFile && findOnDisk(paths, began).kind !== 'nothing'
  const state = changeState(paths, began, (now) => ({ ...now, wanted: release.id }))
  if (!isAsked) writeWanted(paths, release)
  return state
}

/** What was wanted failed: what is live is wanted again. With nothing live, a version that somebody wrote is left to be tried again. */
export function restoreWanted(paths: AppPaths, began: State, { keepsFile = false } = {}): State {
  const { live, wanted } = began
  const isAsked = keepsFile && findOnDisk(paths, began).kind !== 'nothing'
  if (live === undefined) {
    if (wanted !== undefined && readWanted(paths) === wanted) rmSync(wantedFile(paths), { force: true })
  } else if (!isAsked) {
    // Its code may be gone; its name is enough then.
    writeWanted(paths, listReleases(paths).find(({ id }) => id === live.release) ?? { id: live.release })
  }
  return changeState(paths, began, (now) => ({ ...now, wanted: live?.release }))
}
