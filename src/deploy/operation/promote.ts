import { HoldfastError } from '../../errors.js'
import { holdfastCommand } from '../../release/command-words.js'
import type { AppPaths } from '../../release/paths.js'
import type { Held, State } from '../../release/state.js'
import { readRelease } from '../../release/store.js'
import { bringLive, prune } from './bring-live.js'
import type { AbortRequest, PromoteRequest } from './deploy-request.js'
import { discardHeld } from '../held.js'
import type { Operation, Outcome } from './operation.js'
import { stepsOf } from './progress.js'

/** The steps of a promotion: what is held goes live. Runs no hooks but, in the end, the one after the drain. */
export async function promoteHeld(work: Operation<PromoteRequest>, began: State): Promise<Outcome> {
  const { app, request } = work
  const held = requireGeneration(app.paths, began, request.generation)
  return bringLive(work, began, readRelease(app.paths, held.release), { afterDrain: held.afterDrain, promote: held.generation })
}

/** Discards what is held. What is live is not touched. */
export async function abortHeld(work: Operation<AbortRequest>, began: State): Promise<Outcome> {
  const { app, request, log } = work
  if (request.isExpiry === true && began.held?.generation !== request.generation) {
    for (const step of stepsOf.abort) log.skip(step, 'it is no longer held')
    return { outcome: 'unchanged' }
  }
  const held = requireGeneration(app.paths, began, request.generation)
  log.nameRelease(held.release)
  await log.run('discard', async (telling) => {
    await discardHeld(app, held, { reason: request.reason, by: request.by })
    telling.result(`generation ${held.generation}`)
  })
  await prune(work)
  return { outcome: 'aborted', release: held.release, generation: held.generation }
}

/** @throws HoldfastError `usage` where nothing is held */
export function requireSomethingHeld(paths: AppPaths, { held }: Pick<State, 'held'>): Held {
  if (held !== undefined) return held
  throw new HoldfastError('usage', `no release of ${paths.app} is held`, { hint: `${holdfastCommand(paths)} deploy ${paths.app} --hold   # brings one up, and stops before the switch` })
}

function requireGeneration(paths: AppPaths, state: State, generation: number): Held {
  const held = requireSomethingHeld(paths, state)
  if (held.generation === generation) return held
  throw new HoldfastError('state-changed', `generation ${generation} is no longer held: generation ${held.generation} is by now`, { hint: `${holdfastCommand(paths)} status ${paths.app}` })
}
