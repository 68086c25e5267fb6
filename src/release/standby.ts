import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AppPaths } from './paths.js'
import { makeRunFolder } from './run-folder.js'
import type { InstanceNumber } from './stop-reason.js'

/**
 * As long as this file is there, an instance with the runtime accepts nothing on the public listeners: HOLDFAST_HOLD_FILE.
 * Taken away rather than put there when it is let in, so that an instance that comes back after a reboot, or by hand, serves.
 */
export const holdFile = (paths: AppPaths, { generation, process }: InstanceNumber): string => join(paths.run, `${generation}.${process}.hold`)

/** Unlike a reason to stop, not at best: an instance that is not held back would answer before it was looked at. */
export function holdBack(paths: AppPaths, instances: readonly InstanceNumber[]): void {
  makeRunFolder(paths)
  for (const instance of instances) writeFileSync(holdFile(paths, instance), '', { mode: 0o644 })
}

/** Lets instances accept, those that run and those that come back. */
export function letIn(paths: AppPaths, instances: readonly InstanceNumber[]): void {
  for (const instance of instances) rmSync(holdFile(paths, instance), { force: true })
}

export const isHeldBack = (paths: AppPaths, instance: InstanceNumber): boolean => existsSync(holdFile(paths, instance))

/** Reaches the server of one instance and of no other; only there while the instance's unit has its socket unit. */
export const privateSocket = (paths: AppPaths, { generation, process }: InstanceNumber): string => join(paths.run, 'private', `${generation}.${process}.sock`)

/** Tells a `Report` of one instance to each connection. */
export const reportSocket = (paths: AppPaths, { generation, process }: InstanceNumber): string => join(paths.run, 'private', `${generation}.${process}.report`)
