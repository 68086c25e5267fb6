import type { AppPaths } from '../../release/paths.js'
import type { Systemd } from '../../systemd/systemd.js'
import { deployService } from '../../units/names.js'
import { readDeployRecord, type DeployRecord } from './deploy-record.js'
import { plainText } from '../foreign-text.js'
import { operationWords } from './progress.js'
import { spanWords } from '../span-words.js'

export interface ObservedDeploy {
  /** Undefined for the moment before it has written what it does, and where that cannot be read. */
  record: Pick<DeployRecord, 'id' | 'kind' | 'by' | 'what' | 'since' | 'step' | 'release'> | undefined
  /** False: it was killed, or the machine went down; the next deploy or apply ends or undoes it. */
  isRunning: boolean
}

/** Whether a deploy, a rollback or an apply runs now: its unit's name is the lock. */
export async function isDeploying(paths: AppPaths, systemd: Systemd): Promise<boolean> {
  const [unit] = await systemd.show([deployService(paths.app)])
  return unit !== undefined && unit.active !== 'inactive' && unit.active !== 'failed'
}

/** The deploy that is under way, or one that was cut off. */
export async function observeDeploy(paths: AppPaths, systemd: Systemd): Promise<ObservedDeploy | undefined> {
  const before = readDeployRecord(paths)
  const isRunning = await isDeploying(paths, systemd)
  // It writes its record after its start and removes it before its end: one that stays without the unit was left.
  const record = readDeployRecord(paths)
  if (isRunning) return { record, isRunning }
  return record === undefined ? undefined : { record, isRunning: record.id !== before?.id }
}

/** Such as `anna@laptop deploys shop-1.2.zip to shop since 10:31 (2 min), now at step install`. */
export function deployWords(app: string, record: ObservedDeploy['record']): string {
  if (record === undefined) return `somebody deploys ${app}`
  const { kind = 'deploy', by, what, since, step } = record
  const time = new Date(since).toTimeString().slice(0, 5)
  return `${plainText(by)} ${operationWords(kind, plainText(what), app)} since ${time} (${spanWords(Date.now() - Date.parse(since))}), now at step ${step}`
}
