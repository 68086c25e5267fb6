import { basename } from 'node:path'
import { HoldfastError } from '../errors.js'
import { readHistory, type HistoryEntry } from '../release/history.js'
import { listInstanceFolders } from '../release/instance.js'
import type { Release } from '../release/release.js'
import { readState, replaceCorrupt, type Live, type State } from '../release/state.js'
import { isHeldBack } from '../release/standby.js'
import { listReleases } from '../release/store.js'
import type { InstalledApp } from './app.js'
import { isServing, observeInstances, type RunningInstance } from './observe.js'

/** What there is to make a record of. */
export interface Remains {
  instances: readonly RunningInstance[]
  folders: readonly { generation: number; process: number; target: string }[]
  releases: readonly Release[]
  history: readonly HistoryEntry[]
}

/** The record; where it cannot be read, one made anew of what runs and what is on disk, which is then in its place. */
export async function openRecord(app: InstalledApp): Promise<State> {
  const { paths, story } = app
  try {
    return readState(paths)
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code !== 'state-corrupt') throw error
    const state = rebuildState({
      // One that was never let in is not what serves.
      instances: (await observeInstances(app.systemd, paths.app)).filter((instance) => !isHeldBack(paths, instance)),
      folders: listInstanceFolders(paths),
      releases: listReleases(paths),
      history: readHistory(paths),
    })
    const kept = replaceCorrupt(paths, state)
    const { live } = state
    story.tell('record-rebuilt', `${error.message}. It was made anew of what runs and what is on disk: ${live === undefined ? 'no release is live' : `generation ${live.generation}, release ${live.release}, is live`}. The old file is ${kept}.`, live ?? {})
    return state
  }
}

/**
 * The record that these remains tell of. Pure. The generation that went live last, by the history, as long as nothing newer
 * is all that serves; without a history the oldest that serves, since a newer one may be a candidate.
 */
export function rebuildState({ instances, folders, releases, history }: Remains): State {
  const generation = Math.max(0, ...[...instances, ...folders, ...history.filter(({ outcome }) => outcome === 'live')].map((one) => one.generation))
  const serving = [...new Set(instances.filter(isServing).map((instance) => instance.generation))].sort((a, b) => a - b)
  const last = history.findLast(({ outcome }) => outcome === 'live')
  const candidates = last === undefined || (serving.length > 0 && !serving.includes(last.generation)) ? serving : [last.generation]
  for (const number of candidates) {
    const own = folders.filter((folder) => folder.generation === number)
    const release = last?.generation === number && last.release !== undefined ? last.release : basename(own[0]?.target ?? '')
    if (!releases.some(({ id }) => id === release)) continue
    const since = last?.generation === number ? last.at : (instances.find((instance) => instance.generation === number)?.state.activeSince ?? new Date(0).toISOString())
    const live: Live = { generation: number, release, processes: Math.max(1, own.length), since }
    return { version: 1, generation, wanted: release, live }
  }
  return { version: 1, generation }
}
