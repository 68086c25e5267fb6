import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { appendHistory } from '../../release/history.js'
import { readState, type State } from '../../release/state.js'
import { appService } from '../../units/names.js'
import type { InstalledApp } from '../app.js'
import { readDeployRecord, removeDeployRecord, type DeployRecord } from './deploy-record.js'
import { listAbandoned, removeStaging } from './deploy-request.js'
import { runsAfterDrain } from '../after-drain.js'
import { endHook } from './hooks.js'
import { openRecord } from '../open-record.js'
import { operationNouns } from './progress.js'
import { clearOrder, readOrder } from '../request.js'
import { restoreWanted } from '../wanted.js'

/** What became of a deploy whose unit is gone without an end. */
export type Verdict =
  /** Its release is live, or held as was asked for: only its last words are missing. */
  | { kind: 'finished'; as: 'live' | 'held' }
  /** What it recorded as wanted never went live. */
  | { kind: 'undone'; restoreWanted: boolean }

/** Pure. */
export function judgeInterrupted(record: DeployRecord, state: State): Verdict {
  if (record.release === undefined) return { kind: 'undone', restoreWanted: false }
  if (state.held?.id === record.id) return { kind: 'finished', as: 'held' }
  // Live again later by a rollback counts as well: it went live once.
  if (state.live?.release === record.release) return { kind: 'finished', as: 'live' }
  return { kind: 'undone', restoreWanted: state.wanted === record.release }
}

/**
 * Finishes or undoes what a killed deploy has left. For the holder of the lock, before anything else. `own` is the id of
 * the deploy that asks; its staging folder stays, and so does every one that a client still fills.
 * @param tell gets one sentence for each thing that was found
 */
export async function recoverDeploy(app: InstalledApp, own: string | undefined, signal: AbortSignal, tell: (text: string) => void): Promise<void> {
  const { paths, story } = app
  // The hook after a drain is of a release that is live, and goes on.
  if (!(await runsAfterDrain(app))) await endHook(app)
  const record = readDeployRecord(paths)
  if (record !== undefined && record.id !== own) {
    if (record.step === 'handover') await waitForHandover(app, record, signal, tell)
    if (readOrder(paths)?.id === record.id) clearOrder(paths)
    const state = await openRecord(app)
    const verdict = judgeInterrupted(record, state)
    if (verdict.kind === 'undone') {
      if (verdict.restoreWanted) restoreWanted(paths, state)
      forgetUnsealed(app, record)
      appendHistory(paths, {
        at: new Date().toISOString(), kind: record.kind ?? 'deploy', by: record.by, step: record.step, generation: state.generation + 1,
        ...(record.release === undefined ? {} : { release: record.release }),
        ...(record.began === undefined ? {} : { from: record.began }),
        outcome: 'interrupted', reason: `was killed, or the machine went down, at step ${record.step}`,
        durationMs: 0,
      })
    }
    const sentence = `${operationNouns[record.kind ?? 'deploy']} ${record.what} that ${record.by} began at ${record.since} was cut off at step ${record.step}: ${
      verdict.kind === 'finished' ? `its release ${record.release} is ${verdict.as}.` : 'it changed nothing of what is live, and what it left is removed.'}`
    story.tell('deploy-interrupted', sentence, record.release === undefined ? {} : { release: record.release })
    tell(sentence)
    removeDeployRecord(paths, record.id)
  }
  for (const name of listAbandoned(paths, own)) removeStaging(paths, name)
}

/** A handover goes on without the deploy that ordered it: whether it goes live decides. */
async function waitForHandover({ paths, systemd }: InstalledApp, { id }: DeployRecord, signal: AbortSignal, tell: (text: string) => void): Promise<void> {
  const unit = appService(paths.app)
  const isUnderWay = async (): Promise<boolean> => readOrder(paths)?.id === id && (await systemd.job(unit)) !== undefined
  if (!(await isUnderWay())) return
  tell('The handover that an interrupted deploy has ordered still goes on: waiting for its end.')
  // However long: a bake may last hours, and each of its steps has an end of its own.
  while (await isUnderWay()) await delay(100, undefined, { signal })
}

/** Metadata is written before its code appears: without the code it stands for nothing. */
function forgetUnsealed({ paths }: InstalledApp, { release }: DeployRecord): void {
  if (release === undefined || readState(paths).wanted === release) return
  if (!existsSync(join(paths.releases, release))) rmSync(join(paths.releases, `${release}.json`), { force: true })
}
