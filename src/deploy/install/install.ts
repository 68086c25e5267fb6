import { chmodSync, chownSync, closeSync, constants, existsSync, fstatSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Config, Listener } from '../../config/model.js'
import { holdfastCommand, journalctlCommand, systemctlCommand } from '../../release/command-words.js'
import { HoldfastError } from '../../errors.js'
import { findUnfinished, writeDurably } from '../../release/durable-file.js'
import { readHistory } from '../../release/history.js'
import { readManifest, writeManifest, type Manifest, type WrittenUnit } from '../../release/manifest.js'
import type { AppPaths } from '../../release/paths.js'
import { readState } from '../../release/state.js'
import type { Systemd } from '../../systemd/systemd.js'
import { runProgram } from '../../run-program.js'
import { appService, closeTemplate, shutdownService, socketUnit, isListenerSocket } from '../../units/names.js'
import { renderUnits } from '../../units/render.js'
import { closeListeners } from '../listeners/listener-close.js'
import { startSocket } from '../listeners/listeners.js'
import { answers, observeInstances } from '../observe.js'
import { openedSockets } from './opened-sockets.js'
import type { Programs } from './programs.js'
import { requestFolder } from '../request.js'
import { catalogFile, isCatalog, needrestartFile, updateCatalog, type SystemFile } from './system-files.js'

/** What an `install` changes; made first, so that it can be shown and nothing done. */
export interface InstallPlan {
  paths: AppPaths
  config: Config
  /** Text of the configuration, as it will stand in /etc. */
  configText: string
  /** 0600 where its source was not for everybody: `env` may hold a secret. */
  configMode: number
  /** As it will be recorded at the end. */
  manifest: Manifest
  /** Units of an earlier install that go; as they were recorded. */
  gone: WrittenUnit[]
  changes: UnitChange[]
  /** Files other than units that are new or differ. */
  files: SystemFile[]
  /** Sockets whose address changes or which go: stopped before their unit is rewritten. */
  stopSockets: string[]
  /** Units to disable, since they go. */
  disable: string[]
  enable: string[]
}

export interface UnitChange {
  name: string
  /** Undefined: the unit is new. */
  before: string | undefined
  /** Undefined: the unit goes. */
  after: string | undefined
}

/** Plans an install. Reads files, changes nothing. */
export function planInstall(paths: AppPaths, config: Config, source: { text: string; mode: number }, programs: Programs): InstallPlan {
  const old = readManifest(paths)
  const units = renderUnits(config, { scope: paths.scope, ...programs, homePaths: homePathsOf(config, programs), instances: paths.instances, run: paths.run })
  const gone = (old?.units ?? []).filter((unit) => !units.some(({ name }) => name === unit.name))
  const changes: UnitChange[] = [
    ...units.map(({ name, text }) => ({ name, before: readUnit(paths, name), after: text })),
    ...gone.map(({ name }) => ({ name, before: readUnit(paths, name), after: undefined })),
  ].filter(({ before, after }) => before !== after)

  const files = paths.scope === 'system' ? [catalogFile(), ...needrestartFile(paths.app)] : []
  const recorded = (name: string): string | undefined => old?.units.find((unit) => unit.name === name)?.text
  return {
    paths,
    config,
    configText: source.text,
    configMode: (source.mode & 0o004) === 0 ? 0o600 : 0o644,
    manifest: {
      version: 1, app: paths.app, ...programs,
      units: units.map(({ name, text }) => ({ name, text })),
      files: [...new Set([...files.map(({ path }) => path), ...(old?.files ?? [])])],
      folders: [...new Set([...(old?.folders ?? []), ...openedSockets(config).flatMap((listener) => missingFolders(listener))])],
    },
    gone,
    changes,
    files: files.filter(({ path, text }) => !existsSync(path) || readFileSync(path, 'utf8') !== text),
    stopSockets: changes
      .filter(({ name, before = recorded(name), after }) => isListenerSocket(name) && before !== undefined && addressIn(before) !== addressIn(after))
      .map(({ name }) => name),
    disable: gone.map(({ name }) => name).filter(isListenerSocket),
    enable: [appService(paths.app), shutdownService(paths.app), ...openedSockets(config).map((listener) => socketUnit(paths.app, listener.name))],
  }
}

/**
 * Installs: listeners by stopping, rewriting and starting their sockets while the instances go on serving, then a
 * handover. Cut off at any point, it can be run again.
 * @throws HoldfastError `handover-failed` when everything is installed but the app did not come up.
 */
export async function install(plan: InstallPlan, systemd: Systemd): Promise<void> {
  const { paths, config, manifest } = plan
  writeManifest(paths, unfinishedManifest(plan))
  mkdirSync(paths.releases, { recursive: true, mode: 0o755 })
  mkdirSync(paths.instances, { recursive: true, mode: 0o755 })
  await writeUnits(plan, systemd)
  for (const { path, text } of plan.files) writeDurably(path, text)
  if (manifest.files.some(isCatalog)) await updateCatalog()
  writeDurably(paths.config, plan.configText, plan.configMode)
  writeManifest(paths, manifest)
  for (const file of writtenFiles(paths, manifest)) for (const left of findUnfinished(file)) rmSync(left, { force: true })

  await systemd.daemonReload()
  await systemd.enable(plan.enable)
  for (const listener of openedSockets(config)) await openListener(systemd, paths, listener)
  await handOverNow(plan, systemd)
}

/** Every file that an install writes. */
export const writtenFiles = (paths: AppPaths, { units, files }: Manifest): string[] => [
  ...units.map(({ name }) => join(paths.units, name)), ...files, paths.config, join(paths.state, 'manifest.json'),
]

/** Whether anything at all is recorded to run. */
export const hasRelease = (paths: AppPaths): boolean => readState(paths).live !== undefined

/** What lies below the home folders and must be visible: node, and code that runs in place. */
export function homePathsOf({ directory, snapshot }: Config, programs: Programs): string[] {
  const inPlace = !snapshot && directory !== undefined && /^\/(home|root|run\/user)\//.test(directory)
  return inPlace ? [...programs.homePaths, directory] : programs.homePaths
}

/** First of all, as what is half-written must be known as ours: the old units, the new ones, and what stands there now. */
function unfinishedManifest({ paths, manifest, gone }: InstallPlan): Manifest {
  const withFound = ({ name, text }: WrittenUnit): WrittenUnit => {
    const found = readUnit(paths, name)
    return found === undefined || found === text ? { name, text } : { name, text, previous: found }
  }
  return { ...manifest, units: [...manifest.units, ...gone].map(withFound) }
}

async function writeUnits({ paths, config, stopSockets, disable, changes }: InstallPlan, systemd: Systemd): Promise<void> {
  if (stopSockets.length > 0) {
    // A start of the app that is under way would start them again behind our back.
    await waitForHandover(paths, config, systemd)
    const written = closeTemplate(paths.app)
    await closeListeners(systemd, paths.app, stopSockets, existsSync(join(paths.units, written)) ? [written] : [])
  }
  const present = disable.filter((name) => existsSync(join(paths.units, name)))
  if (present.length > 0) await systemd.disable(present)
  for (const { name, after } of changes) {
    const file = join(paths.units, name)
    if (after === undefined) rmSync(file, { force: true })
    else writeDurably(file, after)
  }
}

async function openListener(systemd: Systemd, paths: AppPaths, { name, address }: Listener): Promise<void> {
  const unit = socketUnit(paths.app, name)
  const refusal = await startSocket(systemd, unit)
  if (refusal !== undefined) {
    throw new HoldfastError('systemd-failed', `${unit} did not start: ${refusal.message || refusal.state?.result}`, {
      hint: `${journalctlCommand(paths)} -u ${unit}; then run this again`,
    })
  }
  if (address.kind === 'unix') await setPermissions(systemd, unit, address.path)
}

/** Another mode or group needs no new socket, and so no instant without one. As the unit says with its drop-ins. */
async function setPermissions(systemd: Systemd, unit: string, path: string): Promise<void> {
  const mode = Number.parseInt(await systemd.property(unit, 'SocketMode'), 8)
  const group = await systemd.property(unit, 'SocketGroup')
  const gid = group === '' ? process.getgid?.() : await groupId(group)
  // Whoever may write to its folder could put a link in its place: the very socket, or nothing.
  const fd = openSync(path, openPath | constants.O_NOFOLLOW)
  try {
    if (!fstatSync(fd).isSocket()) return
    if (gid !== undefined) chownSync(`/proc/self/fd/${fd}`, -1, gid)
    if (Number.isInteger(mode)) chmodSync(`/proc/self/fd/${fd}`, mode)
  } finally {
    closeSync(fd)
  }
}

/** O_PATH of open(2), which node does not name. */
const openPath = 0o10000000

async function groupId(name: string): Promise<number | undefined> {
  const { status, stdout } = await runProgram('getent', ['group', name])
  return status === 0 ? Number(stdout.split(':')[2]) : undefined
}

async function handOverNow({ paths, config }: InstallPlan, systemd: Systemd): Promise<void> {
  const service = appService(paths.app)
  const before = readState(paths).generation
  if (config.directory !== undefined) requestFolder(paths)
  await systemd.run('restart', [service])
  // A client may lose its connection: the state tells, once nothing is queued any more.
  await waitForHandover(paths, config, systemd)
  const [state] = await systemd.show([service])
  if (state?.active === 'active') return

  const failure = readHistory(paths).findLast(({ generation, outcome }) => generation > before && (outcome === 'failed' || outcome === 'rolled-back'))?.reason
  const serving = (await observeInstances(systemd, paths.app)).filter((instance) => answers(paths, instance)).map(({ generation }) => generation)
  const now = serving.length === 0
    ? 'Nothing serves.'
    : `Generation ${Math.max(...serving)} serves on, with the command, environment and addresses it was started with; the new units apply from the next handover.`
  throw new HoldfastError('handover-failed', `${paths.app} is installed, but the handover failed: ${failure ?? `${service} is ${state?.active}`}. ${now}`, {
    hint: `${holdfastCommand(paths)} logs ${paths.app} tells more; mend it, then: ${systemctlCommand(paths)} restart ${paths.app}`,
  })
}

/** Until no systemd job of the app is queued; a handover ends by itself. */
async function waitForHandover({ app }: AppPaths, { start }: Config, systemd: Systemd): Promise<void> {
  const deadline = Date.now() + start.timeoutMs + start.settleMs + 60_000
  while ((await systemd.job(appService(app))) !== undefined && Date.now() < deadline) await delay(100)
}

function readUnit(paths: AppPaths, name: string): string | undefined {
  const file = join(paths.units, name)
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined
}

/** What systemd opens the socket by. A change of anything else leaves an open one as it is. */
const addressIn = (text = ''): string => text.split('\n').filter((line) => line.startsWith('ListenStream=')).join('\n')

/** The folders that systemd will make, with the socket's unit. */
function missingFolders({ address }: Listener): string[] {
  const missing: string[] = []
  if (address.kind === 'unix') {
    for (let folder = dirname(address.path); !existsSync(folder); folder = dirname(folder)) missing.unshift(folder)
  }
  return missing
}
