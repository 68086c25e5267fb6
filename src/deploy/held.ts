import { HoldfastError } from '../errors.js'
import { holdfastCommand } from '../release/command-words.js'
import { appendHistory, type HandoverKind } from '../release/history.js'
import { changeState, readState, type Held, type State } from '../release/state.js'
import { writeDropIn } from '../release/instance-drop-in.js'
import { expiryService, expiryTimer, processNumbers } from '../units/names.js'
import { renderEndDropIn } from '../units/render.js'
import { readManifest } from '../release/manifest.js'
import type { InstalledApp } from './app.js'
import { keepBooks } from './book-keeping.js'
import { notify } from './notify.js'
import { isUp, observeInstances } from './observe.js'
import type { HandoverOrder } from './request.js'
import { discard } from './retire.js'

/**
 * A generation that is held: it runs, warm, beside the live one, and waits for a `promote` or an `abort`. It is in the
 * record, so that it survives whoever started it; but not a reboot, nor that another generation goes live.
 */

/** Records a generation as held, in the place of one that was held before. */
export async function hold(app: InstalledApp, began: State, held: Held): Promise<void> {
  const { paths, systemd } = app
  await wakeAtEndOfLive(app, began)
  // As it is by now: somebody may have discarded it meanwhile.
  let before: Held | undefined
  changeState(paths, began, (now) => {
    before = now.held
    return { ...now, held }
  })
  await keepBooks(app, `Generation ${held.generation} is held`, async () => {
    if (before !== undefined) await discardHeld(app, before, { reason: `generation ${held.generation} is held in its place` })
    // With the client of an expiry that waits for the end of this, and would be told that it came too late.
    await systemd.run('stop', [expiryTimer(paths.app), expiryService(paths.app)])
    await setExpiry(app, held)
  })
}

/** Why, and by whom. */
interface Cause {
  reason: string
  by?: string
  kind?: HandoverKind
}

/** Ends a generation that is held, and forgets it. What is live is not touched. */
export async function discardHeld(app: InstalledApp, held: Held, cause: Cause): Promise<void> {
  await discard(app, held.generation)
  // Cut off in between, it is recorded and gone: see forgetLostHeld.
  forget(app, held)
  await cancelExpiry(app)
  recordDiscarded(app, held, cause)
}

/** Tells of it, and writes it into the history. */
function recordDiscarded(app: InstalledApp, held: Held, { reason, by, kind = 'abort' }: Cause): void {
  const { paths, story } = app
  const at = new Date().toISOString()
  const { generation, release } = held
  notify(app, { event: 'aborted', app: paths.app, at, release, generation, kind, reason, ...(by === undefined ? {} : { by }) })
  story.tell('aborted', `Generation ${held.generation}, which was held, is discarded: ${reason}.`, held)
  appendHistory(paths, {
    at, kind, ...(by === undefined ? {} : { by }), generation, release,
    outcome: 'aborted', reason, durationMs: Date.now() - Date.parse(held.since),
  })
}

/** A hold is over: by its promotion, in a bake that went wrong, or as another generation went live, which has it drain. */
export async function endHold(app: InstalledApp, held: Held | undefined, { live }: { live?: number }): Promise<void> {
  if (held === undefined) return
  await keepBooks(app, `Generation ${held.generation} is no longer held`, async () => {
    forget(app, held)
    await cancelExpiry(app)
    if (live !== undefined && live !== held.generation) recordDiscarded(app, held, { reason: `generation ${live} is live by now` })
  })
}

/** What is to be promoted, as long as it is what somebody meant. @throws HoldfastError `state-changed` */
export function requireHeld({ paths }: InstalledApp, { held, live }: State, { began }: HandoverOrder, generation: number): Held {
  const hint = `${holdfastCommand(paths)} status ${paths.app}`
  if (held?.generation !== generation) {
    throw new HoldfastError('state-changed', `generation ${generation} is no longer held${held === undefined ? '' : `: generation ${held.generation} is`}`, { hint })
  }
  if (live?.release !== began) {
    throw new HoldfastError('state-changed', `release ${held.release} was to take the place of ${began ?? 'nothing'}, but ${live?.release ?? 'nothing'} is live by now: somebody else has brought it up meanwhile`, { hint })
  }
  return held
}

/** Of what was held, nothing may be left: after a reboot, a stop of the app. @returns the record without it */
export async function forgetLostHeld(app: InstalledApp, state: State): Promise<State> {
  const { held } = state
  if (held === undefined) return state
  const left = (await observeInstances(app.systemd, app.paths.app)).filter((instance) => instance.generation === held.generation)
  if (left.some(isUp)) return state
  forget(app, held)
  await cancelExpiry(app)
  recordDiscarded(app, held, { reason: 'nothing of it runs any more: the machine was started anew, or the app or this one was stopped' })
  return readState(app.paths)
}

function forget({ paths }: Pick<InstalledApp, 'paths'>, held: Held): void {
  changeState(paths, readState(paths), (now) => {
    if (now.held?.generation !== held.generation) return now
    const { held: _, ...rest } = now
    return rest
  })
}

/**
 * To systemd, a held instance is one that runs: with the live ones gone, a connection would start nothing. So their end wakes
 * the unit that looks what is to be done after it.
 */
async function wakeAtEndOfLive({ paths, systemd }: InstalledApp, { live }: State): Promise<void> {
  if (live === undefined) return
  const { generation, processes } = live
  for (const process of processNumbers(processes)) writeDropIn(paths, { generation, process }, renderEndDropIn(paths.app), 'end')
  await systemd.daemonReload()
}

/** @throws HoldfastError `systemd-failed` where systemd does not take the timer */
async function setExpiry({ paths, node, systemd }: InstalledApp, { generation, expires }: Held): Promise<void> {
  const { app, scope } = paths
  const cli = readManifest(paths)?.cli
  if (cli === undefined || expires === undefined) return
  const { ok, message } = await systemd.runTransient([
    '--collect', `--unit=${expiryTimer(app).replace(/\.timer$/, '')}`, `--description=Discard what is held of ${app}`,
    `--on-active=${Math.max(1, Math.ceil((Date.parse(expires) - Date.now()) / 1000))}s`, '--timer-property=AccuracySec=1s',
    '--property=SyslogIdentifier=holdfast',
    '--', node, cli, ...(scope === 'user' ? ['--user'] : []), 'abort', app, '--wait', `--expired=${generation}`,
  ])
  if (!ok) throw new HoldfastError('systemd-failed', `generation ${generation} will not be discarded at ${expires}: ${message}`)
}

const cancelExpiry = async ({ paths, systemd }: Pick<InstalledApp, 'paths' | 'systemd'>): Promise<void> => {
  await systemd.run('stop', [expiryTimer(paths.app)])
}
