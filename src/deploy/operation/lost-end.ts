import { readHistory, type HistoryEntry } from '../../release/history.js'
import { holdfastCommand } from '../../release/command-words.js'
import type { AppPaths } from '../../release/paths.js'
import { tryReadLive } from '../../release/state.js'
import type { Systemd } from '../../systemd/systemd.js'
import { readDeployRecord } from './deploy-record.js'
import type { OperationRequest } from './deploy-request.js'
import { servingWords } from './operation.js'
import { stepNames, type DeployEvent, type StepName } from './progress.js'

type End = DeployEvent & { type: 'end' }

/** What a client knows of an operation whose unit is gone without its last event. */
export interface Seen {
  request: Pick<OperationRequest, 'id' | 'kind' | 'by' | 'again'>
  /** The step that it was told of last. */
  step: StepName | undefined
  /** The last lines of output in it. */
  output: string[]
  /** When the unit was about to be started, in milliseconds. */
  begunAt: number
}

/**
 * What became of an operation whose unit is gone without its last event: with /run full, events are lost, and the record
 * tells. Killed it was only where its own record of what it does is still there.
 */
export async function findEnd(app: { paths: AppPaths; systemd: Systemd }, seen: Seen): Promise<End> {
  const { request, begunAt } = seen
  const at = new Date().toISOString()
  const durationMs = Date.now() - begunAt
  const record = readDeployRecord(app.paths)
  const left = record?.id === request.id ? record : undefined
  const live = liveSince(app.paths, begunAt)
  const failed = (step: StepName, message: string, hint: string): End => ({
    type: 'end', outcome: 'failed', status: 1, at, durationMs, failure: { step, message, log: seen.output, hint },
  })

  const isPastHandover = left?.step === 'prune'
  if (left !== undefined && !(isPastHandover && live?.release === left.release)) {
    const step = seen.step ?? left.step
    const goesOn = step === 'handover' ? 'The handover that it ordered goes on without it. ' : ''
    return failed(step, `the ${request.kind} was killed at step ${step}. ${goesOn}${await servingWords(app)}`, `${request.again}   # finishes or undoes what it left`)
  }
  const entry = left === undefined ? findEntry(readHistory(app.paths), request, begunAt) : undefined
  switch (entry?.outcome) {
    case 'migrated':
      return { type: 'end', outcome: 'migrated', status: 0, at, durationMs }
    case 'failed':
    case 'rolled-back':
    case 'interrupted':
      return failed(stepOf(entry, seen), `${entry.reason ?? 'no reason is recorded'}. ${await servingWords(app)}`, `mend it, then: ${request.again}`)
    case 'live':
    case 'held':
    case 'aborted':
      return { type: 'end', outcome: entry.outcome, status: 0, at, durationMs, generation: entry.generation, ...(entry.release === undefined ? {} : { release: entry.release }) }
    case undefined:
  }
  if (live !== undefined) return { type: 'end', outcome: 'live', status: 0, at, durationMs, generation: live.generation, release: live.release }
  return failed(stepOf(undefined, seen), `the ${request.kind} ended, and what it told of that was lost. ${await servingWords(app)}`, `df -h /run ${app.paths.state}; ${holdfastCommand(app.paths)} logs ${app.paths.app}`)
}

/** What has gone live since then. */
function liveSince(paths: AppPaths, begunAt: number): { generation: number; release: string } | undefined {
  const live = tryReadLive(paths)
  return live !== undefined && Date.parse(live.since) >= begunAt ? live : undefined
}

/**
 * The last line of the history that is of this operation. It has begun since the unit was started; what it found of an
 * earlier one, and wrote down as interrupted, has lasted no time.
 */
export function findEntry(history: readonly HistoryEntry[], { kind, by }: Pick<OperationRequest, 'kind' | 'by'>, begunAt: number): HistoryEntry | undefined {
  return history.findLast((entry) => entry.kind === kind && entry.by === by && entry.durationMs > 0 && Date.parse(entry.at) - entry.durationMs >= begunAt)
}

const stepOf = (entry: HistoryEntry | undefined, { step }: Seen): StepName => stepNames.find((name) => name === entry?.step) ?? step ?? 'fetch'
