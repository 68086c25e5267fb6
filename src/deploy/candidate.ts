import { setTimeout as delay } from 'node:timers/promises'
import type { Systemd, UnitState } from '../systemd/systemd.js'
import type { BakeFigures } from './checks/bake-figures.js'
import { describeFailure } from './failure.js'

/** What became of a generation that was started. */
export type Verdict = { kind: 'settled'; readyAfterMs: number } | Failed

export interface Failed {
  kind: 'failed'
  unit: string
  invocation: string
  reason: string
  wasReady: boolean
  figures?: BakeFigures
}

/** Why a generation whose instances are all up is not good all the same. */
export interface Refusal {
  unit: string
  reason: string
  figures?: BakeFigures
}

export interface Trial {
  units: string[]
  /** Absent: systemd's own TimeoutStartSec= decides. */
  startTimeoutMs?: number
  /** What TimeoutStartSec= is, for the message. */
  unitTimeoutMs: number
  settleMs: number
  onReady(afterMs: number): void
  /** A closer look at instances that are ready, such as a health check, while they settle. */
  look?(signal: AbortSignal): Promise<Refusal | undefined>
}

/** Between two looks at the units, in milliseconds: until they have settled, and in a watch that may last. */
const pollMs = 100
const watchMs = 250

/**
 * Starts the instances of a new generation and watches them until all were ready for `settleMs` and have stood the closer
 * look, or until one of them failed. An automatic restart is a failure, whatever the instance does next.
 */
export async function tryCandidate(systemd: Systemd, trial: Trial): Promise<Verdict> {
  const begin = performance.now()
  const before = await countRestarts(systemd, trial.units)
  await systemd.queueStart(trial.units)
  const ready = await waitUntilReady(systemd, trial, before, begin)
  if (ready.kind === 'failed') return ready
  trial.onReady(ready.readyAfterMs)
  const readyAt = performance.now()
  const failed = await watchWhile(systemd, trial, async (signal) => {
    const refusal = await trial.look?.(signal)
    if (refusal === undefined) await delay(Math.max(0, trial.settleMs - (performance.now() - readyAt)), undefined, { signal })
    return refusal
  }, { before, everyMs: pollMs, settles: true })
  return failed ?? ready
}

/** Watches instances that are ready while something is done with them: they settle, or are let in. @returns the first thing that went wrong */
export async function watchWhile(
  systemd: Systemd,
  trial: Pick<Trial, 'units' | 'unitTimeoutMs'>,
  work: (signal: AbortSignal) => Promise<Refusal | undefined>,
  { before, everyMs = watchMs, settles = false }: { before?: ReadonlyMap<string, number>; everyMs?: number; settles?: boolean } = {},
): Promise<Failed | undefined> {
  const restarts = before ?? (await countRestarts(systemd, trial.units))
  const stop = new AbortController()
  let done: { refusal: Refusal | undefined } | undefined
  const working = work(stop.signal).then((refusal) => void (done = { refusal }))
  try {
    for (;;) {
      const states = await systemd.show(trial.units)
      for (const state of states) {
        const reason = await failureOf(systemd, state, { wasQueued: true, ready: true, watched: !settles, trial, before: restarts })
        if (reason !== undefined) return { kind: 'failed', unit: state.unit, invocation: state.invocation, reason, wasReady: true }
      }
      if (done !== undefined) {
        const { refusal } = done
        const invocation = states.find(({ unit }) => unit === refusal?.unit)?.invocation ?? ''
        return refusal === undefined ? undefined : { kind: 'failed', unit: refusal.unit, reason: refusal.reason, ...(refusal.figures === undefined ? {} : { figures: refusal.figures }), invocation, wasReady: true }
      }
      // Fails as the work does.
      await Promise.race([working, delay(everyMs, undefined, { signal: stop.signal })])
    }
  } finally {
    stop.abort()
    working.catch(() => {})
  }
}

async function waitUntilReady(systemd: Systemd, trial: Trial, before: ReadonlyMap<string, number>, begin: number): Promise<Verdict> {
  const { units, startTimeoutMs } = trial
  const elapsed = (): number => performance.now() - begin
  // Until systemd has the start job in its queue, a unit looks inactive, as one does whose start was cancelled.
  const queued = new Set<string>()
  for (;;) {
    const states = await systemd.show(units)
    for (const state of states) {
      if (state.active !== 'inactive') queued.add(state.unit)
      const reason = await failureOf(systemd, state, { wasQueued: queued.has(state.unit), ready: false, trial, before })
      if (reason !== undefined) return { kind: 'failed', unit: state.unit, invocation: state.invocation, reason, wasReady: false }
    }
    if (states.every((state) => state.active === 'active')) return { kind: 'settled', readyAfterMs: elapsed() }
    if (startTimeoutMs !== undefined && elapsed() > startTimeoutMs) {
      const slow = states.find((state) => state.active !== 'active') as UnitState
      return {
        kind: 'failed', unit: slow.unit, invocation: slow.invocation, wasReady: false,
        reason: describeFailure({ ...slow, result: 'timeout' }, { ready: false, timeoutMs: startTimeoutMs }),
      }
    }
    await delay(pollMs)
  }
}

/** One that was held back for days may have restarted before: that was then. */
async function countRestarts(systemd: Systemd, units: readonly string[]): Promise<Map<string, number>> {
  return new Map((await systemd.show(units)).map(({ unit, restarts, active }) => [unit, active === 'active' ? restarts : 0]))
}

async function failureOf(
  systemd: Systemd,
  state: UnitState,
  { wasQueued, ready, watched = false, trial, before }: { wasQueued: boolean; ready: boolean; watched?: boolean; trial: Pick<Trial, 'unitTimeoutMs'>; before: ReadonlyMap<string, number> },
): Promise<string | undefined> {
  const context = { ready, watched, timeoutMs: trial.unitTimeoutMs }
  if (state.restarts > (before.get(state.unit) ?? 0) || state.sub.startsWith('auto-restart') || state.active === 'failed' || state.active === 'deactivating') {
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
