import type { Release } from '../release/release.js'
import { previousGood, type ReleaseFacts } from './operation/previous-release.js'

export interface PrunePlan {
  /** Oldest first. */
  remove: Release[]
  /** Newest first; `why` in a few words. */
  keep: { release: Release; why: string }[]
}

/**
 * Which releases go: all but the newest `keep` and those that are needed. The same for the pruning after a handover and for
 * `holdfast prune`. Pure.
 * @param inUse ids, and why each must stay
 */
export function planPrune(facts: ReleaseFacts, inUse: ReadonlyMap<string, string>, keep: number): PrunePlan {
  const newestFirst = [...facts.releases].sort((a, b) => (a.createdAt < b.createdAt ? 1 : -1))
  const needed = new Map(inUse)
  const need = (release: Release | undefined, why: string): void => {
    if (release !== undefined && !needed.has(release.id)) needed.set(release.id, why)
  }
  need(previousGood(facts), 'rollback goes here')
  // What comes up where the state is lost.
  need(newestFirst.find(({ outcome }) => outcome === 'good'), 'the newest good one')

  const plan: PrunePlan = { remove: [], keep: [] }
  let spare = 0
  for (const release of newestFirst) {
    const why = needed.get(release.id)
    if (why !== undefined) plan.keep.push({ release, why })
    else if (spare++ < keep) plan.keep.push({ release, why: `one of the newest ${keep}` })
    else plan.remove.unshift(release)
  }
  return plan
}
