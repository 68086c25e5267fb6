import { HoldfastError } from '../../errors.js'
import { holdfastCommand } from '../../release/command-words.js'
import { readHistory } from '../../release/history.js'
import type { Release } from '../../release/release.js'
import type { State } from '../../release/state.js'
import { listReleases } from '../../release/store.js'
import { requireAdmissionAhead } from '../checks/admission.js'
import type { InstalledApp } from '../app.js'
import { bringLive } from './bring-live.js'
import { chooseRecorded } from '../choose-release.js'
import type { RollbackRequest } from './deploy-request.js'
import type { Operation, Outcome } from './operation.js'
import { findRelease, passedContracts, previousGood } from './previous-release.js'

/** Where a rollback goes, and what it costs. */
export interface RollbackPlan {
  from: NonNullable<State['live']>
  target: Release
  /** Releases on the way whose `hooks.after_drain` was begun: what the target needs may be gone. */
  passed: Release[]
  /** The release whose `hooks.after_drain` still waits, and is cancelled. */
  cancels: string | undefined
}

/**
 * Plans a rollback to the release that a word means; without one, to the last good one before the live one. Changes nothing.
 * @throws HoldfastError `usage` where there is none, or it may not be
 */
export function planRollback({ paths }: InstalledApp, { live, afterDrain }: State, word: string | undefined, { force }: { force: boolean }): RollbackPlan {
  const { app } = paths
  const holdfast = holdfastCommand(paths)
  if (live === undefined) throw new HoldfastError('usage', `no release of ${app} is live: there is nothing to roll back from`, { hint: `${holdfast} releases ${app}` })
  const facts = { releases: listReleases(paths), history: readHistory(paths), live: live.release }
  const target = word === undefined ? previousGood(facts) : findRelease(facts.releases, word)
  if (target === undefined) {
    throw new HoldfastError('usage', `there is no good release of ${app} before ${live.release}, which is live`, { hint: `${holdfast} releases ${app}   # then: ${holdfast} rollback ${app} RELEASE` })
  }
  if (target.id === live.release) throw new HoldfastError('usage', `release ${target.id} is live already`, { hint: `${holdfast} releases ${app}` })
  if (target.outcome === 'failed') {
    throw new HoldfastError('usage', `release ${target.id} has failed: ${target.failure ?? 'it never became live'}. A rollback goes to one that was good`, { hint: `${holdfast} releases ${app}` })
  }
  if (target.source.kind === 'directory' && !target.source.snapshot) {
    throw new HoldfastError('usage', `release ${target.id} ran in ${target.source.path} itself (snapshot = false): what it was is no longer there, so there is no way back to it`, {
      hint: `bring the old code back into ${target.source.path}, then: systemctl restart ${app}`,
    })
  }
  const passed = passedContracts({ ...facts, target: target.id })
  if (passed.length > 0 && !force) {
    const each = passed.map(({ id, afterDrain }) => `${id} (${afterDrain?.at})`).join(', ')
    throw new HoldfastError('usage', `hooks.after_drain has run since release ${target.id} was live, for ${each}: what ${target.id} needs of the database may be gone`, {
      hint: `${holdfast} rollback ${app} ${target.id} --force   # where you know that it can run with what is there`,
    })
  }
  return { from: live, target, passed, cancels: afterDrain !== undefined && afterDrain.begun === undefined ? afterDrain.release : undefined }
}

/** Whether there is room for the release that a rollback goes to. @throws HoldfastError `not-admitted`; as `chooseRecorded` */
export async function admitRollback(app: InstalledApp, state: State, { target }: Pick<RollbackPlan, 'target'>, asked: Pick<RollbackRequest, 'again' | 'skipAdmission'>): Promise<void> {
  await requireAdmissionAhead(app, { config: chooseRecorded(app, target.id).config, state, asked })
}

/** The steps of a rollback. Runs no hooks. */
export async function rollBack(work: Operation<RollbackRequest>, began: State): Promise<Outcome> {
  const { app, request } = work
  const { target } = planRollback(app, began, request.release, request)
  await admitRollback(app, began, { target }, request)
  return bringLive(work, began, target, { afterDrain: false })
}
