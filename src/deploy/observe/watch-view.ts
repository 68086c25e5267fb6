import { accessSync, constants } from 'node:fs'
import { join } from 'node:path'
import type { AppPaths } from '../../release/paths.js'
import type { Report } from '../../runtime/report.js'
import type { WaitingCounts } from '../../runtime/waiting.js'
import type { AppStatus, InstanceStatus } from './app-status.js'
import type { Rates } from './watch-rates.js'

export interface WatchedInstance extends InstanceStatus {
  /** What it has told of itself just now; null without the runtime, and for those who may not ask it. */
  report: Report | null
  /** Null before there are two reports. */
  rates: Rates | null
}

export interface WatchedStatus extends Omit<AppStatus, 'instances'> {
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

/** What an instance has open at the moment. */
export type Gauges = Pick<Report, 'inFlight' | 'connections' | 'webSockets' | 'eventStreams' | 'jobs'>

/** By its report; one that drains is asked no more, and says what it waits for. Null where neither is known. */
export function gaugesOf({ report, waiting }: Pick<WatchedInstance, 'report' | 'waiting'>): Gauges | null {
  if (report !== null) {
    const { inFlight, connections, webSockets, eventStreams, jobs } = report
    return { inFlight, connections, webSockets, eventStreams, jobs }
  }
  return waiting === null ? null : ofDrain(waiting)
}

const ofDrain = ({ requests, connections, webSockets, eventStreams, tunnels, jobs }: WaitingCounts): Gauges =>
  ({ inFlight: requests, connections: requests + connections + webSockets + eventStreams + tunnels, webSockets, eventStreams, jobs })

/** Null for none. */
export function sumGauges(all: readonly Gauges[]): Gauges | null {
  if (all.length === 0) return null
  return all.reduce((a, b) => ({
    inFlight: a.inFlight + b.inFlight, connections: a.connections + b.connections, webSockets: a.webSockets + b.webSockets,
    eventStreams: a.eventStreams + b.eventStreams, jobs: a.jobs + b.jobs,
  }))
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
