import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AppPaths } from '../release/paths.js'

/**
 * A restart takes the source folder, a start and a boot do not; but when `ExecStart=` runs, systemd has
 * already turned the restart into a start. So the drain unit, whose `ExecStop=` still sees the restart,
 * leaves a note. It stays until the handover has ended: one that was killed takes the folder again.
 */
const noteFile = (paths: AppPaths): string => join(paths.run, 'take-folder')

export function requestFolder(paths: AppPaths): void {
  mkdirSync(paths.run, { recursive: true, mode: 0o755 })
  writeFileSync(noteFile(paths), '')
}

export const isFolderRequested = (paths: AppPaths): boolean => existsSync(noteFile(paths))
export const clearFolderRequest = (paths: AppPaths): void => rmSync(noteFile(paths), { force: true })
