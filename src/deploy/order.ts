import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { writeDurably } from '../release/durable-file.js'
import { holdfastCommand } from '../release/command-words.js'
import type { AppPaths } from '../release/paths.js'
import { readState } from '../release/state.js'
import { appService } from '../units/names.js'
import type { InstalledApp } from './app.js'
import { servingGeneration } from './observe.js'
import { clearOrder, readOrder, writeOrder, type HandoverOrder } from './request.js'

/** What became of an order. */
export type OrderResult =
  | { kind: 'live' | 'held'; generation: number; release: string; durationMs: number }
  /** `serving`: the generation that serves on, if any. `isTold`: whether the handover itself has written it into the history. */
  | { kind: 'failed'; reason: string; log: string[]; serving?: number | undefined; hint?: string; isTold?: boolean }

const pollMs = 100

/**
 * Has systemd restart the app's unit, whose handover brings this release up, and waits for what became of it. A
 * caller that ends meanwhile changes nothing of it; a handover that is killed is run again by systemd, and waited for.
 * @throws HoldfastError `systemd-failed`
 */
export async function orderHandover(app: InstalledApp, order: HandoverOrder): Promise<OrderResult> {
  const { paths, systemd } = app
  const unit = appService(paths.app)
  writeOrder(paths, order)
  try {
    await systemd.queueRestart([unit])
    return await waitForResult(app, order, unit)
  } catch (error) {
    // Nobody else may come upon it later.
    if (readOrder(paths)?.id === order.id) clearOrder(paths)
    throw error
  } finally {
    rmSync(resultFile(paths, order.id), { force: true })
  }
}

async function waitForResult(app: InstalledApp, order: HandoverOrder, unit: string): Promise<OrderResult> {
  const { paths, systemd } = app
  for (;;) {
    const result = readResult(paths, order.id)
    if (result !== undefined) return result
    const [state] = await systemd.show([unit])
    const isOver = (await systemd.job(unit)) === undefined && (state?.active === 'active' || state?.active === 'failed' || state?.active === 'inactive')
    if (isOver) return readResult(paths, order.id) ?? (await judge(app, order))
    await delay(pollMs)
  }
}

/** How the handover tells whoever ordered it. At best: with /run full, the record tells. */
export function writeResult(paths: AppPaths, id: string, result: OrderResult): void {
  const file = resultFile(paths, id)
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o755 })
    writeDurably(file, JSON.stringify({ ...result, isTold: true }))
  } catch {
    // See `judge`.
  }
}

/** The handover ended without a word: stopped by somebody, or with a disk too full to tell. What is recorded tells. */
async function judge({ paths, systemd }: InstalledApp, order: HandoverOrder): Promise<OrderResult> {
  clearOrder(paths)
  const { live, held } = readState(paths)
  if (held?.id === order.id) {
    return { kind: 'held', generation: held.generation, release: held.release, durationMs: Date.now() - Date.parse(order.since) }
  }
  if (live?.release === order.release && live.since >= order.since) {
    return { kind: 'live', generation: live.generation, release: live.release, durationMs: Date.now() - Date.parse(order.since) }
  }
  const [state] = await systemd.show([appService(paths.app)])
  return {
    kind: 'failed',
    // Stopped in its middle, a oneshot has failed by SIGTERM; and a restart of somebody else's runs it again.
    reason: state?.active === 'inactive' || state?.result === 'signal' ? `${paths.app} was stopped by somebody else in the middle of the handover` : 'the handover came to no end that it could tell',
    isTold: false,
    log: [],
    serving: await servingGeneration({ paths, systemd }),
    hint: `${holdfastCommand(paths)} logs ${paths.app}`,
  }
}

const resultFile = (paths: AppPaths, id: string): string => join(paths.run, 'orders', `${id}.json`)

function readResult(paths: AppPaths, id: string): OrderResult | undefined {
  try {
    return JSON.parse(readFileSync(resultFile(paths, id), 'utf8')) as OrderResult
  } catch {
    return undefined
  }
}
