import { readdirSync } from 'node:fs'
import { basename } from 'node:path'
import { folderBytes } from '../../release/folder-size.js'
import { readHistory } from '../../release/history.js'
import { listInstanceFolders } from '../../release/instance.js'
import type { AppPaths } from '../../release/paths.js'
import type { Release } from '../../release/release.js'
import { sourceWords } from '../../release/source-words.js'
import { readState } from '../../release/state.js'
import { listReleases, releaseFolder } from '../../release/store.js'
import type { Systemd } from '../../systemd/systemd.js'
import { isHeldBack } from '../../release/standby.js'
import { phaseOf, type Phase } from './app-status.js'
import { observeInstances } from '../observe.js'
import { previousGood } from '../operation/previous-release.js'

/** One element of the answer of `holdfast releases APP --json`; documented in docs/cli.md, and stable. */
export interface ReleaseRow {
  id: string
  version: string | null
  /** ISO 8601, UTC. */
  createdAt: string
  source: Release['source']
  overlay: Release['overlay'] | null
  /** Source and overlay in a few words. */
  sourceText: string
  commit: string | null
  /** Null for code that runs in place, and where it may not be looked at. */
  sizeBytes: number | null
  outcome: Release['outcome']
  failure: string | null
  /** The generation, of the live release. */
  live: number | null
  /** Of the release that waits for `holdfast promote` or `holdfast abort`. */
  held: { generation: number; kind: 'hold' | 'canary' } | null
  /** Generations that drain. */
  draining: number[]
  /** Generations that run, and are neither live, held nor draining: candidates of a handover, or leftovers. */
  running: number[]
  wanted: boolean
  /** Whether a rollback that names no release goes here. */
  rollbackTarget: boolean
  afterDrain: 'waiting' | 'begun' | 'done' | 'failed' | null
}

export interface ListedFacts {
  /** In any order. */
  releases: readonly Release[]
  live: { generation: number; release: string } | undefined
  held: { generation: number; release: string; kind: 'hold' | 'canary' } | undefined
  wanted: string | undefined
  /** Of which `hooks.after_drain` waits. */
  waiting: string | undefined
  rollbackTarget: string | undefined
  instances: readonly { release: string; generation: number; phase: Phase }[]
  sizeOf(release: Release): number | undefined
}

/** Newest first. Pure. */
export function rowsOf({ releases, live, held, wanted, waiting, rollbackTarget, instances, sizeOf }: ListedFacts): ReleaseRow[] {
  return [...releases]
    .sort((a, b) => (a.createdAt < b.createdAt ? 1 : -1))
    .map((release) => {
      const { id, version, createdAt, source, overlay, outcome, failure, afterDrain } = release
      const generations = (ofPhase: (phase: Phase) => boolean): number[] =>
        [...new Set(instances.filter((instance) => instance.release === id && ofPhase(instance.phase)).map(({ generation }) => generation))].sort((a, b) => a - b)
      return {
        id,
        version: version ?? null,
        createdAt,
        source,
        overlay: overlay ?? null,
        sourceText: sourceWords(release),
        commit: source.kind === 'git' ? source.commit : null,
        sizeBytes: sizeOf(release) ?? null,
        outcome,
        failure: failure ?? null,
        live: live?.release === id ? live.generation : null,
        held: held?.release === id ? { generation: held.generation, kind: held.kind } : null,
        draining: generations((phase) => phase === 'draining'),
        running: generations((phase) => phase === 'starting' || phase === 'standby' || phase === 'ready' || phase === 'restarting').filter((generation) => generation !== live?.generation),
        wanted: wanted === id,
        rollbackTarget: rollbackTarget === id,
        afterDrain: waiting === id ? 'waiting' : (afterDrain?.outcome ?? null),
      }
    })
}

/** The releases of an app. Reads what is recorded and what systemd runs. @throws HoldfastError `state-corrupt`, or the system's EACCES */
export async function observeReleases(paths: AppPaths, systemd: Systemd): Promise<ReleaseRow[]> {
  requireReadable(paths)
  const { live, held, wanted, afterDrain } = readState(paths)
  const releases = listReleases(paths)
  const targets = new Map(listInstanceFolders(paths).map(({ generation, target }) => [generation, basename(target)]))
  if (live !== undefined) targets.set(live.generation, live.release)
  const instances = await observeInstances(systemd, paths.app)
  return rowsOf({
    releases,
    live,
    held,
    wanted,
    waiting: afterDrain !== undefined && afterDrain.begun === undefined ? afterDrain.release : undefined,
    rollbackTarget: previousGood({ releases, history: readHistory(paths), live: live?.release })?.id,
    instances: instances.flatMap((instance) => {
      const release = targets.get(instance.generation)
      const phase = phaseOf({ ...instance, heldBack: isHeldBack(paths, instance) }, { live, held })
      return release === undefined || phase === undefined ? [] : [{ release, generation: instance.generation, phase }]
    }),
    sizeOf: (release) => sizeOnDisk(paths, release),
  })
}

/** Of the code of a release that Holdfast keeps, in bytes. */
export function sizeOnDisk(paths: AppPaths, release: Release): number | undefined {
  if (release.source.kind === 'directory' && !release.source.snapshot) return undefined
  return release.sizeBytes ?? folderBytes(releaseFolder(paths, release))
}

/** With a `user` of its own, an app's releases are for that account and root alone: nothing to see is not nothing there. */
function requireReadable(paths: AppPaths): void {
  try {
    readdirSync(paths.releases)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}
