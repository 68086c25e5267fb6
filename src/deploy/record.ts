import { appendHistory, type HistoryEntry } from '../release/history.js'
import type { AppPaths } from '../release/paths.js'
import { readState, type State } from '../release/state.js'
import type { Release } from '../release/release.js'
import { readRelease, removeUnfinished, writeRelease } from '../release/store.js'
import { keepBooks } from './book-keeping.js'
import type { Handover } from './plan.js'
import type { HandoverRequest } from './request.js'
import { tidy } from './tidy.js'
import { restoreWanted } from './wanted.js'

type Result = { durationMs: number } & (
  | { outcome: 'live' | 'held'; reason?: never }
  /** `isStillHeld`: it was not fit to go live now, and may be later. */
  | { outcome: 'failed' | 'rolled-back'; reason: string; figures?: object }
)

/** The book-keeping after the fact, whose own failure changes nothing of what is live. */
export async function keepRecord(handover: Handover, { isStillHeld = false, ...result }: Result & { isStillHeld?: boolean }): Promise<void> {
  const { app, request, state, choice, plan } = handover
  await keepBooks(app, 'The handover is done', async () => {
    if (!isStillHeld && result.outcome !== 'held') markRelease(handover, result)
    appendHistory(app.paths, {
      at: new Date().toISOString(),
      ...originOf(request),
      generation: plan.generation,
      release: choice.release.id,
      ...previousOf(request, state),
      ...result,
      ...(result.reason === undefined ? {} : stepOf(request)),
      durationMs: Math.round(totalMs(request, result.durationMs)),
    })
    await tidy(app)
    // Here alone: no other handover can be copying a folder now.
    removeUnfinished(app.paths)
  })
}

/** A release that was good once stays good: that it failed today may be its database's fault. */
function markRelease({ app, choice }: Handover, result: Result): void {
  // As it is now: a hook after a drain may have left its mark meanwhile.
  const release = readRelease(app.paths, choice.release.id)
  const { failure: _, ...rest } = release
  const marked: Release = result.reason === undefined ? { ...rest, outcome: 'good' } : { ...rest, outcome: 'failed', failure: result.reason }
  if (result.outcome === 'live' || release.outcome !== 'good') writeRelease(app.paths, marked)
}

/** A handover that was refused before it had a generation: what is live is wanted again. The cause may keep this from being written, too. */
export function recordRefusal(paths: AppPaths, request: HandoverRequest, reason: string, durationMs: number): void {
  try {
    const { generation, live } = restoreWanted(paths, readState(paths))
    const from = live === undefined ? {} : { from: live.release }
    appendHistory(paths, {
      at: new Date().toISOString(), ...originOf(request), generation: generation + 1,
      ...(request.from === 'order' ? { release: request.order.release } : {}), ...from,
      outcome: 'failed', reason, ...stepOf(request), durationMs: Math.round(totalMs(request, durationMs)),
    })
  } catch {
    // The journal has it.
  }
}

function originOf(request: HandoverRequest): Pick<HistoryEntry, 'kind' | 'by'> {
  if (request.from !== 'order') return { kind: request.from === 'folder' ? 'restart' : 'start' }
  const { kind, by } = request.order
  return { kind, ...(by === undefined ? {} : { by }) }
}

/** What was live before. A handover that is run again after its release was recorded finds that release itself. */
function previousOf(request: HandoverRequest, { live }: State): Pick<HistoryEntry, 'from'> {
  const from = request.from === 'order' ? request.order.began : live?.release
  return from === undefined ? {} : { from }
}

/** Of an operation, which has others before it. */
const stepOf = (request: HandoverRequest): Pick<HistoryEntry, 'step'> => (request.from === 'order' ? { step: 'handover' } : {})

/** Of a deploy, with all that came before the handover. */
function totalMs(request: HandoverRequest, durationMs: number): number {
  return request.from === 'order' ? Math.max(durationMs, Date.now() - Date.parse(request.order.since)) : durationMs
}
