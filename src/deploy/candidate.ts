import type { Systemd, UnitState } from '../systemd/systemd.js'
import { describeFailure } from './failure.js'

/** What became of a generation that was started. */
export type Verdict =
  | { kind: 'settled'; readyAfterMs: number }
  | { kind: 'failed'; unit: string; invocation: string; reason: string; wasReady: boolean }

export interface Trial {
  units: string[]
  /** Absent: systemd's own TimeoutStartSec= decides. */
  startTimeoutMs?: number
  /** What TimeoutStartSec= is, for the message. */
  unitTimeoutMs: number
  settleMs: number
  onReady(afterMs: number): void
}

const pollMs = 100

/**
 * Starts the instances of a new generation and watches them until all were ready for `settleMs`, or
 * until one of them failed. An automatic restart is a failure, whatever the instance does next.
 */
export async function tryCandidate(systemd: Systemd, trial: Trial): Promise<Verdict> {
  const { units, startTimeoutMs, settleMs } = trial
  const begin = performance.now()
  const elapsed = (): number => performance.now() - begin
  await systemd.queueStart(units)

  let readyAt: number | undefined
  // Until systemd has the start job in its queue, a unit looks inactive, as one does whose start was cancelled.
  const queued = new Set<string>()
  for (;;) {
    const states = await systemd.show(units)
    for (const state of states) {
      if (state.active !== 'inactive') queued.add(state.unit)
      const reason = await failureOf(systemd, state, { wasQueued: queued.has(state.unit), ready: readyAt !== undefined, trial })
      if (reason !== undefined) {
        return { kind: 'failed', unit: state.unit, invocation: state.invocation, reason, wasReady: readyAt !== undefined }
      }
    }
    if (readyAt === undefined && states.every((state) => state.active === 'active')) {
      readyAt = elapsed()
      trial.onReady(readyAt)
    }
    if (readyAt !== undefined && elapsed() - readyAt >= settleMs) return { kind: 'settled', readyAfterMs: readyAt }
    if (readyAt === undefined && startTimeoutMs !== undefined && elapsed() > startTimeoutMs) {
      const slow = states.find((state) => state.active !== 'active') as UnitState
      return {
        kind: 'failed', unit: slow.unit, invocation: slow.invocation, wasReady: false,
        reason: describeFailure({ ...slow, result: 'timeout' }, { ready: false, timeoutMs: startTimeoutMs }),
      }
    }
    await new Promise((resolve) => setTimeout(resolve, pollMs))
  }
}

async function failureOf(
  systemd: Systemd,
  state: UnitState,
  { wasQueued, ready, trial }: { wasQueued: boolean; ready: boolean; trial: Trial },
): Promise<string | undefined> {
  const context = { ready, timeoutMs: trial.unitTimeoutMs }
  if (state.restarts > 0 || state.sub.startsWith('auto-restart') || state.active === 'failed' || state.active === 'deactivating') {
    return describeFailure(state, context)
  }
  if (state.active !== 'inactive') return undefined
  if (wasQueued || ready) return 'was stopped by somebody else'
  if (state.load !== 'loaded') return `cannot be started: its unit is ${state.load}`
  return (await systemd.job(state.unit)) === undefined ? recheck(systemd, state.unit) : undefined
}

/** Between the two questions, the state may have changed: a unit without a job has either started or never will. */
async function recheck(systemd: Systemd, unit: string): Promise<string | undefined> {
  const [state] = await systemd.show([unit])
  return state?.active === 'inactive' ? 'was not started: its systemd job was cancelled, or what it needs failed' : undefined
}
