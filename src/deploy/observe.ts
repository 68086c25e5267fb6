import type { AppPaths } from '../release/paths.js'
import { tryReadLive } from '../release/state.js'
import { isHeldBack } from '../release/standby.js'
import { instancePattern, parseInstance } from '../units/names.js'
import type { Systemd, UnitState } from '../systemd/systemd.js'

/** An instance as systemd sees it. */
export interface RunningInstance {
  generation: number
  process: number
  state: UnitState
}

/** Every instance of an app that systemd has in memory, whatever the record says. */
export async function observeInstances(systemd: Systemd, app: string): Promise<RunningInstance[]> {
  const units = await systemd.list(instancePattern(app))
  const states = await systemd.show(units)
  return states.flatMap((state) => {
    const parsed = parseInstance(app, state.unit)
    return parsed === undefined ? [] : [{ ...parsed, state }]
  })
}

/** Serves, or is about to: ready, starting, or waiting for its automatic restart. */
export function isUp({ state }: RunningInstance): boolean {
  return state.active === 'active' || state.active === 'activating' || state.active === 'reloading'
}

export const isServing = ({ state }: RunningInstance): boolean => state.active === 'active'
/** Nothing of it runs, and nothing will by itself. */
export const hasEnded = ({ state }: RunningInstance): boolean => state.active === 'inactive' || state.active === 'failed'
export const isDraining = ({ state }: RunningInstance): boolean => state.active === 'deactivating'

/** Ready, and let in: what answers on the public listeners. */
export const answers = (paths: AppPaths, instance: RunningInstance): boolean => isServing(instance) && !isHeldBack(paths, instance)

/** The live generation, where it answers; else the newest that does. */
export async function servingGeneration({ systemd, paths }: { systemd: Systemd; paths: AppPaths }): Promise<number | undefined> {
  const serving = (await observeInstances(systemd, paths.app)).filter((instance) => answers(paths, instance)).map(({ generation }) => generation)
  const live = tryReadLive(paths)?.generation
  return live !== undefined && serving.includes(live) ? live : serving.length === 0 ? undefined : Math.max(...serving)
}
