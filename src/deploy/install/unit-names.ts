import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { installedApps, readManifest, type Manifest } from '../../release/manifest.js'
import { pathsOf, type AppPaths, type Places } from '../../release/paths.js'
import type { Systemd } from '../../systemd/systemd.js'
import { afterDrainService, deployService, expiryTimer, hookService } from '../../units/names.js'
import type { UnitFile } from '../../units/render.js'
import { unfit } from '../refusal.js'

/** Units that are an app's although no install writes them: transient, or written by a deploy. */
const reserved = (app: string): string[] => [deployService(app), hookService(app), afterDrainService(app), expiryTimer(app)]

/**
 * Refuses unit names that exist already and are not this app's own: in /etc, of a package, transient, of another app, or
 * an instance of somebody else's template.
 * @throws HoldfastError `machine-unfit`
 */
export async function checkNames(
  units: readonly UnitFile[], manifest: Manifest | undefined, { paths, places, systemd }: { paths: AppPaths; places: Places; systemd: Systemd },
): Promise<void> {
  const { app } = paths
  const own = new Set(manifest?.units.map((unit) => unit.name))
  const names = units.map((unit) => unit.name).filter((name) => !own.has(name))
  for (const name of names) {
    const other = findApp(places, app, (theirs, names) => names.includes(name) || reserved(theirs).includes(name))
    if (other !== undefined) throw unfit(`${name} belongs to the app ${other}, which is installed already`, 'choose another name for one of the two')
  }
  for (const name of manifest === undefined ? reserved(app) : []) {
    const taker = findApp(places, app, (_, theirs) => theirs.includes(name))
    if (taker !== undefined) throw unfit(`${name}, which ${app} needs for its deploys, belongs to the app ${taker}`, 'choose another name for one of the two')
  }

  for (const name of names) {
    const asked = name.replace('@.', '@1.1.') // of a template, an instance
    const [state] = await systemd.show([asked])
    const file = join(paths.units, name)
    if (state?.load === 'not-found' && !existsSync(file)) continue
    const place = (await systemd.property(asked, 'FragmentPath')) || file
    throw unfit(`there is a unit ${name} already: ${place}`, `choose another app name than ${app}, or remove that unit`)
  }
}

function findApp(places: Places, self: string, match: (app: string, units: string[]) => boolean): string | undefined {
  return installedApps(places).find((app) => app !== self && match(app, readManifest(pathsOf(places, app))?.units.map(({ name }) => name) ?? []))
}
