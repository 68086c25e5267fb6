import { setTimeout as delay } from 'node:timers/promises'
import type { AppPaths } from '../release/paths.js'
import { letIn } from '../release/standby.js'
import type { InstanceNumber } from '../release/stop-reason.js'
import type { Report } from '../runtime/report.js'
import type { InstalledApp } from './app.js'
import type { Refusal } from './candidate.js'
import { readReport } from './reports.js'

/** One process of a generation, by its unit. */
export interface Member extends InstanceNumber {
  unit: string
}

/** How long an instance may take to accept once it is let in, in milliseconds: its event loop may be busy. */
const acceptMs = 20_000

/**
 * Whether instances that were to be held back are: a runtime that is older than its units, or that cannot see its hold file, accepts as
 * soon as it listens. Settles when each has told of itself.
 */
export function checkHeldBack({ paths }: Pick<InstalledApp, 'paths'>, members: readonly Member[], signal: AbortSignal): Promise<Refusal | undefined> {
  return askEach(paths, members, signal, (report) => {
    if (report === undefined) return { wait: `told nothing of itself on its report socket within ${acceptMs / 1000} s` }
    return report.accepting ? { refuse: 'accepts connections, though it was to be held back: its copy of holdfast may be older than the one that is installed' } : 'good'
  })
}

/** Lets instances accept on the public listeners. Settles when each says that it does. */
export async function letMembersIn({ paths }: Pick<InstalledApp, 'paths'>, members: readonly Member[], signal: AbortSignal): Promise<Refusal | undefined> {
  letIn(paths, members)
  return askEach(paths, members, signal, (report) => {
    if (report?.accepting === true) return 'good'
    const answer = report === undefined ? 'did not answer on its report socket' : 'did not accept connections'
    return { wait: `was let in, and ${answer} within ${acceptMs / 1000} s` }
  })
}

/** Asks each instance until what it tells is good; `wait` is the reason when it never is. */
async function askEach(
  paths: AppPaths, members: readonly Member[], signal: AbortSignal, judge: (report: Report | undefined) => 'good' | { wait: string } | { refuse: string },
): Promise<Refusal | undefined> {
  const refusals = await Promise.all(members.map(async ({ unit, ...member }): Promise<Refusal | undefined> => {
    for (const deadline = Date.now() + acceptMs; ; await delay(25, undefined, { signal })) {
      const verdict = judge(await readReport(paths, member, { signal }))
      if (verdict === 'good') return undefined
      if ('refuse' in verdict) return { unit, reason: verdict.refuse }
      if (Date.now() >= deadline) return { unit, reason: verdict.wait }
    }
  }))
  return refusals.find((refusal) => refusal !== undefined)
}
