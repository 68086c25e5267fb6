import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { findUnfinished, writeDurably } from '../../release/durable-file.js'
import type { AppPaths } from '../../release/paths.js'
import { stepNames, type OperationKind, type StepName } from './progress.js'

/**
 * The deploy under way: `deploy.json`, readable by all. There without a running unit `<app>-deploy.service`, it is one
 * that was killed, which the next deploy finishes or undoes.
 */
export interface DeployRecord {
  id: string
  /** Absent: a deploy. */
  kind?: OperationKind
  by: string
  /** The source in a few words, without credentials. */
  what: string
  /** ISO 8601, UTC. */
  since: string
  /** The step that it is in. */
  step: StepName
  /** The release that was live when it began; absent where nothing was. */
  began?: string
  /** The release that it makes, once that has a name. */
  release?: string
}

const recordFile = (paths: AppPaths): string => join(paths.state, 'deploy.json')

export function writeDeployRecord(paths: AppPaths, record: DeployRecord): void {
  writeDurably(recordFile(paths), `${JSON.stringify(record, null, 2)}\n`)
}

/** Undefined without one; one that cannot be read is none, as only its words are lost with it. */
export function readDeployRecord(paths: AppPaths): DeployRecord | undefined {
  try {
    const record = JSON.parse(readFileSync(recordFile(paths), 'utf8')) as DeployRecord | null
    if (typeof record?.id !== 'string' || typeof record.since !== 'string' || !stepNames.includes(record.step)) return undefined
    return { ...record, by: record.by ?? 'somebody', what: record.what ?? 'a release' }
  } catch {
    return undefined
  }
}

/** @param id of the deploy that ends: the record of another one stays */
export function removeDeployRecord(paths: AppPaths, id: string): void {
  const record = readDeployRecord(paths)
  if (record !== undefined && record.id !== id) return
  for (const file of [recordFile(paths), ...findUnfinished(recordFile(paths))]) rmSync(file, { force: true })
}
