import { chmodSync, mkdirSync, readdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { instanceUnit, parseInstance } from '../units/names.js'
import type { AppPaths } from './paths.js'
import type { InstanceNumber } from './stop-reason.js'

/** Read before the admin's own drop-ins, which so have the last word. */
const fileName = '10-holdfast.conf'

const dropIn = (paths: AppPaths, { generation, process }: InstanceNumber): string =>
  join(paths.runtimeUnits, `${instanceUnit(paths.app, generation, process)}.d`, fileName)

/**
 * Writes settings of one instance's unit. systemd reads them when it loads the unit, which is to be started for the
 * first time: no daemon-reload is needed (seen on 252, in both scopes). At best: without them those of the template hold.
 */
export function writeDropIn(paths: AppPaths, instance: InstanceNumber, text: string): void {
  const file = dropIn(paths, instance)
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o755 })
    writeFileSync(file, text, { mode: 0o644 })
    for (const path of [dirname(file), file]) chmodSync(path, path === file ? 0o644 : 0o755) // whatever the umask
  } catch {
    // A full /run fails no deploy.
  }
}

export function removeDropIn(paths: AppPaths, instance: InstanceNumber): void {
  const file = dropIn(paths, instance)
  try {
    rmSync(file, { force: true })
    rmdirSync(dirname(file))
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
    return instance === undefined ? [] : [dropIn(paths, instance)]
  })
}
