import { lstatSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { HoldfastError } from '../errors.js'
import { mirrorName } from '../release/git-mirror.js'
import { folderBytes } from '../release/folder-size.js'
import { readHistory } from '../release/history.js'
import type { AppPaths } from '../release/paths.js'
import type { Release } from '../release/release.js'
import { readState } from '../release/state.js'
import { dropRelease, listReleases, removeRelease } from '../release/store.js'
import type { Systemd } from '../systemd/systemd.js'
import { deployService } from '../units/names.js'
import { listAbandoned } from './deploy-request.js'
import { deployWords, observeDeploy, type ObservedDeploy } from './deploy-under-way.js'
import { sizeOnDisk } from './list-releases.js'
import { observeInstances } from './observe.js'
import { planPrune, type PrunePlan } from './prune-plan.js'
import { releasesInUse } from './releases-in-use.js'

/** What `holdfast prune` would do; made first, so that it can be shown and nothing done. */
export interface Pruning {
  paths: AppPaths
  plan: PrunePlan
  /** What goes, by its path, with its size in bytes where that is known. */
  sizes: Map<string, number | undefined>
  /** Absolute paths of what else goes: what deploys have left that were cut off, mirrors of repositories that no kept release is from. */
  leftovers: string[]
}

/**
 * Plans the pruning of an app. Changes nothing.
 * @throws HoldfastError `busy` while somebody deploys
 */
export async function planPruning(paths: AppPaths, systemd: Systemd, keep: number): Promise<Pruning> {
  const deploy = await observeDeploy(paths, systemd)
  if (deploy?.isRunning === true) throw busy(paths, deploy)
  const releases = listReleases(paths)
  const { live } = readState(paths)
  const inUse = releasesInUse(paths, await observeInstances(systemd, paths.app))
  const plan = planPrune({ releases, history: readHistory(paths), live: live?.release }, inUse, keep)
  const leftovers = [...listAbandoned(paths).map((name) => join(paths.state, 'staging', name)), ...unusedMirrors(paths, plan.keep.map(({ release }) => release))]
  return {
    paths,
    plan,
    leftovers,
    sizes: new Map([
      ...plan.remove.map((release): [string, number | undefined] => [join(paths.releases, release.id), sizeOnDisk(paths, release)]),
      ...leftovers.map((path): [string, number | undefined] => [path, folderBytes(path)]),
    ]),
  }
}

/**
 * Carries the plan out; what has become live or wanted since it was made stays. What an interrupted snapshot left is not
 * touched: a handover may be copying just now, and each one removes it.
 * @returns the releases that went
 */
export function prune({ paths, plan, leftovers }: Pruning): Release[] {
  const gone: Release[] = []
  for (const release of plan.remove) {
    const { live, wanted } = readState(paths)
    if (release.id === live?.release || release.id === wanted) continue
    dropRelease(paths, release.id)
    gone.push(release)
  }
  for (const path of leftovers) removeRelease(path)
  return gone
}

function busy({ app, scope }: AppPaths, deploy: ObservedDeploy): HoldfastError {
  const user = scope === 'user' ? ' --user' : ''
  return new HoldfastError('busy', `${deployWords(deploy)} (${deployService(app)}): nothing of ${app} is removed meanwhile`, {
    hint: `holdfast${user} logs ${app} -f   # to see how far it is`,
  })
}

/** Copies of repositories that no kept release is from, and what git has left of them. */
function unusedMirrors({ state }: AppPaths, kept: readonly Release[]): string[] {
  const used = new Set(kept.flatMap(({ source }) => (source.kind === 'git' ? [mirrorName(source.repository)] : [])))
  const folder = join(state, 'git')
  // What a link leads to is nobody's mirror.
  if (lstatSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) return []
  return namesIn(folder).filter((name) => !used.has(name.replace(/\.\w+$/, ''))).map((name) => join(folder, name))
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}
