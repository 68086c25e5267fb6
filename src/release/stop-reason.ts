import { chmodSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { StopReason } from '../runtime/environment.js'
import type { AppPaths } from './paths.js'
import { makeRunFolder } from './run-folder.js'

/** Which instance of an app. */
export interface InstanceNumber {
  generation: number
  process: number
}

/** Where an instance reads why it is stopped: HOLDFAST_STOP_FILE. */
export const stopFile = (paths: AppPaths, { generation, process }: InstanceNumber): string => join(paths.run, `${generation}.${process}.stop`)

/**
 * Says why instances are to stop, before they are told to. From inside its sandbox, an instance cannot find out. At
 * best: with /run full it drains as if somebody had stopped it, and no deploy fails of that.
 */
export function writeStopReason(paths: AppPaths, instances: readonly InstanceNumber[], reason: StopReason): void {
  for (const instance of instances) {
    const file = stopFile(paths, instance)
    const unfinished = `${file}.new`
    try {
      if (readReason(file) === reason) continue
      makeRunFolder(paths)
      // It is read once a second: never half of it.
      writeFileSync(unfinished, `${reason}\n`)
      chmodSync(unfinished, 0o644) // whatever the umask
      renameSync(unfinished, file)
    } catch {
      forget(unfinished)
    }
  }
}

/** Forgets why instances were stopped: they are about to be started, or have ended. */
export function clearStopReason(paths: AppPaths, instances: readonly InstanceNumber[]): void {
  for (const instance of instances) forget(stopFile(paths, instance))
}

/** Forgets it of all but these, each as `<generation>.<process>`, and whether they were held back. */
export function pruneStopReasons(paths: AppPaths, kept: ReadonlySet<string>): void {
  let names: string[]
  try {
    names = readdirSync(paths.run)
  } catch {
    return
  }
  for (const name of names) {
    const [, instance] = /^(\d+\.\d+)\.(?:stop(?:\.new)?|hold)$/.exec(name) ?? []
    if (instance !== undefined && !kept.has(instance)) forget(join(paths.run, name))
  }
}

function readReason(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch {
    return undefined
  }
}

function forget(file: string): void {
  try {
    rmSync(file, { force: true })
  } catch {
    // A /run that is read-only: then nothing was written either.
  }
}
