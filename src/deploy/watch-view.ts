import { accessSync, constants } from 'node:fs'
import { join } from 'node:path'
import type { AppPaths } from '../release/paths.js'
import { isHeldBack } from '../release/standby.js'
import type { Held } from '../release/state.js'
import type { Report } from '../runtime/report.js'
import type { AppStatus, InstanceStatus } from './app-status.js'
import type { Rates } from './watch-rates.js'

/** A generation that waits for somebody's word. */
export interface HeldStatus {
  generation: number
  release: string
  kind: Held['kind']
  processes: number
  /** ISO 8601, UTC. */
  since: string
  expires: string | null
  by: string | null
}

/** The phases of `AppStatus`, and those of what is held back. */
export type WatchedPhase = InstanceStatus['phase'] | 'standby' | 'held' | 'canary'

export interface WatchedInstance extends Omit<InstanceStatus, 'phase'> {
  phase: WatchedPhase
  /** What it has told of itself just now; null without the runtime, and for those who may not ask it. */
  report: Report | null
  /** Null before there are two reports. */
  rates: Rates | null
}

export interface WatchedStatus extends Omit<AppStatus, 'instances'> {
  held: HeldStatus | null
  instances: WatchedInstance[]
}

/** An app as it is seen at a moment. */
export interface View {
  /** Milliseconds since 1970. */
  at: number
  status: WatchedStatus
  /** Of all instances that tell. */
  rates: Rates | null
  /** False: this account may not ask the instances. */
  mayAsk: boolean
}

export const heldStatus = (held: Held | undefined): HeldStatus | null =>
  held === undefined
    ? null
    : { generation: held.generation, release: held.release, kind: held.kind, processes: held.processes, since: held.since, expires: held.expires ?? null, by: held.by ?? null }

/** What a ready instance that is not the live one is there for. */
export function watchedPhase(paths: AppPaths, held: HeldStatus | null, instance: InstanceStatus): WatchedPhase {
  if (instance.phase !== 'ready') return instance.phase
  if (instance.generation === held?.generation) return held.kind === 'canary' ? 'canary' : 'held'
  return isHeldBack(paths, instance) ? 'standby' : 'ready'
}

/** Whether the report sockets of an app are open to this account. */
export function mayAskInstances({ run }: AppPaths): boolean {
  try {
    accessSync(join(run, 'private'), constants.X_OK)
    return true
  } catch (error) {
    // None there is another matter: no instance has one.
    return (error as NodeJS.ErrnoException).code === 'ENOENT'
  }
}
