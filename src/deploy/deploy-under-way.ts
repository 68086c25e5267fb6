import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AppPaths } from '../release/paths.js'
import type { Systemd } from '../systemd/systemd.js'
import { deployService } from '../units/names.js'

/** What `deploy.json` tells of a deploy to those who look on. */
export interface DeployNote {
  id: string
  /** Who, such as `ann@laptop`. */
  by: string
  /** The source in a few words. */
  what: string
  /** ISO 8601, UTC. */
  since: string
  /** The step that it is in. */
  step?: string
}

export interface ObservedDeploy {
  /** Undefined for the moment before it has written what it does, and where that cannot be read. */
  note: DeployNote | undefined
  /** False: it was killed, or the machine went down; the next deploy or apply ends or undoes it. */
  isRunning: boolean
}

/** The deploy that is under way, or one that was cut off. */
export async function observeDeploy(paths: AppPaths, systemd: Systemd): Promise<ObservedDeploy | undefined> {
  const before = readNote(paths)
  const [unit] = await systemd.show([deployService(paths.app)])
  // It writes its note after its start and removes it before its end: one that stays without the unit was left.
  const note = readNote(paths)
  if (unit !== undefined && unit.active !== 'inactive' && unit.active !== 'failed') return { note, isRunning: true }
  if (note === undefined) return undefined
  return { note, isRunning: note.id !== before?.id }
}

/** Such as `ann@laptop deploys shop-1.2.zip since 2026-11-21 02:41:02, step migrate`. */
export function deployWords({ note }: ObservedDeploy, time: (iso: string) => string): string {
  if (note === undefined) return 'a deploy runs'
  return `${note.by} deploys ${note.what} since ${time(note.since)}${note.step === undefined ? '' : `, step ${note.step}`}`
}

function readNote(paths: AppPaths): DeployNote | undefined {
  try {
    const note = JSON.parse(readFileSync(join(paths.state, 'deploy.json'), 'utf8')) as Partial<DeployNote> | null
    if (typeof note?.id !== 'string') return undefined
    const { id, by, what, since, step } = note
    return { id, by: by ?? 'somebody', what: what ?? 'a release', since: since ?? new Date(0).toISOString(), ...(typeof step === 'string' ? { step } : {}) }
  } catch {
    return undefined
  }
}
