import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { writeDurably } from '../release/durable-file.js'
import type { AppPaths } from '../release/paths.js'
import { makeRunFolder } from '../release/run-folder.js'

/**
 * What a start of the app's unit is to bring up: what lies in the source folder, or what is recorded.
 *
 * A restart takes the folder, a start and a boot do not; but when `ExecStart=` runs, systemd has already turned the
 * restart into a start. So the drain unit, whose `ExecStop=` still sees the restart, leaves a note. It leaves one for
 * an automatic restart (`Restart=on-failure`) too, which is a restart to systemd and none to the admin. The counter
 * tells the two apart: systemd raises `NRestarts` for an automatic one alone.
 */
export type Source = 'folder' | 'record'

/** One run of a handover from `ExecStart=`, as the next one finds it. */
interface Attempt {
  /** `NRestarts` of the app's unit at the time. */
  restarts: number
  /** `folder` until its handover has ended: one that was killed is to be finished. */
  from: Source
}

const noteFile = (paths: AppPaths): string => join(paths.run, 'take-folder')
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
export function takeRequest(paths: AppPaths, restarts: number): { from: Source; retries: number } {
  const before = readAttempt(paths)
  const isAutomatic = restarts > 0 && (before === undefined || restarts > before.restarts)
  const asked: Source = existsSync(noteFile(paths)) ? 'folder' : 'record'
  const from = isAutomatic ? (before?.from ?? 'record') : asked
  writeAttempt(paths, { restarts, from })
  clearFolderRequest(paths)
  return { from, retries: isAutomatic ? restarts : 0 }
}

/** The handover has ended, well or not: an automatic restart from now on brings up what is recorded. */
export function endRequest(paths: AppPaths, restarts: number): void {
  writeAttempt(paths, { restarts, from: 'record' })
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
