import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { listInstanceFolders } from '../release/instance.js'
import type { AppPaths } from '../release/paths.js'
import { readState } from '../release/state.js'
import { appService, instanceUnit, processNumbers } from '../units/names.js'
import type { InstalledApp } from './app.js'
import { isServing, isUp, observeInstances } from './observe.js'

/** The back-off between attempts that bring nothing up, in milliseconds. */
const firstDelayMs = 1_000
const longestDelayMs = 30_000

/**
 * The activation: a connection came while no instance ran. Where the app is started, its live
 * generation was stopped by hand and comes back as it was; else the app is started, which is a handover
 * of what is recorded. Never looks at the source folder.
 */
export async function activateApp(app: InstalledApp): Promise<void> {
  const { paths, systemd, story } = app
  if (await someInstance(app)) return
  await backOff(app)
  if (await someInstance(app)) return

  const state = readState(paths)
  const [service] = await systemd.show([appService(paths.app)])
  const revive = service?.active === 'active' && state.live !== undefined && hasFiles(paths, state.live.generation)
  if (service?.active === 'active' && state.live === undefined) {
    story.tell('activation', `A connection came, but no release of ${paths.app} is recorded yet.`)
  } else if (revive && state.live !== undefined) {
    const { generation, release, processes } = state.live
    story.tell('activation', `A connection came and nothing ran: starting generation ${generation} again.`, { generation, release })
    await systemd.run('start', processNumbers(processes).map((n) => instanceUnit(paths.app, generation, n)))
  } else {
    story.tell('activation', `A connection came and nothing ran: starting ${paths.app}.`)
    await systemd.run(service?.active === 'active' ? 'restart' : 'start', [appService(paths.app)])
  }
  if ((await observeInstances(systemd, paths.app)).some(isServing)) rmSync(backOffFile(paths), { force: true })
}

const someInstance = async ({ systemd, paths }: InstalledApp): Promise<boolean> =>
  (await observeInstances(systemd, paths.app)).some(isUp)

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
  mkdirSync(paths.run, { recursive: true, mode: 0o755 })
  writeFileSync(backOffFile(paths), String(attempts + 1))
  if (attempts === 0) return
  const delayMs = Math.min(longestDelayMs, firstDelayMs * 2 ** (attempts - 1))
  story.tell('activation-delayed', `${paths.app} did not come up ${attempts === 1 ? 'once' : `${attempts} times`}: trying again in ${delayMs / 1000} s.`)
  for (const deadline = Date.now() + delayMs; Date.now() < deadline; ) {
    await new Promise((resolve) => setTimeout(resolve, Math.min(500, delayMs)))
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
