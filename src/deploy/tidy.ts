import { basename } from 'node:path'
import { listInstanceFolders, removeInstance } from '../release/instance.js'
import { readState } from '../release/state.js'
import { pruneStopReasons } from '../release/stop-reason.js'
import { pruneReleases } from '../release/store.js'
import type { InstalledApp } from './app.js'
import { isDraining, isUp, observeInstances } from './observe.js'

/** Removes what older generations have left: their files once they have ended, and old releases that nothing uses. */
export async function tidy({ paths, systemd }: InstalledApp): Promise<void> {
  const state = readState(paths)
  const instances = await observeInstances(systemd, paths.app)
  const ended = instances.filter((instance) => !isUp(instance) && !isDraining(instance))
  await systemd.resetFailed(ended.filter(({ state }) => state.active === 'failed').map(({ state }) => state.unit))

  const running = new Set(instances.filter((instance) => !ended.includes(instance)).map((instance) => instance.generation))
  const inUse = new Set([state.live?.release, state.wanted].filter((id) => id !== undefined))
  for (const folder of listInstanceFolders(paths)) {
    if (running.has(folder.generation) || folder.generation === state.live?.generation) inUse.add(basename(folder.target))
    else removeInstance(paths, folder)
  }
  pruneStopReasons(paths, new Set(instances.filter((instance) => !ended.includes(instance)).map(({ generation, process }) => `${generation}.${process}`)))
  pruneReleases(paths, inUse)
}
