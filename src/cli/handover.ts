import { setTimeout as delay } from 'node:timers/promises'
import { recordRefusal } from '../deploy/record.js'
import { reviveLive } from '../deploy/activate.js'
import type { InstalledApp } from '../deploy/app.js'
import { handOver } from '../deploy/handover.js'
import { isServing, observeInstances } from '../deploy/observe.js'
import { endRequest, takeRequest, type Source } from '../deploy/request.js'
import { explainSystemError, HoldfastError } from '../errors.js'
import { readState } from '../release/state.js'
import { appService } from '../units/names.js'
import { openApp, type GlobalOptions } from './context.js'

/** sysexits.h, EX_TEMPFAIL: `Restart=on-failure` of the app's unit tries again. */
const nothingServes = 75

/** `RestartSec=` of the app's unit, and the longest time between two attempts, in milliseconds. */
const restartMs = 5_000
const longestRestartMs = 30_000

/** The internal command of `ExecStart=` and `ExecReload=`. @returns the exit status */
export async function handover(name: string, options: GlobalOptions & { reload?: boolean }): Promise<number> {
  const app = openApp(name, options)
  if (options.reload === true) return tryHandover(app, 'folder')

  const [service] = await app.systemd.show([appService(name)])
  const restarts = service?.restarts ?? 0
  const { from, retries } = takeRequest(app.paths, restarts)
  // systemd's own pause does not grow before version 254. A restart by hand ends this one.
  if (retries > 1) await delay(Math.min(longestRestartMs, restartMs * 2 ** (retries - 1)) - restartMs)
  const status = await tryHandover(app, from)
  endRequest(app.paths, restarts)
  return status
}

async function tryHandover(app: InstalledApp, from: Source): Promise<number> {
  const begin = performance.now()
  try {
    const outcome = await handOver(app, from)
    if (outcome.kind !== 'failed') return 0
    return outcome.serving ? 1 : await statusOfFailure(app)
  } catch (thrown) {
    const error = explainSystemError(thrown)
    if (!(error instanceof HoldfastError)) throw error
    let status = await statusOfFailure(app)
    // A full disk at a boot: what is recorded has its files, and needs nothing written.
    if (status === nothingServes && (await reviveLive(app))) status = 1
    const hint = error.hint === undefined ? '' : `\nTry: ${error.hint}`
    app.story.tell('deploy-failed', `No handover: ${error.message}${hint}`)
    recordRefusal(app.paths, error.message, performance.now() - begin)
    return status
  }
}

/** With nothing up although a release is recorded as good, systemd is to try again. */
async function statusOfFailure({ paths, systemd }: InstalledApp): Promise<number> {
  if ((await observeInstances(systemd, paths.app)).some(isServing)) return 1
  try {
    return readState(paths).live === undefined ? 1 : nothingServes
  } catch {
    return 1 // the failure that is being told already
  }
}
