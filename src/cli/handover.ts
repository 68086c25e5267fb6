import { setTimeout as delay } from 'node:timers/promises'
import { recordRefusal } from '../deploy/record.js'
import { reviveLive } from '../deploy/activate.js'
import type { InstalledApp } from '../deploy/app.js'
import { handOver } from '../deploy/handover.js'
import { promote } from '../deploy/promotion.js'
import { servingGeneration } from '../deploy/observe.js'
import { tellTo } from '../deploy/story.js'
import { writeResult, type OrderResult } from '../deploy/order.js'
import { endRequest, takeRequest, type HandoverRequest } from '../deploy/request.js'
import { explainSystemError, HoldfastError } from '../errors.js'
import { readState } from '../release/state.js'
import { readWanted } from '../release/wanted.js'
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
  if (options.reload === true) return tryHandover(app, { from: 'folder' })

  const [service] = await app.systemd.show([appService(name)])
  const restarts = service?.restarts ?? 0
  const begin = performance.now()
  let taken: ReturnType<typeof takeRequest>
  try {
    taken = takeRequest(app.paths, restarts)
  } catch (error) {
    return refuse(app, { from: 'record' }, error, begin)
  }
  const { request, retries } = taken
  // systemd's own pause does not grow before version 254. A restart by hand ends this one.
  if (retries > 1) await delay(Math.min(longestRestartMs, restartMs * 2 ** (retries - 1)) - restartMs)
  const status = request.from === 'order' ? await tryOrder(app, request) : await tryHandover(app, request)
  endRequest(app.paths, restarts)
  return status
}

/** Tells whoever ordered it: the sentences as they come, and what became of it. */
async function tryOrder(app: InstalledApp, request: HandoverRequest & { from: 'order' }): Promise<number> {
  const { id, events } = request.order
  const told = events === undefined ? app : { ...app, story: tellTo(app.story, events) }
  return tryHandover(told, request, (result) => writeResult(app.paths, id, result))
}

async function tryHandover(app: InstalledApp, request: HandoverRequest, onEnd: (result: OrderResult) => void = () => {}): Promise<number> {
  const begin = performance.now()
  try {
    const outcome = request.from === 'order' && request.order.promote !== undefined ? await promote(app, request, request.order.promote) : await handOver(app, request)
    if (outcome.kind === 'nothing-to-run') return 0
    onEnd(outcome)
    if (outcome.kind !== 'failed') return 0
    return outcome.serving === undefined ? await statusOfFailure(app) : 1
  } catch (error) {
    return refuse(app, request, error, begin, onEnd)
  }
}

/** Nothing was handed over, for a reason of the machine's or of somebody's asking. @returns the exit status */
async function refuse(app: InstalledApp, request: HandoverRequest, thrown: unknown, begin: number, onEnd: (result: OrderResult) => void = () => {}): Promise<number> {
  const error = explainSystemError(thrown)
  if (!(error instanceof HoldfastError)) throw error
  let status = await statusOfFailure(app)
  // A full disk at a boot: what is recorded has its files, and needs nothing written.
  if (status === nothingServes && (await reviveLive(app))) status = 1
  const hint = error.hint === undefined ? '' : `\nTry: ${error.hint}`
  app.story.tell('deploy-failed', `No handover: ${error.message}${hint}`)
  recordRefusal(app.paths, request, error.message, performance.now() - begin)
  onEnd({ kind: 'failed', reason: error.message, log: [], serving: await servingGeneration(app), ...(error.hint === undefined ? {} : { hint: error.hint }) })
  return status
}

/** With nothing up although a release is recorded as good, or wanted by somebody, systemd is to try again. */
async function statusOfFailure(app: InstalledApp): Promise<number> {
  if ((await servingGeneration(app)) !== undefined) return 1
  try {
    return readState(app.paths).live === undefined && readWanted(app.paths) === undefined ? 1 : nothingServes
  } catch {
    return 1 // the failure that is being told already
  }
}
