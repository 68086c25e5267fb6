import type { AppPaths } from '../release/paths.js'
import type { Systemd } from '../systemd/systemd.js'
import { deployService } from '../units/names.js'
import { operationWords } from './progress.js'
import { readDeployRecord, type DeployRecord } from './deploy-record.js'

export interface ObservedDeploy {
  /** Undefined for the moment before it has written what it does, and where that cannot be read. */
  record: Pick<DeployRecord, 'id' | 'kind' | 'by' | 'what' | 'since' | 'step' | 'release'> | undefined
  /** False: it was killed, or the machine went down; the next deploy or apply ends or undoes it. */
  isRunning: boolean
}

/** The deploy that is under way, or one that was cut off. */
export async function observeDeploy(paths: AppPaths, systemd: Systemd): Promise<ObservedDeploy | undefined> {
  const before = readDeployRecord(paths)
  const [unit] = await systemd.show([deployService(paths.app)])
  // It writes its record after its start and removes it before its end: one that stays without the unit was left.
  const record = readDeployRecord(paths)
  if (unit !== undefined && unit.active !== 'inactive' && unit.active !== 'failed') return { record, isRunning: true }
  return record === undefined ? undefined : { record, isRunning: record.id !== before?.id }
}

/** Such as `ann@laptop deploys shop-1.2.zip since 2026-11-21T02:41:02.000Z, step migrate`. */
export const deployWords = ({ record }: ObservedDeploy): string =>
  record === undefined ? 'somebody deploys' : `${record.by} ${operationWords(record.kind ?? 'deploy', record.what)} since ${record.since}, step ${record.step}`
