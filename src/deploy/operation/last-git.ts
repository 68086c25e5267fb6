import type { AppPaths } from '../../release/paths.js'
import type { Release } from '../../release/release.js'
import { tryReadLive } from '../../release/state.js'
import { listReleases } from '../../release/store.js'

type GitSource = Extract<Release['source'], { kind: 'git' }>

/** The repository and branch that a deploy takes which names none: undefined where no release from git was ever good. */
export function lastGit(paths: AppPaths): GitSource | undefined {
  return chooseGit(listReleases(paths), tryReadLive(paths)?.release)
}

/**
 * That of the live release, else of the newest good one: one that failed was a try. Pure.
 * @param releases oldest first
 */
export function chooseGit(releases: readonly Release[], live: string | undefined): GitSource | undefined {
  const fromGit = releases.filter((release): release is Release & { source: GitSource } => release.source.kind === 'git')
  return (fromGit.find(({ id }) => id === live) ?? fromGit.findLast(({ outcome }) => outcome === 'good'))?.source
}
