import { setTimeout as delay } from 'node:timers/promises'
import { loadReleaseConfig } from '../config/release.js'
import { systemctlCommand } from '../release/command-words.js'
import { writeDropIn } from '../release/instance-drop-in.js'
import type { Release } from '../release/release.js'
import { changeState, readState, type AfterDrain, type State } from '../release/state.js'
import { readRelease, releaseFolder, writeRelease } from '../release/store.js'
import { afterDrainService } from '../units/names.js'
import { renderEndDropIn } from '../units/render.js'
import { reviveBesideHeld } from './activate.js'
import type { InstalledApp } from './app.js'
import { readDeployRecord } from './operation/deploy-record.js'
import { isDeploying } from './operation/deploy-under-way.js'
import { expectDrained, isToldOfDrains, tellDrained } from './drained.js'
import { runHook } from './operation/hooks.js'
import { hasEnded, observeInstances, type RunningInstance } from './observe.js'
import type { Handover } from './plan.js'
import { readOrder } from './request.js'

/**
 * `hooks.after_drain`: what a release may do only once no older one runs any more, such as to drop a column. It waits in
 * the record, not in a process: each older instance starts the unit for it as it ends. It belongs to the release that is
 * live: another one that goes live cancels it.
 */

/** Has every older instance wake the unit when it ends. Before the order to drain, lest one is gone by then. */
export async function prepareAfterDrain(handover: Handover): Promise<void> {
  const { app, plan } = handover
  if (!isAsked(handover) && !isToldOfDrains(app)) return
  const older = olderThan(await observeInstances(app.systemd, app.paths.app), plan.generation)
  expectDrained(handover, older)
  for (const instance of older) writeDropIn(app.paths, instance, renderEndDropIn(app.paths.app), 'end')
  if (older.length > 0) await app.systemd.daemonReload()
}

/** The record of a release that goes live, with its own hook, or with that of the same release which waits already. */
export function withAfterDrain(now: State, handover: Handover): State {
  const { choice, plan } = handover
  const { afterDrain, ...rest } = now
  const release = choice.release.id
  if (isAsked(handover)) return { ...rest, afterDrain: { release, generation: plan.generation, since: new Date().toISOString() } }
  return afterDrain?.release === release ? now : rest
}

/** After a handover: says what it cancelled, and looks whether the time has come already. */
export async function wakeAfterDrain({ app, state }: Handover): Promise<void> {
  const { paths, story, systemd } = app
  const { afterDrain } = readState(paths)
  const before = state.afterDrain
  if (before !== undefined && before.generation !== afterDrain?.generation) {
    if (before.begun === undefined) {
      story.tell('after-drain-cancelled', `hooks.after_drain of release ${before.release}, which still waited, is cancelled: another one is live.`, { release: before.release })
    }
    // What failed is nobody's concern any more.
    if (before.failed !== undefined) await systemd.resetFailed([afterDrainService(paths.app)])
  }
  await startWaiting(app)
  // What ended before systemd knew what to start.
  await tellDrained(app)
}

/** Has the unit look whether the time has come for what waits; one that failed waits for somebody's own start. */
export async function startWaiting({ paths, systemd }: Pick<InstalledApp, 'paths' | 'systemd'>): Promise<void> {
  const { afterDrain } = readState(paths)
  if (afterDrain !== undefined && afterDrain.failed === undefined) await systemd.queueStart([afterDrainService(paths.app)])
}

/** The `ExecStart=` of the unit. @returns the exit status: 1 where the hook failed */
export async function runAfterDrain(app: InstalledApp): Promise<0 | 1> {
  await reviveBesideHeld(app)
  const { paths, story } = app
  const state = readState(paths)
  const { afterDrain } = state
  if (afterDrain === undefined) return 0
  if (state.live?.release !== afterDrain.release) {
    endAfterDrain(app, afterDrain)
    return 0
  }
  if (!(await isDue(app, afterDrain))) return 0

  const release = readRelease(paths, afterDrain.release)
  const { config } = loadReleaseConfig(app.config, releaseFolder(paths, release))
  const command = config.hooks.afterDrain
  if (command === undefined) {
    endAfterDrain(app, afterDrain)
    return 0
  }
  const at = new Date().toISOString()
  // On the release first: from now on, what older ones need may be gone.
  mark(app, release, { at, outcome: 'begun' })
  editAfterDrain(app, afterDrain, (own) => ({ ...own, begun: at, failed: undefined }))
  story.tell('after-drain-began', `No instance older than generation ${afterDrain.generation} runs any more: hooks.after_drain of release ${release.id} begins.`, { release: release.id })
  const result = await runHook(app, {
    name: 'after_drain', command, folder: releaseFolder(paths, release), writable: false, release, config,
    timeoutMs: config.hooks.timeoutMs, boundTo: afterDrainService(paths.app),
    onLine: () => {}, // the journal has them
  })
  mark(app, release, { at, outcome: result.ok ? 'done' : 'failed' })
  if (result.ok) {
    endAfterDrain(app, afterDrain)
    story.tell('after-drain-done', `hooks.after_drain of release ${release.id} is done.`, { release: release.id, durationMs: result.durationMs })
    return 0
  }
  editAfterDrain(app, afterDrain, (own) => ({ ...own, failed: result.reason }))
  story.tell('after-drain-failed', [
    `hooks.after_drain of release ${release.id} failed: ${result.reason}. The release is live all the same.`,
    ...(result.log.length === 0 ? [] : ['Its last lines:', ...result.log.map((line) => `    ${line}`)]),
    `To run it again: ${systemctlCommand(paths)} start ${afterDrainService(paths.app)}`,
  ].join('\n'), { release: release.id, durationMs: result.durationMs })
  return 1
}

/** The `ExecStopPost=` of the unit: who wanted to start it while it still ran has started nothing. */
export async function lookAgain(app: InstalledApp): Promise<void> {
  await reviveBesideHeld(app)
  const { afterDrain, live } = readState(app.paths)
  if (afterDrain === undefined || afterDrain.begun !== undefined || live?.release !== afterDrain.release) return
  if (await isDue(app, afterDrain)) await app.systemd.queueStart([afterDrainService(app.paths.app)])
}

/** Instances that a hook still waits for. */
export const olderThan = (instances: readonly RunningInstance[], generation: number): RunningInstance[] =>
  instances.filter((instance) => instance.generation < generation && !hasEnded(instance))

/**
 * Whether nobody older is left, and nothing is under way that may put another release in the place of this one: whatever
 * that is wakes the unit when it ends. The executor of a deploy has its record before it looks whether a hook runs.
 */
async function isDue(app: InstalledApp, { release, generation }: AfterDrain): Promise<boolean> {
  const { paths, systemd } = app
  const { wanted } = readState(paths)
  const order = readOrder(paths)
  if (wanted !== release || (order !== undefined && order.release !== release)) return false
  if ((await isDeploying(paths, systemd)) && readDeployRecord(paths) !== undefined) return false
  return olderThan(await observeInstances(systemd, paths.app), generation).length === 0
}

/** Whether the unit is at work. */
export async function runsAfterDrain({ paths, systemd }: Pick<InstalledApp, 'paths' | 'systemd'>): Promise<boolean> {
  const [unit] = await systemd.show([afterDrainService(paths.app)])
  return unit !== undefined && unit.active !== 'inactive' && unit.active !== 'failed'
}

/** For the holder of the lock: a hook that has begun is let finish, and what it did is known afterwards. No other begins meanwhile. */
export async function waitForAfterDrain(app: InstalledApp, signal: AbortSignal, tell: (text: string) => void): Promise<void> {
  for (let isTold = false; await runsAfterDrain(app); await delay(200)) {
    signal.throwIfAborted()
    if (!isTold && readState(app.paths).afterDrain?.begun !== undefined) {
      tell('hooks.after_drain of the release that is live runs just now: waiting for its end.')
      isTold = true
    }
  }
}

function mark({ paths }: InstalledApp, release: Release, afterDrain: NonNullable<Release['afterDrain']>): void {
  writeRelease(paths, { ...readRelease(paths, release.id), afterDrain })
}

const endAfterDrain = (app: InstalledApp, own: AfterDrain): void => editAfterDrain(app, own, () => undefined)

/** Changes the entry as long as it is still this one's: a release that has gone live meanwhile has its own, or none. */
function editAfterDrain({ paths }: InstalledApp, own: AfterDrain, edit: (entry: AfterDrain) => AfterDrain | undefined): void {
  changeState(paths, readState(paths), (now) => {
    if (now.afterDrain?.generation !== own.generation) return now
    const { afterDrain, ...rest } = now
    const edited = edit(afterDrain)
    return edited === undefined ? rest : { ...rest, afterDrain: edited }
  })
}

const isAsked = ({ request, choice }: Handover): boolean =>
  request.from === 'order' && request.order.afterDrain && choice.config.hooks.afterDrain !== undefined
