import { listInstanceFolders, removeInstance } from '../release/instance.js'
import { readHistory } from '../release/history.js'
import { readState } from '../release/state.js'
import { pruneStopReasons } from '../release/stop-reason.js'
import { dropRelease, listReleases, releasesKept } from '../release/store.js'
import type { InstalledApp } from './app.js'
import { hasEnded, observeInstances } from './observe.js'
import { planPrune } from './prune-plan.js'
import { releasesInUse } from './releases-in-use.js'
import { closePrivateSockets } from './retire.js'

/** Removes what older generations have left: their files once they have ended, and old releases that nothing uses. */
export async function tidy({ paths, systemd }: Pick<InstalledApp, 'paths' | 'systemd'>): Promise<void> {
  const { live, held } = readState(paths)
  const instances = await observeInstances(systemd, paths.app)
  const left = instances.filter((instance) => !hasEnded(instance))
  await systemd.resetFailed(instances.filter(({ state }) => state.active === 'failed').map(({ state }) => state.unit))

  const ended = instances.filter((instance) => hasEnded(instance) && instance.generation !== live?.generation && instance.generation !== held?.generation)
  await closePrivateSockets(systemd, paths.app, ended)
  const inUse = releasesInUse(paths, instances)
  const kept = new Set([...left.map(({ generation }) => generation), live?.generation, held?.generation])
  const folders = listInstanceFolders(paths)
  for (const folder of folders) if (!kept.has(folder.generation)) removeInstance(paths, folder)
  // A process of what is held that somebody has stopped is still held back when it comes again.
  const waiting = folders.filter(({ generation }) => generation === held?.generation)
  pruneStopReasons(paths, new Set([...left, ...waiting].map(({ generation, process }) => `${generation}.${process}`)))
  const { remove } = planPrune({ releases: listReleases(paths), history: readHistory(paths), live: live?.release }, inUse, releasesKept)
  for (const { id } of remove) dropRelease(paths, id)
}
