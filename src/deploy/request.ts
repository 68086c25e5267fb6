import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { writeDurably } from '../release/durable-file.js'
import type { HandoverKind } from '../release/history.js'
import type { AppPaths } from '../release/paths.js'
import { makeRunFolder } from '../release/run-folder.js'

/**
 * What a start of the app's unit is to bring up: what lies in the source folder, what is recorded, or what a deploy has
 * ordered.
 *
 * A restart takes the folder, a start and a boot do not; but when `ExecStart=` runs, systemd has already turned the
 * restart into a start. So the drain unit, whose `ExecStop=` still sees the restart, leaves a note. It leaves one for
 * an automatic restart (`Restart=on-failure`) too, which is a restart to systemd and none to the admin. The counter
 * tells the two apart: systemd raises `NRestarts` for an automatic one alone.
 */
export type HandoverRequest = { from: 'folder' } | { from: 'record' } | { from: 'order'; order: HandoverOrder }

/** One handover to a release on disk, as a deploy, a rollback or an apply orders it from the app's unit. */
export interface HandoverOrder {
  /** Of the deploy or rollback. */
  id: string
  release: string
  /** The release that was recorded as live when it began: with another one by now, the order is refused. */
  began?: string
  /** For the history. */
  kind: HandoverKind
  by?: string
  /** ISO 8601, UTC: when the deploy began. */
  since: string
  /** Whether `hooks.after_drain` is to run once the older instances have ended. */
  afterDrain: boolean
  /** The release runs and is looked at, and waits for a `promote` or an `abort` in place of going live. */
  hold?: { expiresMs?: number }
  /** So many of its processes are let in beside the live ones; they wait likewise, or with `auto` go on by themselves after their bake. */
  canary?: { processes: number; auto: boolean; expiresMs?: number }
  /** The generation that is held, and is to go live. */
  promote?: number
  /** Whatever `[admission]` says. */
  skipAdmission?: boolean
  /** A file of events, which the handover's sentences are added to. */
  events?: string
}

/** One run of a handover from `ExecStart=`, as the next one finds it. */
interface Attempt {
  /** `NRestarts` of the app's unit at the time. */
  restarts: number
  /** What was asked for, until its handover has ended: one that was killed is to be finished. Then `record`. */
  from: HandoverRequest['from']
}

const noteFile = (paths: AppPaths): string => join(paths.run, 'take-folder')
const orderFile = (paths: AppPaths): string => join(paths.run, 'order.json')
const attemptFile = (paths: AppPaths): string => join(paths.run, 'attempt.json')

export function requestFolder(paths: AppPaths): void {
  makeRunFolder(paths)
  writeDurably(noteFile(paths), '')
}

export const clearFolderRequest = (paths: AppPaths): void => rmSync(noteFile(paths), { force: true })

/**
 * Takes the request of this run of the app's unit. `retries` counts the automatic restarts up to this one; 0 for a run
 * that somebody asked for.
 */
export function takeRequest(paths: AppPaths, restarts: number): { request: HandoverRequest; retries: number } {
  const before = readAttempt(paths)
  const isAutomatic = restarts > 0 && (before === undefined || restarts > before.restarts)
  // An order stays until its handover has ended: who restarts the app in its middle wants what is being deployed.
  const order = readOrder(paths)
  const asked = order !== undefined ? 'order' : existsSync(noteFile(paths)) ? 'folder' : 'record'
  const from = isAutomatic ? (before?.from ?? 'record') : asked
  writeAttempt(paths, { restarts, from })
  clearFolderRequest(paths)
  const request: HandoverRequest = from === 'folder' ? { from } : from === 'order' && order !== undefined ? { from, order } : { from: 'record' }
  return { request, retries: isAutomatic ? restarts : 0 }
}

/** The handover has ended, well or not: an automatic restart from now on brings up what is recorded. */
export function endRequest(paths: AppPaths, restarts: number): void {
  clearOrder(paths)
  try {
    writeAttempt(paths, { restarts, from: 'record' })
  } catch {
    // With /run full. What was handed over is: without a note, an automatic restart takes the record as well.
    rmSync(attemptFile(paths), { force: true })
  }
}

export function writeOrder(paths: AppPaths, order: HandoverOrder): void {
  makeRunFolder(paths)
  writeDurably(orderFile(paths), JSON.stringify(order))
}

export const clearOrder = (paths: AppPaths): void => rmSync(orderFile(paths), { force: true })

export function readOrder(paths: AppPaths): HandoverOrder | undefined {
  try {
    return JSON.parse(readFileSync(orderFile(paths), 'utf8')) as HandoverOrder
  } catch {
    return undefined
  }
}

function readAttempt(paths: AppPaths): Attempt | undefined {
  try {
    return JSON.parse(readFileSync(attemptFile(paths), 'utf8')) as Attempt
  } catch {
    return undefined // the first since the boot
  }
}

function writeAttempt(paths: AppPaths, attempt: Attempt): void {
  makeRunFolder(paths)
  writeDurably(attemptFile(paths), JSON.stringify(attempt))
}
