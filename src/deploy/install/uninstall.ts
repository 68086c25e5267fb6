import { existsSync, lstatSync, readdirSync, realpathSync, rmdirSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { HoldfastError } from '../../errors.js'
import { systemctlCommand } from '../../release/command-words.js'
import { findUnfinished } from '../../release/durable-file.js'
import { listDropIns } from '../../release/instance-drop-in.js'
import { installedApps, readManifest, type Manifest } from '../../release/manifest.js'
import { pathsOf, type AppPaths, type Places } from '../../release/paths.js'
import { removeRelease } from '../../release/store.js'
import type { Systemd } from '../../systemd/systemd.js'
import { activateService, afterDrainService, appService, deployService, drainService, expiryService, expiryTimer, hookService, instancesSlice, shutdownService, isListenerSocket } from '../../units/names.js'
import { endProbes } from '../checks/health-command.js'
import { cacheFolders } from '../operation/hook-unit.js'
import { writtenFiles } from './install.js'
import { closeListeners } from '../listeners/listener-close.js'
import { isDraining, isUp, observeInstances } from '../observe.js'
import { closeAllPrivateSockets } from '../retire.js'
import { isCatalog, updateCatalog } from './system-files.js'
import { checkUnedited } from './unedited.js'
import { markUninstall } from './uninstall-mark.js'

export interface UninstallPlan {
  paths: AppPaths
  manifest: Manifest
  /** Every file and folder that goes, in this order: the manifest last, so that an uninstall that was cut off can be run again. */
  remove: string[]
  /** Folders that go when nothing is left in them, innermost first. */
  removeEmpty: string[]
  /** Where the app's data really is, which stays unless it is purged. */
  data: string | undefined
  /** Drop-ins of the admin's, which stay. */
  dropIns: string[]
}

/** Plans an uninstall. Reads files, changes nothing. @throws HoldfastError `usage`, `not-installed` or `unit-edited` */
export function planUninstall(places: Places, app: string, { purge }: { purge: boolean }): UninstallPlan {
  const paths = pathsOf(places, app)
  const manifest = readManifest(paths)
  if (manifest === undefined) throw notInstalled(places, app)
  checkUnedited(manifest, paths)
  const data = findData(paths)
  const dropIns = listDropIns(paths)
  const written = writtenFiles(paths, manifest).filter((file) => !(isCatalog(file) && isShared(places, app, file)))
  const last = join(paths.state, 'manifest.json')
  return {
    paths,
    manifest,
    remove: [
      ...[...written, ...written.flatMap(findUnfinished), ...dropIns, paths.run, ...cacheFolders(paths), ...listState(paths)].filter((path) => path !== last && existsOrLinks(path)),
      ...(purge ? data : []),
      last,
    ],
    removeEmpty: [
      ...dropIns.map((path) => dirname(path)),
      ...data.map((path) => dirname(path)).flatMap((folder) => [folder, dirname(folder)]),
      ...cacheFolders(paths).map((path) => dirname(path)),
      paths.state, places.state, places.config, places.run,
      ...[...(manifest.folders ?? [])].reverse(),
      ...manifest.files.filter(isCatalog).flatMap((file) => [dirname(file), dirname(dirname(file))]),
    ],
    data: purge ? undefined : data[0],
    dropIns: manifest.units.map(({ name }) => join(paths.units, `${name}.d`)).filter((path) => existsSync(path)),
  }
}

/** All in the folder of the state but the app's data. */
const listState = ({ state }: AppPaths): string[] => readdirSync(state).filter((name) => name !== 'data').map((name) => join(state, name))

/** Ends a deploy that is under way, stops the app, waits for its drain, and removes what `install` and the handovers wrote. */
export async function uninstall({ paths, manifest, remove, removeEmpty }: UninstallPlan, systemd: Systemd): Promise<void> {
  markUninstall(paths)
  await stopAll(paths, manifest, systemd)
  const names = manifest.units.map(({ name }) => name).filter((name) => existsSync(join(paths.units, name)))
  const enabled = names.filter((name) => isListenerSocket(name) || name === appService(paths.app) || name === shutdownService(paths.app))
  if (enabled.length > 0) await systemd.disable(enabled)
  const instances = await observeInstances(systemd, paths.app)
  await systemd.resetFailed([...instances.map(({ state }) => state.unit), ...manifest.units.map(({ name }) => name).filter((name) => !name.includes('@'))])
  // What stays of the state until now, an uninstall that was cut off needs to go on.
  const isState = (path: string): boolean => dirname(path) === paths.state
  for (const path of remove.filter((path) => !isState(path) && path !== paths.run)) rmSync(path, { recursive: true, force: true })
  await systemd.daemonReload()
  // systemd made it for the instances of the template, and keeps it.
  await systemd.run('stop', [instancesSlice(paths.app, systemd.scope)])
  if (remove.some(isCatalog)) await updateCatalog()
  // With what came since it was planned.
  for (const path of [...listState(paths).filter((path) => !remove.includes(path)), ...remove.filter(isState)]) removeRelease(path)
  // The mark in it keeps deploys away until there is no manifest.
  rmSync(paths.run, { recursive: true, force: true })
  for (const folder of removeEmpty) removeIfEmpty(folder)
}

export function notInstalled(places: Places, app: string): HoldfastError {
  const apps = installedApps(places)
  const left = findData(pathsOf(places, app))
  const where = places.scope === 'user' ? ' for this user' : ''
  return new HoldfastError(
    'not-installed',
    `${app} is not installed${where}; ${apps.length === 0 ? 'no app is' : `installed: ${apps.join(', ')}`}${left[0] === undefined ? '' : `. Its data is still in ${left[0]}`}`,
    { hint: left[0] === undefined ? 'holdfast install, in the folder with its holdfast.toml' : `rm -r ${[...left].reverse().join(' ')}   # if nobody needs the data` },
  )
}

/** By way of the app's own drain; then whatever was started beside it. */
async function stopAll(paths: AppPaths, manifest: Manifest, systemd: Systemd): Promise<void> {
  const { app } = paths
  // Before what it would start. As it ends, a deploy starts the hook after a drain again, and hence: once more below.
  await stopDeploy(app, systemd)
  await systemd.run('stop', [appService(app), drainService(app)])
  const sockets = manifest.units.map(({ name }) => name).filter(isListenerSocket)
  if (sockets.length > 0) {
    await closeListeners(systemd, app, sockets, manifest.units.map(({ name }) => name))
    await systemd.run('stop', [activateService(app)])
  }
  await closeAllPrivateSockets(systemd, app)
  const left = (await observeInstances(systemd, app)).filter((instance) => isUp(instance) || isDraining(instance))
  if (left.length > 0) await systemd.run('stop', left.map(({ state }) => state.unit))
  await stopDeploy(app, systemd)
  await endProbes({ paths, systemd })
  const alive = (await observeInstances(systemd, app)).filter((instance) => isUp(instance) || isDraining(instance))
  if (alive.length === 0) return
  throw new HoldfastError('systemd-failed', `${alive.map(({ state }) => state.unit).join(', ')} still runs after systemctl stop ${app}`, {
    hint: `${systemctlCommand(systemd)} kill --signal=SIGKILL ${alive[0]?.state.unit}; then uninstall again`,
  })
}

const stopDeploy = (app: string, systemd: Systemd): Promise<void> => stopLoaded([deployService(app), hookService(app), afterDrainService(app), expiryTimer(app), expiryService(app)], systemd)

/** Units that come and go: systemctl(1) takes a name that it does not know for a failure. */
async function stopLoaded(units: readonly string[], systemd: Systemd): Promise<void> {
  const loaded = (await systemd.show(units)).filter(({ load }) => load !== 'not-found').map(({ unit }) => unit)
  if (loaded.length === 0) return
  await systemd.run('stop', loaded)
  await systemd.resetFailed(loaded)
}

/** The folders of `data`, the one that holds it first: with a dynamic user, another is a link to it. */
function findData({ scope, app, state, config }: AppPaths): string[] {
  // Up to version 253, a user's manager puts a StateDirectory= into XDG_CONFIG_HOME.
  const places = [join(state, 'data'), ...(scope === 'user' ? [join(dirname(config), app, 'data')] : [])].filter(existsOrLinks)
  const folders = places.filter((path) => existsSync(path)).map((path) => realpathSync(path))
  return [...new Set([...folders, ...places])]
}

const isShared = (places: Places, app: string, file: string): boolean =>
  installedApps(places).some((other) => other !== app && readManifest(pathsOf(places, other))?.files.includes(file))

const existsOrLinks = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false }) !== undefined

function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder)
  } catch {
    // Somebody else's files are in it, or it is not there.
  }
}
