import { existsSync, readdirSync, rmdirSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { HoldfastError } from '../errors.js'
import { installedApps, readManifest, type Manifest } from '../release/manifest.js'
import { pathsOf, type AppPaths, type Places } from '../release/paths.js'
import { removeRelease } from '../release/store.js'
import type { Systemd } from '../systemd/systemd.js'
import { appService, drainService } from '../units/names.js'
import { updateCatalog } from './install.js'
import { observeInstances } from './observe.js'
import { checkUnedited } from './preflight.js'

export interface UninstallPlan {
  paths: AppPaths
  manifest: Manifest
  /** Every file and folder that goes. */
  remove: string[]
  /** The app's data, which stays unless it is purged. */
  data: string | undefined
  /** Drop-ins of the admin's, which stay. */
  dropIns: string[]
}

/** @throws HoldfastError `not-installed` or `unit-edited` */
export function planUninstall(places: Places, app: string, options: { purge: boolean }): UninstallPlan {
  const paths = pathsOf(places, app)
  const manifest = readManifest(paths)
  if (manifest === undefined) throw notInstalled(places, app)
  checkUnedited(manifest, paths)
  const shared = installedApps(places).some((other) => other !== app && readManifest(pathsOf(places, other))?.files.some((file) => file.endsWith('.catalog')))
  const data = [join(paths.state, 'data')].find((path) => existsSync(path))
  return {
    paths,
    manifest,
    remove: [
      ...manifest.units.map(({ name }) => join(paths.units, name)),
      ...manifest.files.filter((file) => !(shared && file.endsWith('.catalog'))),
      paths.config,
      paths.run,
      ...readdirSync(paths.state).filter((name) => name !== 'data' || options.purge).map((name) => join(paths.state, name)),
    ],
    data: options.purge ? undefined : data,
    dropIns: manifest.units.map(({ name }) => join(paths.units, `${name}.d`)).filter((path) => existsSync(path)),
  }
}

/** Stops the app, waits for its drain, and removes what `install` and the handovers wrote. */
export async function uninstall({ paths, manifest, remove }: UninstallPlan, places: Places, systemd: Systemd): Promise<void> {
  const { app } = paths
  await systemd.run('stop', [appService(app), drainService(app)])
  const left = await observeInstances(systemd, app)
  const alive = left.filter(({ state }) => state.active !== 'inactive' && state.active !== 'failed')
  if (alive.length > 0) {
    throw new HoldfastError('systemd-failed', `${alive.map(({ state }) => state.unit).join(', ')} still runs after systemctl stop ${app}`, {
      hint: `systemctl kill --signal=SIGKILL ${alive[0]?.state.unit}; then uninstall again.`,
    })
  }
  await systemd.disable(manifest.units.map(({ name }) => name).filter((name) => name.endsWith('.socket') || name === appService(app)))
  await systemd.resetFailed([...left.map(({ state }) => state.unit), ...manifest.units.map(({ name }) => name).filter((name) => !name.includes('@'))])
  for (const path of remove) {
    // The manifest goes with the state, last: an uninstall that was cut off can be run again.
    if (path.startsWith(`${paths.state}/`)) continue
    rmSync(path, { recursive: true, force: true })
  }
  await systemd.daemonReload()
  if (remove.some((path) => path.endsWith('.catalog'))) updateCatalog()
  const state = remove.filter((path) => path.startsWith(`${paths.state}/`))
  for (const path of state.sort((a, b) => Number(a.endsWith('manifest.json')) - Number(b.endsWith('manifest.json')))) removeRelease(path)
  for (const folder of [paths.state, places.state, places.config, places.run, '/usr/local/lib/systemd/catalog']) removeIfEmpty(folder)
}

export function notInstalled(places: Places, app: string): HoldfastError {
  const apps = installedApps(places)
  return new HoldfastError('not-installed', `${app} is not installed${places.scope === 'user' ? ' for this user' : ''}; ${apps.length === 0 ? 'no app is' : `installed: ${apps.join(', ')}`}`, {
    hint: 'holdfast install, in the folder with its holdfast.toml',
  })
}

function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder)
    if (folder.endsWith('/catalog')) rmdirSync(dirname(folder))
  } catch {
    // Somebody else's files are in it, or it is not there.
  }
}
