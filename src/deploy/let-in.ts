import { setTimeout as delay } from 'node:timers/promises'
import { letIn } from '../release/standby.js'
import type { InstanceNumber } from '../release/stop-reason.js'
import type { InstalledApp } from './app.js'
import type { Refusal } from './candidate.js'
import { readReport } from './reports.js'

/** One process of a generation, by its unit. */
export interface Member extends InstanceNumber {
  unit: string
}

/** How long an instance may take to accept once it is let in, in milliseconds: its event loop may be busy. */
const acceptMs = 20_000

/** Lets instances accept on the public listeners. Settles when each says that it does. */
export async function letMembersIn({ paths }: Pick<InstalledApp, 'paths'>, members: readonly Member[], signal: AbortSignal): Promise<Refusal | undefined> {
  letIn(paths, members)
  const refusals = await Promise.all(members.map(async (member): Promise<Refusal | undefined> => {
    for (const deadline = Date.now() + acceptMs; ; await delay(25, undefined, { signal })) {
      const report = await readReport(paths, member, { signal })
      if (report?.accepting === true) return undefined
      if (Date.now() < deadline) continue
      const answer = report === undefined ? 'did not answer on its report socket' : 'did not accept connections'
      return { unit: member.unit, reason: `was let in, and ${answer} within ${acceptMs / 1000} s` }
    }
  }))
  return refusals.find((refusal) => refusal !== undefined)
}
