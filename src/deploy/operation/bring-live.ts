import { HoldfastError } from '../../errors.js'
import { systemctlCommand } from '../../release/command-words.js'
import type { Release } from '../../release/release.js'
import { readState, type State } from '../../release/state.js'
import { drainService } from '../../units/names.js'
import type { InstalledApp } from '../app.js'
import { atBest } from '../book-keeping.js'
import { StepError } from './deploy-hooks.js'
import type { Operation } from './operation.js'
import { servingGeneration } from '../observe.js'
import { orderHandover } from '../order.js'
import type { HandoverOrder } from '../request.js'
import { tidy } from '../tidy.js'
import { recordWanted } from '../wanted.js'

/**
 * The end of every operation: records the release as wanted, hands over to it, and removes what is old.
 * @throws HoldfastError `state-changed` when another release has gone live since the operation began
 */
export async function bringLive(work: Operation, began: State, release: Release, options: Bringing): Promise<{ outcome: 'live' | 'held'; release: string; generation: number }> {
  const { app, log } = work
  log.nameRelease(release.id)
  const wanted = await log.run('record', async () => {
    const now = readState(app.paths)
    // A restart of the same release in the meantime is no other state: what this was planned upon still holds.
    if (now.live?.release !== began.live?.release) throw replaced(work, began, now)
    await refuseStopped(work)
    if (isToWait(options)) await requireLive(work, now)
    // What is held is not wanted before somebody has looked at it.
    return isToWait(options) ? now : recordWanted(app.paths, now, release)
  })
  const { kind, generation } = await log.run('handover', (telling) => handOverTo(work, wanted, release, options, (text) => telling.result(text)))
  await prune(work)
  return { outcome: kind, release: release.id, generation }
}

/** How a release is brought up: see `HandoverOrder`. */
export type Bringing = Pick<HandoverOrder, 'afterDrain' | 'hold' | 'canary' | 'promote'>

const isToWait = ({ hold, canary }: Bringing): boolean => hold !== undefined || canary?.auto === false

/** Of an app that is stopped, what waits would open the listeners, and a connection would start what was live before. */
async function requireLive({ app, request }: Operation, { live }: State): Promise<void> {
  if (live === undefined || (await servingGeneration(app)) !== undefined) return
  throw new HoldfastError('usage', `nothing of ${app.paths.app} serves, and what is to wait for a promotion waits beside what is live`, {
    hint: `${systemctlCommand(app.paths)} start ${app.paths.app}   # then: ${request.again}`,
  })
}

/** Whoever stops an app while a deploy of it runs does not expect it back. */
async function refuseStopped({ app, request, wasStarted }: Operation): Promise<void> {
  const { paths } = app
  if (wasStarted !== true || (await isStarted(app))) return
  throw new HoldfastError('state-changed', `${paths.app} was stopped by somebody since this began`, { hint: `${systemctlCommand(paths)} start ${paths.app}   # then: ${request.again}` })
}

/** A stop is what the drain unit is for: whatever became of the app's own, that one stays up until then. */
export async function isStarted({ paths, systemd }: Pick<InstalledApp, 'paths' | 'systemd'>): Promise<boolean> {
  const unit = drainService(paths.app)
  const job = await systemd.job(unit)
  if (job !== undefined) return job !== 'stop' // a restart takes it down for a moment
  const [drain] = await systemd.show([unit])
  return drain?.active === 'active'
}

function replaced({ app, request }: Operation, began: State, now: State): HoldfastError {
  const words = ({ live }: State): string => (live === undefined ? 'nothing' : `release ${live.release}`)
  return new HoldfastError('state-changed', `this began when ${words(began)} was live, and ${words(now)} is by now: somebody else has brought it up meanwhile`, {
    hint: `holdfast status ${app.paths.app}   # then, if it is still wanted: ${request.again}`,
  })
}

async function handOverTo({ app, request, log, signal, since }: Operation, wanted: State, release: Release, bringing: Bringing, tell: (result: string) => void): Promise<{ kind: 'live' | 'held'; generation: number }> {
  const interrupted = new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
  const ordered = orderHandover(app, {
    id: request.id, release: release.id, kind: request.kind, by: request.by, since, ...bringing, events: log.file,
    ...(request.skipAdmission === true ? { skipAdmission: true } : {}),
    ...(wanted.live === undefined ? {} : { began: wanted.live.release }),
  })
  // Nobody listens any more once it is interrupted.
  ordered.catch(() => {})
  const result = await Promise.race([ordered, interrupted])
  if (result.kind === 'failed') throw new StepError('handover-failed', result.reason, result)
  tell(`generation ${result.generation}${result.kind === 'held' ? (bringing.canary === undefined ? ', held' : ', as a canary') : ''}`)
  return result
}

/** What is live stays so, whatever becomes of this. */
export function prune({ app, log }: Operation): Promise<void> {
  return atBest(() => log.run('prune', () => tidy(app)), (message) => log.note(`The release is live, but not everything that is old could be removed: ${message}`))
}
