import { lstatSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseAddress } from '../../config/address.js'
import type { Address } from '../../config/model.js'
import type { Manifest } from '../../release/manifest.js'
import type { AppPaths } from '../../release/paths.js'
import type { Systemd, UnitState } from '../../systemd/systemd.js'
import { isListenerSocket, previewSocket } from '../../units/names.js'
import { isSame, parseListen } from './listen-property.js'
import { isServing, type RunningInstance } from '../observe.js'
import { findSockets, socketsOf } from './port-owner.js'
import { processesOf } from '../unit-processes.js'

/** All that tells whether a listener is as it must be: what is on disk, what systemd believes, and who holds which socket. */
export interface ListenerFacts {
  listener: string
  /** Of its socket unit. */
  state: UnitState
  /** As it was installed. */
  address: Address
  /** What systemd listens on, or would: `127.0.0.1:8080`, `[::]:8080` for all addresses, a path. */
  believed: string[]
  isBelieved: boolean
  /** A file on disk that names another address, which systemd has read or will read at its next daemon-reload. */
  foreignFile: string | undefined
  /** Inodes of the sockets that listen on the address, whoever has them. */
  sockets: string[]
  /** Those of them that systemd has open; undefined where it may not be looked at. */
  held: string[] | undefined
  /** Of a unix socket: whether something of that kind is at its path. */
  hasPath: boolean
  /** Each instance that serves, with those of the sockets that it has open; undefined where it may not be looked at. */
  instances: { unit: string; open: string[] | undefined }[]
}

/** A listener as it was installed. */
export interface InstalledListener {
  listener: string
  unit: string
  address: Address
}

/** The listeners that an install has written, of which a configuration that was edited since tells nothing. */
export function installedListeners({ app, units }: Pick<Manifest, 'app' | 'units'>): InstalledListener[] {
  return units.filter(({ name }) => isListenerSocket(name) && name !== previewSocket(app)).flatMap(({ name, text }) => {
    const address = addressIn(text)
    return address === undefined ? [] : [{ listener: name.slice(`${app}-`.length, -'.socket'.length), unit: name, address }]
  })
}

/** The address in the text of a socket unit; undefined where it has none that can be read. */
export function addressIn(text: string): Address | undefined {
  return parseAddress(/^ListenStream=(.*)$/m.exec(text)?.[1]?.replaceAll('%%', '%')).address
}

/** Looks at listeners; changes nothing. What takes privileges that the caller has not is undefined. */
export async function readListeners(
  { paths, systemd, proc = '/proc' }: { paths: AppPaths; systemd: Systemd; proc?: string }, listeners: readonly InstalledListener[], instances: readonly RunningInstance[],
): Promise<ListenerFacts[]> {
  if (listeners.length === 0) return []
  const units = listeners.map(({ unit }) => unit)
  const serving = instances.filter(isServing).map(({ state }) => state)
  const [states, listens, groups, manager] = await Promise.all([
    systemd.show(units),
    systemd.properties(units, ['Listen']),
    systemd.properties(serving.map(({ unit }) => unit), ['ControlGroup']),
    findManager(systemd),
  ])
  const managers = manager === undefined ? undefined : socketsOf(manager, proc)
  const opened = serving.map(({ unit, mainPid }, i) => ({ unit, open: socketsOfUnit(mainPid, groups[i]?.ControlGroup ?? '', proc) }))
  return listeners.map(({ listener, unit, address }, i) => {
    const believed = parseListen(listens[i]?.Listen ?? '')
    const sockets = findSockets(address, proc).map(({ inode }) => inode)
    const only = (inodes: readonly string[] | undefined): string[] | undefined => inodes && sockets.filter((inode) => inodes.includes(inode))
    return {
      listener, address, sockets,
      state: states[i] as UnitState,
      believed: believed.map(({ text }) => text),
      // A systemd that tells nothing has not been told otherwise.
      isBelieved: believed.length < 2 && believed.every((bound) => bound.address !== undefined && isSame(bound.address, address)),
      foreignFile: findForeignFile(paths, unit, address),
      held: only(managers),
      hasPath: address.kind === 'tcp' || isSocket(address.path),
      instances: opened.map((instance) => ({ unit: instance.unit, open: only(instance.open) })),
    }
  })
}

/** The unit file, or a drop-in of it, that says another address than was installed. */
export function findForeignFile(paths: Pick<AppPaths, 'units' | 'runtimeUnits'>, unit: string, address: Address): string | undefined {
  const file = join(paths.units, unit)
  const own = readText(file)
  if (own !== undefined) {
    const written = addressIn(own)
    if (written === undefined || !isSame(written, address)) return file
  }
  const dropIns = [paths.units, paths.runtimeUnits].flatMap((folder) => listFolder(join(folder, `${unit}.d`)))
  return dropIns.find((path) => path.endsWith('.conf') && /^\s*Listen\w+\s*=/m.test(readText(path) ?? ''))
}

/** The manager that serves a scope: process 1, or that of the user, which is not told by systemctl. */
async function findManager(systemd: Systemd): Promise<number | undefined> {
  if (systemd.scope === 'system') return 1
  const root = await systemd.property('-.slice', 'ControlGroup')
  return processesOf(root === '' ? '' : join(root, 'init.scope'))[0]
}

/** Another process than the main one may accept, as of an app that starts its own workers. */
function socketsOfUnit(mainPid: number, controlGroup: string, proc: string): string[] | undefined {
  const all = [...new Set([mainPid, ...processesOf(controlGroup)])].filter((pid) => pid > 0).map((pid) => socketsOf(pid, proc))
  const seen = all.filter((inodes) => inodes !== undefined)
  return seen.length === 0 ? undefined : seen.flat()
}

const isSocket = (path: string): boolean => {
  try {
    return lstatSync(path).isSocket()
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EACCES'
  }
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}

function listFolder(folder: string): string[] {
  try {
    return readdirSync(folder).map((name) => join(folder, name))
  } catch {
    return []
  }
}
