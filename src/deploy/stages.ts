import { setTimeout as delay } from 'node:timers/promises'
import { holdBack } from '../release/standby.js'
import { instanceUnit, processNumbers } from '../units/names.js'
import type { InstalledApp } from './app.js'
import { bake } from './bake.js'
import { tryCandidate, watchWhile, type Failed, type Refusal } from './candidate.js'
import { checkHealth } from './health.js'
import { hasStandby } from './instances.js'
import { checkHeldBack, letMembersIn, type Member } from './let-in.js'
import { hasEnded, isUp, observeInstances } from './observe.js'
import type { Handover } from './plan.js'
import { retire } from './retire.js'
import { tellLetIn, tellReady, tellReplaced } from './telling.js'

/**
 * What the processes of a new generation go through, all at once or some at a time: they are brought up in standby, where
 * whoever fails has answered nobody, and then let in beside the older ones, and watched.
 */

/** How long a generation is watched once it is let in where no `bake.for` says so, in milliseconds: at most, and never longer than it had to settle. */
const letInMs = 1_000

/** How long the end of a drain is waited for before the next process is started, in milliseconds: see `replaceOneByOne`. */
const drainMs = 30_000

/** All processes of the new generation. */
export function membersOf({ app, choice, plan }: Handover): Member[] {
  return processNumbers(choice.config.processes).map((process) => ({ generation: plan.generation, process, unit: instanceUnit(app.paths.app, plan.generation, process) }))
}

/** Those of them that are brought up first, and baked: all, the first of them, or as many canaries as were asked for. */
export function firstOf(handover: Handover): Member[] {
  const { request, choice } = handover
  const canaries = request.from === 'order' ? request.order.canary?.processes : undefined
  // What is held is whole: it is to be what will go live.
  const isWhole = choice.config.strategy === 'all' || (request.from === 'order' && request.order.hold !== undefined)
  return membersOf(handover).slice(0, canaries ?? (isWhole ? choice.config.processes : 1))
}

/** Starts processes and looks at them until they have settled, in standby where the app knows it. @returns what went wrong */
export async function bringUp(handover: Handover, members: readonly Member[], { settleMs = handover.choice.config.start.settleMs } = {}): Promise<Failed | undefined> {
  const { app, choice } = handover
  const { start } = choice.config
  // What runs already may have been let in before, by a promotion that was killed.
  const heldBack = hasStandby(app, choice.config) ? await withoutRunning(app, members) : []
  holdBack(app.paths, heldBack)
  const verdict = await tryCandidate(app.systemd, {
    units: members.map(({ unit }) => unit),
    unitTimeoutMs: app.config.start.timeoutMs,
    // One that is longer than the unit's own needs `install`; see mergeRelease.
    ...(start.timeoutMs < app.config.start.timeoutMs ? { startTimeoutMs: start.timeoutMs } : {}),
    settleMs,
    onReady: (afterMs) => tellReady(handover, members, { afterMs, settleMs }),
    look: async (signal) => (await checkHeldBack(app, heldBack, signal)) ?? askHealth(handover, members, signal),
  })
  return verdict.kind === 'failed' ? verdict : undefined
}

async function withoutRunning({ systemd, paths }: InstalledApp, members: readonly Member[]): Promise<Member[]> {
  const up = (await observeInstances(systemd, paths.app)).filter(isUp).map(({ state }) => state.unit)
  return members.filter(({ unit }) => !up.includes(unit))
}

async function askHealth(handover: Handover, instances: readonly Member[], signal: AbortSignal): Promise<Refusal | undefined> {
  const { app, choice: { config, release } } = handover
  if (config.health === undefined) return undefined
  const health = await checkHealth(app, { health: config.health, release, config, instances: [...instances], signal, tell: (text) => tellLetIn(handover, text) })
  return health.ok ? undefined : health
}

/** Lets processes accept beside the older ones, and watches them on real traffic (`[bake]`). @returns what went wrong */
export async function letInAndBake(handover: Handover, fresh: readonly Member[]): Promise<Failed | undefined> {
  const { app, choice: { config, release }, plan, state } = handover
  const isStandby = hasStandby(app, config)
  // Others have answered all the time while they settled.
  const forMs = config.bake.forMs ?? (isStandby ? Math.min(config.start.settleMs, letInMs) : 0)
  if (!isStandby && forMs === 0) return undefined
  const older = plan.retire
    .filter(({ generation }) => generation === state.live?.generation)
    .map(({ generation, process, state: { unit } }) => ({ generation, process, unit }))
  return watchWhile(app.systemd, watched(app, fresh), async (signal) => {
    const refusal = isStandby ? await letMembersIn(app, fresh, signal) : undefined
    if (refusal !== undefined) return refusal
    tellLetIn(handover, older.length === 0 ? `Generation ${plan.generation} accepts connections.` : `Generation ${plan.generation} accepts connections beside generation ${state.live?.generation}; it is watched for ${forMs / 1000} s.`)
    const verdict = await bake(app, {
      bake: config.bake, ...(config.health === undefined ? {} : { health: config.health }), config, release, fresh: [...fresh], older, forMs, signal,
      tell: (text) => tellLetIn(handover, text),
    })
    return verdict.ok ? undefined : verdict
  })
}

/** Brings the remaining processes up when the first have stood their bake: as `strategy` says. @returns what went wrong */
export async function bringRest(handover: Handover, rest: readonly Member[]): Promise<Failed | undefined> {
  if (rest.length === 0) return undefined
  if (handover.choice.config.strategy === 'rolling') return replaceOneByOne(handover, rest)
  return (await bringUp(handover, rest)) ?? (await letIn(handover, rest))
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
    const failed = (await bringUp(handover, [member])) ?? (await letIn(handover, [member]))
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

async function letIn({ app, choice }: Handover, members: readonly Member[]): Promise<Failed | undefined> {
  if (!hasStandby(app, choice.config)) return undefined
  return watchWhile(app.systemd, watched(app, members), (signal) => letMembersIn(app, members, signal))
}

const watched = (app: InstalledApp, members: readonly Member[]): { units: string[]; unitTimeoutMs: number } => ({
  units: members.map(({ unit }) => unit),
  unitTimeoutMs: app.config.start.timeoutMs,
})
