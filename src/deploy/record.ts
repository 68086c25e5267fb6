import { explainSystemError, HoldfastError } from '../errors.js'
import { appendHistory } from '../release/history.js'
import type { AppPaths } from '../release/paths.js'
import { readState } from '../release/state.js'
import type { Release } from '../release/release.js'
import { writeRelease } from '../release/store.js'
import type { Handover } from './plan.js'
import { tidy } from './tidy.js'

type Result = { durationMs: number } & ({ outcome: 'live'; reason?: never } | { outcome: 'failed'; reason: string })

/** The book-keeping after the fact, whose own failure changes nothing of what is live. */
export async function keepRecord(handover: Handover, result: Result): Promise<void> {
  const { app, state, choice, plan } = handover
  try {
    markRelease(handover, result)
    appendHistory(app.paths, {
      at: new Date().toISOString(),
      generation: plan.generation,
      release: choice.release.id,
      ...(state.live === undefined ? {} : { from: state.live.release }),
      ...result,
      durationMs: Math.round(result.durationMs),
    })
    await tidy(app)
  } catch (thrown) {
    const error = explainSystemError(thrown)
    if (!(error instanceof HoldfastError)) throw error
    app.story.tell('record-incomplete', `The handover is done, but not all of it could be written down: ${error.message}`)
  }
}

/** A release that was good once stays good: that it failed today may be its database's fault. */
function markRelease({ app, choice: { release } }: Handover, result: Result): void {
  const { failure: _, ...rest } = release
  const marked: Release = result.outcome === 'live' ? { ...rest, outcome: 'good' } : { ...rest, outcome: 'failed', failure: result.reason }
  if (result.outcome === 'live' || release.outcome !== 'good') writeRelease(app.paths, marked)
}

/** A handover that was refused before it had a generation. The cause may keep this from being written, too. */
export function recordRefusal(paths: AppPaths, reason: string, durationMs: number): void {
  try {
    const { generation, live } = readState(paths)
    const from = live === undefined ? {} : { from: live.release }
    appendHistory(paths, { at: new Date().toISOString(), generation: generation + 1, ...from, outcome: 'failed', reason, durationMs: Math.round(durationMs) })
  } catch {
    // The journal has it.
  }
}
