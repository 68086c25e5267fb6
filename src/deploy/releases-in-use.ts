import { basename } from 'node:path'
import { listInstanceFolders } from '../release/instance.js'
import type { AppPaths } from '../release/paths.js'
import { readState } from '../release/state.js'
import { hasEnded, type RunningInstance } from './observe.js'

/** The releases that must stay, each with why: live, wanted, held, or the code of an instance that has not ended. */
export function releasesInUse(paths: AppPaths, instances: readonly RunningInstance[]): Map<string, string> {
  const { live, wanted, held } = readState(paths)
  const inUse = new Map<string, string>()
  if (live !== undefined) inUse.set(live.release, 'live')
  if (wanted !== undefined && !inUse.has(wanted)) inUse.set(wanted, 'wanted')
  if (held !== undefined && !inUse.has(held.release)) inUse.set(held.release, 'held')
  const running = new Set(instances.filter((instance) => !hasEnded(instance)).map(({ generation }) => generation))
  for (const { generation, target } of listInstanceFolders(paths)) {
    const id = basename(target)
    if (running.has(generation) && !inUse.has(id)) inUse.set(id, `generation ${generation} runs from it`)
    // A crash would bring it back from there.
    else if (generation === live?.generation && !inUse.has(id)) inUse.set(id, 'live')
  }
  return inUse
}
