import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { listInstanceFolders } from '../release/instance.js'
import type { AppPaths } from '../release/paths.js'
import { makeRunFolder } from '../release/run-folder.js'
import { readState, type Live } from '../release/state.js'
import { isHeldBack, letIn } from '../release/standby.js'
import { clearStopReason } from '../release/stop-reason.js'
import { appService, instanceUnit, processNumbers } from '../units/names.js'
import type { InstalledApp } from './app.js'
import { chooseRecorded } from './choose-release.js'
import { prepareInstances } from './instances.js'
import { answers, isUp, observeInstances } from './observe.js'
import { openRecord } from './open-record.js'

/** The back-off between attempts that bring nothing up, in milliseconds. */
const firstDelayMs = 1_000
const longestDelayMs = 30_000

/**
 * The activation: a connection came while no instance ran. Where the app is started, its live generation was stopped
 * by hand and comes back as it was; else the app is started, which is a handover of what is recorded. Never looks at
 * the source folder.
 */
export async function activateApp(app: InstalledApp): Promise<void> {
  const { paths, systemd, story } = app
  if (await someInstance(app)) return
  if (await isTrying(app)) return waitForAttempt(app)
  await backOff(app)
  if ((await someInstance(app)) || (await isTrying(app))) return

  const { live } = await openRecord(app)
  let isUpAgain = false
  if (!(await isStarted(app))) {
    story.tell('activation', `A connection came and nothing ran: starting ${paths.app}.`)
    isUpAgain = (await systemd.run('start', [appService(paths.app)])).ok
  } else if (live === undefined) {
    story.tell('activation', `A connection came, but no release of ${paths.app} is recorded yet.`)
  } else {
    story.tell('activation', `A connection came and nothing ran: starting generation ${live.generation} again.`, live)
    if (!hasFiles(paths, live.generation)) await prepareInstances(app, chooseRecorded(app, live.release), live.generation)
    isUpAgain = await reviveLive(app)
  }
  if (isUpAgain) rmSync(backOffFile(paths), { force: true })
}

/**
 * What is live has ended while another generation is held, which to systemd counts as running: no connection would start
 * anything, and canaries would go on alone. Where the app is started, it comes back at once.
 */
export async function reviveBesideHeld(app: InstalledApp): Promise<void> {
  const { paths, story } = app
  const { live, held } = readState(paths)
  if (live === undefined || held === undefined || !(await isStarted(app))) return
  // Canaries answer, but are few.
  const others = (await observeInstances(app.systemd, paths.app)).filter((instance) => instance.generation !== held.generation)
  if (others.some(isUp)) return
  story.tell('live-revived', `Generation ${live.generation}, which is live, has ended while generation ${held.generation} is held: starting it again.`, live)
  await reviveLive(app)
}

/** Starts the live generation from the files that it has. @returns whether it became ready */
export async function reviveLive(app: InstalledApp): Promise<boolean> {
  const { paths, systemd } = app
  const { live } = readState(paths)
  if (live === undefined || !hasFiles(paths, live.generation)) return false
  const { ok } = await systemd.run('start', prepareLive(app, live))
  return ok || (await observeInstances(systemd, paths.app)).some((instance) => answers(paths, instance))
}

/** The same without waiting for it: what still drains is started when it has ended. */
export async function queueLive(app: InstalledApp, live: Live): Promise<void> {
  if (hasFiles(app.paths, live.generation)) await app.systemd.queueStart(prepareLive(app, live))
}

/** Whatever is left of the order to stop, or of a standby. @returns the units */
function prepareLive({ paths }: InstalledApp, { generation, processes }: Live): string[] {
  const instances = processNumbers(processes).map((process) => ({ generation, process }))
  clearStopReason(paths, instances)
  letIn(paths, instances)
  return instances.map(({ process }) => instanceUnit(paths.app, generation, process))
}

const serviceState = async ({ systemd, paths }: InstalledApp): Promise<string | undefined> =>
  (await systemd.show([appService(paths.app)]))[0]?.active

const isStarted = async (app: InstalledApp): Promise<boolean> => (await serviceState(app)) === 'active'

/** A handover is under way, or systemd will try one again: it needs no other. */
const isTrying = async (app: InstalledApp): Promise<boolean> => (await serviceState(app)) === 'activating'

async function waitForAttempt(app: InstalledApp): Promise<void> {
  while (!(await someInstance(app)) && (await isTrying(app))) await delay(500)
}

const someInstance = async ({ systemd, paths }: InstalledApp): Promise<boolean> =>
  (await observeInstances(systemd, paths.app)).some((instance) => isUp(instance) && !isHeldBack(paths, instance))

const hasFiles = (paths: AppPaths, generation: number): boolean =>
  listInstanceFolders(paths).some((folder) => folder.generation === generation)

const backOffFile = (paths: AppPaths): string => join(paths.run, 'activation-attempts')

/**
 * The client still waits, so systemd asks again at once: each attempt that brought nothing up doubles
 * the time until the next. Cut short when somebody else starts the app.
 */
async function backOff(app: InstalledApp): Promise<void> {
  const { paths, story } = app
  const attempts = readAttempts(paths)
  makeRunFolder(paths)
  writeFileSync(backOffFile(paths), String(attempts + 1))
  if (attempts === 0) return
  const delayMs = Math.min(longestDelayMs, firstDelayMs * 2 ** (attempts - 1))
  story.tell('activation-delayed', `${paths.app} did not come up ${attempts === 1 ? 'once' : `${attempts} times`}: trying again in ${delayMs / 1000} s.`)
  for (const deadline = Date.now() + delayMs; Date.now() < deadline; ) {
    await delay(500)
    if (await someInstance(app)) return
  }
}

function readAttempts(paths: AppPaths): number {
  try {
    return Math.min(20, Number(readFileSync(backOffFile(paths), 'utf8')) || 0)
  } catch {
    return 0
  }
}
