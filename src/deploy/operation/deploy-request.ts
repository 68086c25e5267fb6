import { randomBytes } from 'node:crypto'
import { chmodSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { HoldfastError } from '../../errors.js'
import { writeDurably } from '../../release/durable-file.js'
import type { AppPaths } from '../../release/paths.js'
import type { SourceSpec } from '../../release/source-spec.js'
import { removeRelease } from '../../release/store.js'
import { isAlive, type ProcessIdentity } from './deploy-owner.js'

/** Switches of one deploy. */
export interface DeploySwitches {
  /** Default true: `hooks.install` runs. */
  install: boolean
  /** Default true: `hooks.migrate` runs. */
  migrate: boolean
  /** Ends after `hooks.migrate`: nothing is recorded, nothing goes live. Default false. */
  migrateOnly: boolean
}

/** What a client asks the deploy's unit to do: `request.json` of the staging folder, for root's eyes, as an address may hold a password. */
export type OperationRequest = DeployRequest | RollbackRequest | ApplyRequest | PromoteRequest | AbortRequest

interface AnyRequest {
  id: string
  app: string
  /** Who, such as `anna@192.0.2.7`. */
  by: string
  /** What in a few words, without credentials: a source, a release. */
  what: string
  /** Variables of the client that fetching needs, such as a proxy's. */
  env: Record<string, string>
  /** The command that asks for the same again. */
  again: string
  /** Its handover is begun whatever `[admission]` says. Default false. */
  skipAdmission?: boolean
  /** The client, which fills the folder until the unit takes over. */
  owner: ProcessIdentity
}

export interface DeployRequest extends AnyRequest {
  kind: 'deploy'
  source: SourceSpec
  overlay?: SourceSpec
  switches: DeploySwitches
  /** It ends as a held generation. */
  hold?: { expiresMs?: number }
  /** So many of its processes first: see `HandoverOrder`. */
  canary?: { processes: number; auto: boolean; expiresMs?: number }
}

export interface RollbackRequest extends AnyRequest {
  kind: 'rollback'
  /** As it was named: an id, the begin of one, a version. Absent: the last good one before what is live once it begins. */
  release?: string
  /** Past releases whose `hooks.after_drain` has run. */
  force: boolean
}

export interface ApplyRequest extends AnyRequest {
  kind: 'apply'
}

export interface PromoteRequest extends AnyRequest {
  kind: 'promote'
  /** What was held when somebody asked. */
  generation: number
}

export interface AbortRequest extends AnyRequest {
  kind: 'abort'
  generation: number
  /** As the end of a sentence. */
  reason: string
  /** That its time is over: where somebody was sooner, nobody has to hear of it. Default false. */
  isExpiry?: boolean
}

const idPattern = /^\d{8}-\d{6}-[0-9a-f]{6}$/

/** Sorts by time: `20261121-014455-3fa9c1`. */
export const newDeployId = (now = new Date()): string =>
  `${now.toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-')}-${randomBytes(3).toString('hex')}`

/** The staging folder of a deploy: everything of it until its release is sealed. */
export const stagingFolder = (paths: AppPaths, id: string): string => join(paths.state, 'staging', id)

/** Makes the staging folder with the request in it, in one instant: a folder without one would be taken for a leftover. */
export function makeStaging(paths: AppPaths, request: OperationRequest): void {
  const folder = stagingFolder(paths, request.id)
  const unfinished = `${folder}.${process.pid}.new`
  // The app's user must pass through, on the way to the code that its hooks run in.
  for (const path of [join(paths.state, 'staging'), unfinished]) {
    makeFolder(path)
    chmodSync(path, 0o711)
  }
  writeDurably(join(unfinished, 'request.json'), JSON.stringify(request), 0o600)
  renameSync(unfinished, folder)
}

/** Not `recursive`, which says of a read-only filesystem that there is no such folder. */
function makeFolder(path: string): void {
  try {
    mkdirSync(path, { mode: 0o711 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}

/** @throws HoldfastError `deploy-failed` when it is gone or cannot be read */
export function readRequest(paths: AppPaths, id: string): OperationRequest {
  const file = join(stagingFolder(paths, id), 'request.json')
  const request = idPattern.test(id) ? tryReadRequest(file) : undefined
  if (request === undefined) throw new HoldfastError('deploy-failed', `${file} cannot be read`, { hint: `holdfast deploy ${paths.app}   # asks anew` })
  return request
}

export const removeStaging = (paths: AppPaths, id: string): void => removeRelease(stagingFolder(paths, id))

/** Staging folders that nobody fills or works in any more, by their names. `own` is the one of the deploy that asks. */
export function listAbandoned(paths: AppPaths, own?: string): string[] {
  let names: string[]
  try {
    names = readdirSync(join(paths.state, 'staging'))
  } catch {
    return []
  }
  return names.filter((name) => {
    if (name === own) return false
    const [, maker] = /\.(\d+)\.new$/.exec(name) ?? []
    // Between two system calls of its maker.
    if (maker !== undefined) return !isRunning(Number(maker))
    const request = tryReadRequest(join(stagingFolder(paths, name), 'request.json'))
    return request === undefined || !isAlive(request.owner)
  })
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function tryReadRequest(file: string): OperationRequest | undefined {
  try {
    const request = JSON.parse(readFileSync(file, 'utf8')) as OperationRequest | null
    return typeof request?.id === 'string' && typeof request.owner?.pid === 'number' ? request : undefined
  } catch {
    return undefined
  }
}
