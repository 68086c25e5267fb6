import { afterDrainService, deployService, instanceUnit } from '../../units/names.js'
import { holdfastCommand, journalctlCommand, systemctlCommand } from '../../release/command-words.js'
import { describeFailure } from '../failure.js'
import { judgeListener } from '../listeners/guard-judge.js'
import { isServing, isUp } from '../observe.js'
import type { AppObservation, ObservedInstance } from './observe-app.js'

/** Something that is not as it is recorded or should be. */
export interface Problem {
  /** One sentence. */
  what: string
  /** A command that mends it. */
  mend: string
}

/** Where the record and what systemd runs differ. Pure. A stopped app has no problems: it was asked for. */
export function findProblems(observation: AppObservation): Problem[] {
  if (isStopping(observation) || isStopped(observation)) return []
  if (isDrainedByHand(observation)) return [drainedByHand(observation)]
  const settled = !isHandingOver(observation)
  return [
    ...(settled ? liveProblems(observation) : []),
    ...(settled ? strayProblems(observation) : []),
    ...(settled ? heldProblems(observation) : []),
    ...crashProblems(observation),
    ...listenerProblems(observation),
    ...serviceProblems(observation),
  ]
}

/** What of a deploy was not done, or not to its end. What runs is as it should be nevertheless, and so it is when the app is stopped. */
export function findUnfinished({ paths, deploy, afterDrain, live, held, liveRelease }: AppObservation): Problem[] {
  const problems: Problem[] = []
  // One whose release is live, or held, came to its end but for its last words.
  if (deploy !== undefined && !deploy.isRunning && deploy.record !== undefined && (live === undefined || deploy.record.release !== live.release) && deploy.record.id !== held?.id) {
    const { by, what, since, step } = deploy.record
    problems.push({
      what: `the deploy of ${what} by ${by}, begun at ${since}, was interrupted in step ${step}: ${deployService(paths.app)} no longer runs`,
      mend: `${holdfastCommand(paths)} apply ${paths.app}   # or deploy again`,
    })
  }
  const failed = afterDrain?.failed ?? (liveRelease?.afterDrain?.outcome === 'failed' && live !== undefined ? `it failed at ${liveRelease.afterDrain.at}` : undefined)
  if (failed !== undefined) {
    problems.push({ what: `hooks.after_drain of release ${afterDrain?.release ?? live?.release} is not done: ${failed}`, mend: systemctl(paths, `start ${afterDrainService(paths.app)}`) })
  }
  return problems
}

/** Whether `ExecStart=` or `ExecReload=` of the app's service runs at the moment, or is about to. */
export const isHandingOver = (observation: Pick<AppObservation, 'service' | 'jobs'>): boolean =>
  observation.service.active === 'reloading' || (observation.service.active === 'activating' && observation.service.sub !== 'auto-restart') || isRestarting(observation)

/** A restart stops both units first; the drain unit's job says that it does not drain. */
const isRestarting = ({ jobs: { service, drain } }: Pick<AppObservation, 'jobs'>): boolean =>
  service === 'restart' || service === 'start' || drain === 'restart' || drain === 'start'

/** Whether `systemctl stop` drains the app. */
export const isStopping = ({ drain, jobs }: Pick<AppObservation, 'drain' | 'jobs'>): boolean => jobs.drain === 'stop' || (drain.active === 'deactivating' && !isRestarting({ jobs }))

/**
 * Whether the app was stopped: `systemctl stop` leaves a failed service failed, but stops its drain unit
 * and closes its sockets.
 */
export const isStopped = ({ service, drain, jobs, listeners, instances }: AppObservation): boolean =>
  !isRestarting({ jobs }) &&
  (service.active === 'inactive' || (service.active === 'failed' && drain.active !== 'active')) &&
  !instances.some(isUp) &&
  !listeners.some(({ state }) => state.active === 'active')

/** How an instance ended, as the end of a sentence that begins with its name. */
export function describeEnd({ state }: Pick<ObservedInstance, 'state'>): string {
  if (state.result === 'timeout') return 'did not start or stop in time'
  return describeFailure(state, { ready: true, timeoutMs: 0 }).replace(' just after it was ready', '')
}

/** Stopping the drain unit alone stops everything, but leaves the app's service as it was. */
const isDrainedByHand = ({ service, drain, jobs, instances, listeners }: AppObservation): boolean =>
  !isRestarting({ jobs }) && service.active === 'active' && drain.active === 'inactive' && !instances.some(isUp) && !listeners.some(({ state }) => state.active === 'active')

function drainedByHand({ paths, service, drain }: AppObservation): Problem {
  return {
    what: `${drain.unit} was stopped, and everything with it, but ${service.unit} counts as started`,
    mend: `${systemctl(paths, `stop ${service.unit}`)}; ${systemctl(paths, `start ${service.unit}`)}`,
  }
}

/** What is recorded as live, and does not run. */
function liveProblems({ paths, live, instances, missingFiles, activate }: AppObservation): Problem[] {
  if (live === undefined || activate?.active === 'activating') return []
  if (missingFiles.length > 0) {
    return [{ what: `generation ${live.generation} is recorded as live, but ${missingFiles.join(' and ')} is gone: it would not come back from a crash`, mend: systemctl(paths, `restart ${paths.app}`) }]
  }
  const missing = Array.from({ length: live.processes }, (_, i) => instanceUnit(paths.app, live.generation, i + 1)).filter(
    (unit) => !instances.some((instance) => instance.state.unit === unit && isUp(instance)),
  )
  if (missing.length === 0) return []
  const states = missing.map((unit) => `${unit} is ${instances.find(({ state }) => state.unit === unit)?.state.active ?? 'inactive'}`)
  return [{ what: `generation ${live.generation} is recorded as live, but ${states.join(', ')}`, mend: systemctl(paths, `start ${missing.join(' ')}`) }]
}

/** What serves, and is not recorded. */
function strayProblems({ paths, live, held, instances }: AppObservation): Problem[] {
  const stray = instances.filter((instance) => isUp(instance) && instance.generation !== live?.generation && instance.generation !== held?.generation)
  if (stray.length === 0) return []
  const units = stray.map(({ state }) => state.unit)
  const runs = units.length === 1 ? 'runs' : 'run'
  if (live === undefined) {
    return [{ what: `${units.join(', ')} ${runs}, but no release is recorded as live`, mend: systemctl(paths, `restart ${paths.app}`) }]
  }
  const liveServes = instances.some((instance) => isServing(instance) && !instance.heldBack && instance.generation === live.generation)
  return [
    {
      what: `${units.join(', ')} ${runs} beside generation ${live.generation}, which is recorded as live: a handover did not end, or somebody started ${units.length === 1 ? 'it' : 'them'} by hand`,
      // With the live one gone, they may be all that serves.
      mend: liveServes ? systemctl(paths, `stop ${units.join(' ')}`) : systemctl(paths, `restart ${paths.app}`),
    },
  ]
}

/** What is recorded as held, and does not run. */
function heldProblems({ paths, held, instances }: AppObservation): Problem[] {
  if (held === undefined) return []
  const own = instances.filter((instance) => instance.generation === held.generation)
  if (own.some(isServing)) return []
  const last = own.find(({ state }) => state.active === 'activating' || state.active === 'failed')
  return [{ what: `generation ${held.generation} is recorded as held, but ${last === undefined ? 'nothing of it runs' : `${last.state.unit} ${describeEnd(last)}`}`, mend: `${holdfastCommand(paths)} abort ${paths.app}` }]
}

function crashProblems({ paths, live, held, instances }: AppObservation): Problem[] {
  return instances
    .filter((instance) => instance.state.restarts > 0 && (instance.generation === held?.generation || (instance.generation === live?.generation && instance.state.active === 'activating')))
    .map((instance) => ({
      // What waits for a promotion has proved nothing yet: one crash is news.
      what: instance.state.active === 'activating' ? `${instance.state.unit} keeps ending: its last run ${describeEnd(instance)}; restarted ${times(instance.state.restarts)}` : `${instance.state.unit}, which waits for a promotion, was restarted ${times(instance.state.restarts)}`,
      mend: `${journalctlCommand(paths)} -u ${instance.state.unit} -n 50`,
    }))
}

function listenerProblems({ paths, listeners, instances }: AppObservation): Problem[] {
  return listeners.flatMap((facts) => judgeListener(facts, { paths, isUp: instances.some(isUp) })).map(({ what, mend }) => ({ what, mend }))
}

/** A preview that nobody can open: what is served is as it should be nevertheless. */
export function findPreviewProblems(observation: AppObservation): Problem[] {
  const { paths, preview } = observation
  // A handover opens it on its way.
  if (preview === undefined || preview.state.active === 'active' || isStopping(observation) || isHandingOver(observation) || isStopped(observation) || isDrainedByHand(observation)) return []
  const { unit, active, result } = preview.state
  const why = result === 'success' ? active : `${active} (${result})`
  return [{ what: `${unit} is ${why}: nobody sees a held release on ${preview.address}`, mend: systemctl(paths, `start ${unit}`) }]
}

function serviceProblems({ paths, service, drain, jobs, instances }: AppObservation): Problem[] {
  const problems: Problem[] = []
  if (service.load !== 'loaded') {
    problems.push({ what: `${service.unit} is ${service.load}`, mend: `${holdfastCommand(paths)} install ${paths.config}` })
  } else if (service.active === 'inactive' && jobs.service === undefined && jobs.drain === undefined && instances.some(isUp)) {
    problems.push({ what: `${service.unit} is stopped, but instances run`, mend: systemctl(paths, `start ${service.unit}`) })
  }
  if (service.active === 'active' && drain.active !== 'active' && drain.active !== 'activating' && jobs.drain === undefined) {
    problems.push({ what: `${drain.unit} is ${drain.active}: stopping ${paths.app} would not stop what runs`, mend: systemctl(paths, `start ${drain.unit}`) })
  }
  return problems
}

type Paths = AppObservation['paths']
const systemctl = (paths: Paths, rest: string): string => `${systemctlCommand(paths)} ${rest}`
const times = (count: number): string => (count === 1 ? 'once' : `${count} times`)
