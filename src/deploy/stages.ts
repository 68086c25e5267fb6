import { setTimeout as delay } from 'node:timers/promises'
import { holdBack, isHeldBack, letIn } from '../release/standby.js'
import { instanceUnit, processNumbers } from '../units/names.js'
import type { InstalledApp } from './app.js'
import { bake } from './checks/bake.js'
import { tryCandidate, watchWhile, type Failed, type Refusal } from './candidate.js'
import { checkHealth } from './checks/health.js'
import { hasStandby } from './instances.js'
import { letMembersIn, seeHeldBack } from './let-in.js'
import { answers, hasEnded, isUp, observeInstances } from './observe.js'
import { countFirst, type Handover, type Member } from './plan.js'
import { retire } from './retire.js'
import { membersWords, tellLetIn, tellReady, tellReplaced } from './telling.js'

/**
 * What the processes of a new generation go through, all at once or some at a time: they are brought up in standby, where
 * whoever fails has answered nobody, and then let in beside the older ones, and watched.
 */

/** How long a generation is watched once it is let in where no `bake.for` says so, in milliseconds: at most, and never longer than it had to settle. */
const letInMs = 1_000

/** How long an instance may tell nothing of itself where nothing else serves, in milliseconds. */
const silentMs = 5_000

/** How long the end of a drain is waited for before the next process is started, in milliseconds: see `replaceOneByOne`. */
const drainMs = 30_000

/** All processes of the new generation. */
export function membersOf({ app, choice, plan }: Handover): Member[] {
  return processNumbers(choice.config.processes).map((process) => ({ generation: plan.generation, process, unit: instanceUnit(app.paths.app, plan.generation, process) }))
}

/** Those of them that are brought up first, and baked: all, the first of them, or as many canaries as were asked for. */
export function firstOf(handover: Handover): Member[] {
  const { request, choice } = handover
  return membersOf(handover).slice(0, countFirst(choice.config, request.from === 'order' ? request.order : undefined))
}

/** How processes are brought up: see `bringUp`. */
interface BringingUp {
  /** Default: `start.settle`. */
  settleMs?: number
  /** They run already, or did, and are held back or let in as they were. Default false. */
  areOld?: boolean
}

/** Starts processes and looks at them until they have settled, in standby where the app knows it. @returns what went wrong */
export async function bringUp(handover: Handover, members: readonly Member[], { settleMs = handover.choice.config.start.settleMs, areOld = false }: BringingUp = {}): Promise<Failed | undefined> {
  const { app, choice } = handover
  const { start } = choice.config
  if (!areOld) {
    // With the record lost, a number may be that of one of which a file was left.
    if (hasStandby(app, choice.config)) holdBack(app.paths, members)
    else letIn(app.paths, members)
  }
  const verdict = await tryCandidate(app.systemd, {
    units: members.map(({ unit }) => unit),
    unitTimeoutMs: app.config.start.timeoutMs,
    // One that is longer than the unit's own needs `install`; see mergeRelease.
    ...(start.timeoutMs < app.config.start.timeoutMs ? { startTimeoutMs: start.timeoutMs } : {}),
    settleMs,
    onReady: (afterMs) => tellReady(handover, members, { afterMs, settleMs }),
    look: async (signal) => (await askStandby(handover, members, signal)) ?? (await askHealth(handover, members, signal)),
  })
  return verdict.kind === 'failed' ? verdict : undefined
}

async function askStandby(handover: Handover, members: readonly Member[], signal: AbortSignal): Promise<Refusal | undefined> {
  const { app, request } = handover
  const isToBeHeld = request.from === 'order' && request.order.hold !== undefined
  if (!isToBeHeld && !hasFallback(handover)) return undefined
  const answer = await seeHeldBack(app, members.filter((member) => isHeldBack(app.paths, member)), { signal })
  return answer.kind === 'as-expected' ? undefined : answer
}

/** Whether anything answers that could go on doing so: where nothing does, whatever comes up is better. */
const hasFallback = ({ app, plan }: Handover): boolean => plan.retire.some((instance) => answers(app.paths, instance))

async function askHealth(handover: Handover, instances: readonly Member[], signal: AbortSignal): Promise<Refusal | undefined> {
  const { app, choice: { config, release } } = handover
  if (config.health === undefined) return undefined
  const health = await checkHealth(app, { health: config.health, release, config, instances: [...instances], signal, tell: (text) => tellLetIn(handover, text) })
  return health.ok ? undefined : health
}

/** Lets processes accept beside the older ones, and watches them on real traffic (`[bake]`). @returns what went wrong */
export async function letInAndBake(handover: Handover, fresh: readonly Member[]): Promise<Failed | undefined> {
  const { app, choice: { config, release }, plan, state } = handover
  // What was held when it was configured otherwise is to be let in all the same.
  const isStandby = hasStandby(app, config) || fresh.some((member) => isHeldBack(app.paths, member))
  // Others have answered all the time while they settled.
  const forMs = config.bake.forMs ?? (isStandby ? Math.min(config.start.settleMs, letInMs) : 0)
  if (!isStandby && forMs === 0) return undefined
  const older = plan.retire
    .filter(({ generation }) => generation === state.live?.generation)
    .map(({ generation, process, state: { unit } }) => ({ generation, process, unit }))
  const who = membersWords(handover, fresh)
  return watchWhile(app.systemd, watched(app, fresh), async (signal) => {
    const refusal = isStandby ? await letAllIn(handover, fresh, signal) : undefined
    if (refusal !== undefined) return refusal
    tellLetIn(handover, older.length === 0 ? `${who} let in.` : `${who} let in beside generation ${state.live?.generation}, and watched for ${forMs / 1000} s.`)
    if (!hasFallback(handover)) return undefined
    const verdict = await bake(app, {
      bake: config.bake, ...(config.health === undefined ? {} : { health: config.health }), config, release, fresh: [...fresh], older, forMs, signal,
      tell: (text) => tellLetIn(handover, text),
    })
    return verdict.ok ? undefined : verdict
  })
}

async function letAllIn(handover: Handover, members: readonly Member[], signal: AbortSignal): Promise<Refusal | undefined> {
  if (hasFallback(handover)) {
    const answer = await letMembersIn(handover.app, members, { signal })
    return answer.kind === 'as-expected' ? undefined : answer
  }
  const answer = await letMembersIn(handover.app, members, { signal, silentMs })
  // After a boot, say, with a release from before there was a standby: it serves.
  return answer.kind === 'otherwise' ? answer : undefined
}

/** Brings the remaining processes up when the first have stood their bake: as `strategy` says. @returns what went wrong */
export async function bringRest(handover: Handover, rest: readonly Member[]): Promise<Failed | undefined> {
  if (rest.length === 0) return undefined
  if (handover.choice.config.strategy === 'rolling') return replaceOneByOne(handover, rest)
  return (await bringUp(handover, rest)) ?? (await letRestIn(handover, rest))
}

/**
 * For each process that is up an older one leaves before the next is started, so that memory overlaps by one process. The
 * end of its drain is waited for, but not for ever. The last older ones leave when the new generation is recorded as live.
 */
async function replaceOneByOne(handover: Handover, rest: readonly Member[]): Promise<Failed | undefined> {
  const { app, plan } = handover
  const older = plan.retire.filter(isUp)
  for (const member of rest) {
    // As many as are left of both: one of the older stays to the end.
    const leaving = older.length > 1 ? older.shift() : undefined
    if (leaving !== undefined) {
      tellReplaced(handover, leaving.state.unit)
      await retire(app, [leaving])
      await waitForEnd(app, leaving.state.unit)
    }
    const failed = (await bringUp(handover, [member])) ?? (await letRestIn(handover, [member]))
    if (failed !== undefined) return failed
  }
  return undefined
}

async function waitForEnd({ systemd, paths }: InstalledApp, unit: string): Promise<void> {
  for (const deadline = Date.now() + drainMs; Date.now() < deadline; await delay(100)) {
    const instance = (await observeInstances(systemd, paths.app)).find(({ state }) => state.unit === unit)
    if (instance === undefined || hasEnded(instance)) return
  }
}

async function letRestIn(handover: Handover, members: readonly Member[]): Promise<Failed | undefined> {
  const { app, choice } = handover
  if (!hasStandby(app, choice.config)) return undefined
  return watchWhile(app.systemd, watched(app, members), (signal) => letAllIn(handover, members, signal))
}

const watched = (app: InstalledApp, members: readonly Member[]): { units: string[]; unitTimeoutMs: number } => ({
  units: members.map(({ unit }) => unit),
  unitTimeoutMs: app.config.start.timeoutMs,
})
