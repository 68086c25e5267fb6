import { setTimeout as delay } from 'node:timers/promises'
import { formatAddress } from '../../config/address.js'
import { HoldfastError } from '../../errors.js'
import { closeTemplate, previewSocket } from '../../units/names.js'
import type { Systemd, UnitState } from '../../systemd/systemd.js'
import type { InstalledApp } from '../app.js'
import { judgeListener } from './guard-judge.js'
import { describeLoss, readOwnListeners } from './guard.js'
import { closeListeners } from './listener-close.js'
import type { ListenerFacts } from './listener-facts.js'
import { isDraining, isUp, observeInstances, type RunningInstance } from '../observe.js'
import { findSockets } from './port-owner.js'

const freeMs = 5_000

/**
 * Makes sure that systemd holds every listener before an instance starts: one without its inherited
 * socket would try to bind the address itself. Where systemd has lost one, it is opened again if that closes nothing.
 * @throws HoldfastError `handover-failed`
 */
export async function requireListeners(app: InstalledApp): Promise<void> {
  const instances = await observeInstances(app.systemd, app.paths.app)
  for (const facts of await readOwnListeners(app, instances)) {
    if (!isHeld(facts)) await reopen(app, facts, instances)
    else tellMoved(app, facts)
  }
  await openPreview(app)
}

/**
 * A start right after a stop queues its sockets before the drain closes them. Not waited for, whatever becomes of it:
 * without a preview, the app is served all the same.
 */
async function openPreview({ systemd, units, paths }: InstalledApp): Promise<void> {
  await systemd.queueStart(units.filter((unit) => unit === previewSocket(paths.app)))
}

/** Where somebody has stopped a socket unit, a start of the app opens it again before anything of ours runs. */
function tellMoved({ paths, story }: InstalledApp, facts: ListenerFacts): void {
  const split = judgeListener(facts, { paths, isUp: true }).find(({ kind }) => kind === 'split')
  if (split !== undefined) story.tell('listener-repaired', `${split.what}. The next generation accepts on systemd's.`)
}

/** Whether an instance that starts would get the socket, and a client would reach it. What may not be looked at counts as held. */
const isHeld = ({ state, held, hasPath }: ListenerFacts): boolean => state.active === 'active' && held?.length !== 0 && hasPath

async function reopen(app: InstalledApp, before: ListenerFacts, instances: readonly RunningInstance[]): Promise<void> {
  const { systemd, paths, story } = app
  const { unit } = before.state
  // A path is bound beside the old socket; a port is free once nobody has it.
  if (before.state.active === 'active') {
    if (!before.isBelieved || (before.address.kind === 'tcp' && before.sockets.length > 0)) throw notHeld(app, before, instances)
    await closeListeners(systemd, paths.app, [unit], app.units.filter((name) => name === closeTemplate(paths.app)))
  }
  if (before.address.kind === 'tcp' && instances.some(isDraining) && !instances.some(isUp)) await waitUntilFree(app, before)
  const refusal = await startSocket(systemd, unit)
  const after = (await readOwnListeners(app, instances)).find(({ listener }) => listener === before.listener) as ListenerFacts
  if (refusal !== undefined || !isHeld(after)) throw notHeld(app, after, instances, refusal?.message)
  // Of a start, its sockets are no news.
  if (before.state.active !== 'active' && !instances.some(isUp)) return
  story.tell('listener-repaired', `systemd had lost ${formatAddress(before.address)}: ${describeLoss(before)}. It holds it again; the next generation accepts there.`)
}

/** Instances that were told to stop let go of a port at once, but an app of another kind may not: its drain is not waited for. */
async function waitUntilFree({ proc }: InstalledApp, { address }: ListenerFacts): Promise<void> {
  for (const deadline = Date.now() + freeMs; Date.now() < deadline && findSockets(address, proc).length > 0; await delay(50));
}

function notHeld({ paths }: InstalledApp, facts: ListenerFacts, instances: readonly RunningInstance[], message = ''): HoldfastError {
  const [fault] = judgeListener(facts, { paths, isUp: instances.some(isUp) })
  const { unit, active, result } = facts.state
  const what = fault?.what ?? `${unit} is ${active} (${result}): systemd does not hold ${formatAddress(facts.address)}`
  return new HoldfastError('handover-failed', `${what}.${message === '' ? '' : ` ${message}`}`, fault === undefined ? {} : { hint: fault.mend })
}

/** Starts a socket unit that is not active yet. @returns what it is instead, and the first line of what systemctl said, where it did not come up */
export async function startSocket(systemd: Systemd, unit: string): Promise<{ state: UnitState | undefined; message: string } | undefined> {
  const [before] = await systemd.show([unit])
  if (before?.active === 'active') return undefined
  const { message } = await systemd.run('start', [unit])
  const [state] = await systemd.show([unit])
  return state?.active === 'active' ? undefined : { state, message: message.split('\n')[0] ?? '' }
}
