import { lstatSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { HoldfastError } from '../../errors.js'
import { holdfastCommand } from '../../release/command-words.js'
import { mirrorName } from '../../release/git-mirror.js'
import { folderBytes } from '../../release/folder-size.js'
import { readHistory } from '../../release/history.js'
import type { AppPaths } from '../../release/paths.js'
import type { Release } from '../../release/release.js'
import { readState } from '../../release/state.js'
import { dropRelease, listReleases, removeRelease } from '../../release/store.js'
import { denotes, readWanted } from '../../release/wanted.js'
import type { Systemd } from '../../systemd/systemd.js'
import { deployService } from '../../units/names.js'
import { listAbandoned } from './deploy-request.js'
import { readDeployRecord } from './deploy-record.js'
import { deployWords, isDeploying, observeDeploy, type ObservedDeploy } from './deploy-under-way.js'
import { sizeOnDisk } from '../observe/list-releases.js'
import { observeInstances } from '../observe.js'
import { planPrune, type PrunePlan } from '../prune-plan.js'
import { readOrder } from '../request.js'
import { releasesInUse } from '../releases-in-use.js'

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

/** What went, and what stayed although it was to go. */
export interface Pruned {
  releases: Release[]
  leftovers: string[]
  stayed: { release: Release; why: string }[]
}

/**
 * Carries the plan out. It does not hold the lock: immediately before each removal it looks whether somebody deploys or
 * rolls back by now, and what has become live or wanted since stays. What an interrupted snapshot left is not touched: a
 * handover may be copying just now, and each one removes it.
 */
export async function prune({ paths, plan, leftovers }: Pruning, systemd: Systemd): Promise<Pruned> {
  const pruned: Pruned = { releases: [], leftovers: [], stayed: [] }
  for (const release of plan.remove) {
    const deploy = await observeDeploy(paths, systemd)
    // No other process has its turn between this and the removal of what makes it a release, but for a moment.
    const why = deploy?.isRunning === true ? deployWords(paths.app, deploy.record) : namedBy(paths, release)
    if (why === undefined) dropRelease(paths, release.id)
    if (why === undefined) pruned.releases.push(release)
    else pruned.stayed.push({ release, why })
  }
  for (const path of leftovers) {
    if (await isDeploying(paths, systemd)) break
    removeRelease(path)
    pruned.leftovers.push(path)
  }
  return pruned
}

/** What needs a release by now, in a few words. */
function namedBy(paths: AppPaths, release: Release): string | undefined {
  const { id } = release
  const { live, wanted } = readState(paths)
  if (id === live?.release) return 'live'
  const word = readWanted(paths)
  if (id === wanted || (word !== undefined && denotes(word, release))) return 'wanted'
  const record = readDeployRecord(paths)
  if (id === record?.release || id === record?.began || id === readOrder(paths)?.release) return 'a deploy names it'
  return undefined
}

function busy(paths: AppPaths, deploy: ObservedDeploy): HoldfastError {
  const { app } = paths
  return new HoldfastError('busy', `${deployWords(app, deploy.record)} (${deployService(app)}): nothing of ${app} is removed meanwhile`, {
    hint: `${holdfastCommand(paths)} logs ${app} -f   # to see how far it is`,
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
