import { readFileSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { formatAddress } from '../../config/address.js'
import { instanceFolder, listInstanceFolders } from '../../release/instance.js'
import { readHistory, type HistoryEntry } from '../../release/history.js'
import { readManifest, type Manifest } from '../../release/manifest.js'
import { pathsOf, type AppPaths, type Places } from '../../release/paths.js'
import { readState, type AfterDrain, type Live, type Held } from '../../release/state.js'
import type { Release } from '../../release/release.js'
import { isHeldBack } from '../../release/standby.js'
import { listReleases } from '../../release/store.js'
import { denotes, readWanted } from '../../release/wanted.js'
import type { QueuedJob, Systemd, UnitState } from '../../systemd/systemd.js'
import { activateService, appService, drainService, previewSocket, processNumbers } from '../../units/names.js'
import { observeDeploy, type ObservedDeploy } from '../operation/deploy-under-way.js'
import { addressIn, installedListeners, readListeners, type ListenerFacts } from '../listeners/listener-facts.js'
import { observeInstances, type RunningInstance } from '../observe.js'
import { notInstalled } from '../install/uninstall.js'

/** All that there is to see of an app: what is recorded, and what systemd runs. */
export interface AppObservation {
  paths: AppPaths
  /** The names of what is installed. */
  units: string[]
  live: Live | undefined
  /** Undefined also where it may not be looked at. */
  liveRelease: Release | undefined
  lastHandover: HistoryEntry | undefined
  /** Under way, or cut off. */
  deploy: ObservedDeploy | undefined
  afterDrain: AfterDrain | undefined
  /** A generation that waits for a promotion. */
  held: Held | undefined
  heldRelease: Release | undefined
  /** What somebody wrote into the file `wanted`, with the id of the release that it means, if one is on disk. */
  wanted: { word: string; release: string | undefined } | undefined
  service: UnitState
  drain: UnitState
  /** What systemd is about to do with these two; not asked for while both are up, or the service is coming up. */
  jobs: { service: QueuedJob | undefined; drain: QueuedJob | undefined }
  /** Undefined for an app without listeners. */
  activate: UnitState | undefined
  listeners: ListenerFacts[]
  /** The socket of `[preview] address`; undefined without one. */
  preview: { state: UnitState; address: string } | undefined
  instances: ObservedInstance[]
  /** The generations whose files are there, with the release each was started from. */
  releases: Map<number, string>
  /** What the live generation would need to start again, and is not there. */
  missingFiles: string[]
}

export interface ObservedInstance extends RunningInstance {
  /** Accepts nothing public, where it has the runtime. */
  heldBack: boolean
  /** ISO 8601 UTC of the last change between starting, active and stopping. */
  changedAt: string | undefined
  /** Bytes: of the whole unit where the kernel accounts for it, else resident in the main process. */
  memory: number | undefined
}

interface ObservedService {
  states: [service: UnitState, drain: UnitState, activate: UnitState]
  jobs: AppObservation['jobs']
}

/** The app's own units. A restart takes them down for a moment, which its systemd job alone tells from a stop. */
async function observeService(app: string, systemd: Systemd): Promise<ObservedService> {
  const show = async (): Promise<ObservedService['states']> => (await systemd.show([appService(app), drainService(app), activateService(app)])) as ObservedService['states']
  const states = await show()
  const [service, drain] = states
  // While a handover runs, too, it is plain what it is; to look again then could show its end beside a record from before it.
  const isPlain = service.active === 'activating' || service.active === 'reloading' || (service.active === 'active' && drain.active === 'active')
  if (isPlain) return { states, jobs: { service: undefined, drain: undefined } }
  const [ofService, ofDrain] = await Promise.all([systemd.job(appService(app)), systemd.job(drainService(app))])
  // A job that ended in between has changed what was seen.
  return { states: ofService === undefined && ofDrain === undefined ? await show() : states, jobs: { service: ofService, drain: ofDrain } }
}

/** Not one of the listeners: without it, the app is served all the same. */
async function observePreview({ app, units }: Manifest, systemd: Systemd): Promise<AppObservation['preview']> {
  const text = units.find(({ name }) => name === previewSocket(app))?.text
  const address = text === undefined ? undefined : addressIn(text)
  if (address === undefined) return undefined
  const [state] = await systemd.show([previewSocket(app)])
  return state && { state, address: formatAddress(address) }
}

/**
 * Looks at an app; needs no privileges. What is installed is taken from the manifest, so that a
 * configuration that does not parse hides nothing.
 * @throws HoldfastError `not-installed` or `state-corrupt`
 */
export async function observeApp(places: Places, app: string, systemd: Systemd): Promise<AppObservation> {
  const paths = pathsOf(places, app)
  const manifest = readManifest(paths)
  if (manifest === undefined) throw notInstalled(places, app)
  // The record first: a handover that ends in between shows as one that is under way, not as a contradiction.
  const { live, wanted, held, afterDrain } = readState(paths)
  const [{ states: [service, drain, activate], jobs }, instances, deploy] = await Promise.all([
    observeService(app, systemd),
    observeInstances(systemd, app),
    observeDeploy(paths, systemd),
  ])
  const listeners = await readListeners({ paths, systemd }, installedListeners(manifest), instances)
  const releases = listReleases(paths)
  const changes = await systemd.properties(instances.map(({ state }) => state.unit), ['StateChangeTimestamp'])
  return {
    paths,
    units: manifest.units.map(({ name }) => name),
    live,
    liveRelease: releases.find(({ id }) => id === live?.release),
    deploy,
    afterDrain,
    held,
    heldRelease: releases.find(({ id }) => id === held?.release),
    wanted: findOrder(paths, releases, [live?.release, wanted]),
    lastHandover: readHistory(paths).at(-1),
    service,
    drain,
    jobs,
    activate: activate.load === 'not-found' ? undefined : activate,
    listeners,
    preview: await observePreview(manifest, systemd),
    instances: instances.map((instance, i) => ({
      ...instance,
      heldBack: isHeldBack(paths, instance),
      changedAt: parseTimestamp(changes[i]?.StateChangeTimestamp ?? ''),
      memory: instance.state.memory ?? residentMemory(instance.state.mainPid),
    })),
    releases: new Map(listInstanceFolders(paths).map(({ generation, target }) => [generation, basename(target)])),
    missingFiles: live === undefined ? [] : findMissing(paths, live),
  }
}

/** What the file `wanted` asks for beyond what is recorded. */
function findOrder(paths: AppPaths, releases: readonly Release[], recorded: readonly (string | undefined)[]): AppObservation['wanted'] {
  const word = readWanted(paths)
  if (word === undefined || recorded.includes(word)) return undefined
  if (releases.some((release) => recorded.includes(release.id) && denotes(word, release))) return undefined
  return { word, release: releases.findLast((release) => denotes(word, release))?.id }
}

function findMissing(paths: AppPaths, { generation, processes }: Live): string[] {
  return processNumbers(processes)
    .map((process) => instanceFolder(paths, generation, process))
    .flatMap((folder) => [join(folder, 'command'), join(folder, 'release')])
    .filter(isGone)
}

/** Whether nothing is there, for certain: in a home folder, not everybody may look. */
export function isGone(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) === undefined
  } catch {
    return false
  }
}

/** The form of `systemctl show --timestamp=unix`. */
function parseTimestamp(text: string): string | undefined {
  return /^@\d+$/.test(text) ? new Date(Number(text.slice(1)) * 1000).toISOString() : undefined
}

/** `VmRSS` of proc(5), for kernels whose memory controller is not at work. */
function residentMemory(pid: number): number | undefined {
  if (pid === 0) return undefined
  try {
    const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
    return kibibytes === undefined ? undefined : Number(kibibytes) * 1024
  } catch {
    return undefined
  }
}
