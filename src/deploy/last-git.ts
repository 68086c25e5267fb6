import type { AppPaths } from '../release/paths.js'
import type { Release } from '../release/release.js'
import { readState } from '../release/state.js'
import { listReleases } from '../release/store.js'

type GitSource = Extract<Release['source'], { kind: 'git' }>

/** The repository and branch that a deploy takes which names none: undefined where no release from git was ever good. */
export function lastGit(paths: AppPaths): GitSource | undefined {
  return chooseGit(listReleases(paths), readLive(paths))
}

/**
 * That of the live release, else of the newest good one: one that failed was a try. Pure.
 * @param releases oldest first
 */
export function chooseGit(releases: readonly Release[], live: string | undefined): GitSource | undefined {
  const fromGit = releases.filter((release): release is Release & { source: GitSource } => release.source.kind === 'git')
  return (fromGit.find(({ id }) => id === live) ?? fromGit.findLast(({ outcome }) => outcome === 'good'))?.source
}

/** A record that cannot be read is made anew by the deploy itself. */
function readLive(paths: AppPaths): string | undefined {
  try {
    return readState(paths).live?.release
  } catch {
    return undefined
  }
}
