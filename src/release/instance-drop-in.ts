import { chmodSync, existsSync, mkdirSync, readdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { instanceUnit, parseInstance } from '../units/names.js'
import type { AppPaths } from './paths.js'
import type { InstanceNumber } from './stop-reason.js'

/** Read before the admin's own drop-ins, which so have the last word: what the generation is started with, and what waits for its end. */
const fileNames = { start: '10-holdfast.conf', end: '11-holdfast.conf' } as const
type DropInKind = keyof typeof fileNames

const dropInFolder = (paths: AppPaths, { generation, process }: InstanceNumber): string =>
  join(paths.runtimeUnits, `${instanceUnit(paths.app, generation, process)}.d`)

/**
 * Writes settings of one instance's unit. systemd reads them when it loads the unit; for one that is to be started for
 * the first time no daemon-reload is needed (seen on 252, in both scopes). At best: without them those of the template hold.
 */
export function writeDropIn(paths: AppPaths, instance: InstanceNumber, text: string, kind: DropInKind = 'start'): void {
  const file = join(dropInFolder(paths, instance), fileNames[kind])
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o755 })
    writeFileSync(file, text, { mode: 0o644 })
    for (const path of [dirname(file), file]) chmodSync(path, path === file ? 0o644 : 0o755) // whatever the umask
  } catch {
    // A full /run fails no deploy.
  }
}

export function removeDropIn(paths: AppPaths, instance: InstanceNumber): void {
  const folder = dropInFolder(paths, instance)
  try {
    for (const name of Object.values(fileNames)) rmSync(join(folder, name), { force: true })
    rmdirSync(folder)
  } catch {
    // There is none, or the admin has one there as well.
  }
}

/** The drop-ins that handovers have written and that are still there. */
export function listDropIns(paths: AppPaths): string[] {
  let names: string[]
  try {
    names = readdirSync(paths.runtimeUnits)
  } catch {
    return []
  }
  return names.flatMap((name) => {
    const instance = name.endsWith('.d') ? parseInstance(paths.app, name.slice(0, -'.d'.length)) : undefined
    return instance === undefined ? [] : Object.values(fileNames).map((file) => join(dropInFolder(paths, instance), file)).filter((file) => existsSync(file))
  })
}
