import { setTimeout as delay } from 'node:timers/promises'
import { letIn } from '../release/standby.js'
import type { Report } from '../runtime/report.js'
import type { InstalledApp } from './app.js'
import type { Refusal } from './candidate.js'
import { readReport } from './checks/reports.js'
import type { Member } from './plan.js'

/** What an instance that has the runtime is waited for. `silent`: it tells nothing of itself, as one with an older runtime. */
export type Answer = { kind: 'as-expected' } | ({ kind: 'silent' | 'otherwise' } & Refusal)

/** How long an instance may take to tell of itself, and to accept once it is let in, in milliseconds: its event loop may be busy. */
const answerMs = 20_000

interface Asking {
  signal: AbortSignal
  /** Default 20 s. */
  withinMs?: number
  /** For one that has told nothing so far. Default: as long. */
  silentMs?: number
}

type Paths = Pick<InstalledApp, 'paths'>

/** Lets instances accept on the public listeners. Settles when each says that it does. */
export async function letMembersIn(app: Paths, members: readonly Member[], asking: Asking): Promise<Answer> {
  letIn(app.paths, members)
  return askAll(app, members, { isDone: ({ accepting }) => accepting, isOver: () => false, otherwise: 'was let in, and did not accept connections', ...asking })
}

/** Whether instances that are ready are really held back: only their own runtime does that, which comes with the release. */
export async function seeHeldBack(app: Paths, members: readonly Member[], asking: Asking): Promise<Answer> {
  return askAll(app, members, { isDone: ({ accepting }) => !accepting, isOver: () => true, otherwise: 'accepts connections, although it is to be held back', ...asking })
}

interface Question extends Asking {
  isDone(report: Report): boolean
  /** Whether a report of another kind is final. */
  isOver(report: Report): boolean
  otherwise: string
}

async function askAll(app: Paths, members: readonly Member[], question: Question): Promise<Answer> {
  const answers = await Promise.all(members.map((member) => askOne(app, member, question)))
  return answers.find(({ kind }) => kind === 'otherwise') ?? answers.find(({ kind }) => kind === 'silent') ?? { kind: 'as-expected' }
}

async function askOne({ paths }: Paths, member: Member, { isDone, isOver, otherwise, signal, withinMs = answerMs, silentMs = withinMs }: Question): Promise<Answer> {
  const { unit } = member
  const begin = Date.now()
  for (let hasTold = false; ; await delay(25, undefined, { signal })) {
    const report = await readReport(paths, member, { signal })
    if (report !== undefined && isDone(report)) return { kind: 'as-expected' }
    if (report !== undefined && isOver(report)) return { kind: 'otherwise', unit, reason: otherwise }
    hasTold ||= report !== undefined
    if (Date.now() - begin < (hasTold ? withinMs : silentMs)) continue
    if (hasTold) return { kind: 'otherwise', unit, reason: `${otherwise} within ${withinMs / 1000} s` }
    return { kind: 'silent', unit, reason: `told nothing of itself within ${silentMs / 1000} s, as with an older version of holdfast in its node_modules: update it there, or write [start] standby = false` }
  }
}
