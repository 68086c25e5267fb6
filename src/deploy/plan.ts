import type { Config } from '../config/model.js'
import type { InstanceNumber } from '../release/stop-reason.js'
import type { State } from '../release/state.js'
import type { InstalledApp } from './app.js'
import type { ReleaseChoice } from './choose-release.js'
import { isUp, type RunningInstance } from './observe.js'
import type { HandoverOrder, HandoverRequest } from './request.js'

/** What a handover starts from: the record, and what systemd really runs. */
export interface Situation {
  state: State
  instances: RunningInstance[]
  /** The highest generation that has files. */
  started?: number
}

export interface Plan {
  generation: number
  /** Instances that a handover which never ended has left: newer than the live ones, which serve. */
  undo: RunningInstance[]
  /** What serves until the new generation has settled, and is then told to drain. */
  retire: RunningInstance[]
}

/** One process of a generation, by its unit. */
export interface Member extends InstanceNumber {
  unit: string
}

/** A handover under way. */
export interface Handover {
  app: InstalledApp
  request: HandoverRequest
  /** What was recorded when it began; its generation number is already the new one's. */
  state: State
  choice: ReleaseChoice
  plan: Plan
  /** Of the monotonic clock, in milliseconds. */
  begin: number
}

/**
 * The plan of a handover. Pure. What runs counts as much as the record: a handover that was killed may
 * have started instances that nobody recorded, and these may be all that serves.
 */
export function planHandover({ state, instances, started = 0 }: Situation): Plan {
  // What is held is nobody's leftover: it goes when another generation is live.
  const up = instances.filter((instance) => isUp(instance) && instance.generation !== state.held?.generation)
  const highest = Math.max(state.generation, started, ...instances.map((instance) => instance.generation))
  const live = state.live?.generation
  const liveServes = up.some((instance) => instance.generation === live && instance.state.active === 'active')
  const undo = liveServes ? up.filter((instance) => instance.generation > (live as number)) : []
  return { generation: highest + 1, undo, retire: up.filter((instance) => !undo.includes(instance)) }
}

type Asked = Pick<HandoverOrder, 'hold' | 'canary'> | undefined
type Processes = Pick<Config, 'strategy' | 'processes'>

/** How many processes of a new generation are brought up first, and baked: all, one, or as many canaries as were asked for. */
export function countFirst({ strategy, processes }: Processes, asked: Asked): number {
  // What is held is whole: it is to be what will go live.
  const isWhole = strategy === 'all' || asked?.hold !== undefined
  return asked?.canary?.processes ?? (isWhole ? processes : 1)
}

/** How many will run beside all of the older ones: of a rolling handover, those that come first. */
export const countOverlap = (config: Processes, asked: Asked): number => (config.strategy === 'rolling' ? countFirst(config, asked) : config.processes)
