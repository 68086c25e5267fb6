import { accessSync, constants, existsSync, lstatSync, readFileSync, realpathSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { dirname } from 'node:path'
import { addressesClash, formatAddress } from '../../config/address.js'
import { loadConfig } from '../../config/load.js'
import type { Address, Config, Listener } from '../../config/model.js'
import { installedApps, type Manifest } from '../../release/manifest.js'
import { pathsOf, type Places } from '../../release/paths.js'
import type { Systemd } from '../../systemd/systemd.js'
import { appService, drainService, parseInstance, previewService, socketUnit } from '../../units/names.js'
import { findForeign } from './foreign.js'
import { isSame, parseListen } from '../listeners/listen-property.js'
import { addressIn } from '../listeners/listener-facts.js'
import { addressKey, openedSockets } from './opened-sockets.js'
import { findHolders, isInUse, type HeldAddress, type SocketOwner } from '../listeners/port-owner.js'
import { unfit } from '../refusal.js'

interface Situation {
  places: Places
  systemd: Systemd
  /** Of the app itself, where it is installed already. */
  manifest: Manifest | undefined
}

/** Whether every listener of an app can have its address. @throws HoldfastError `machine-unfit` */
export async function checkAddresses(config: Config, situation: Situation): Promise<void> {
  checkOtherApps(config, situation.places)
  for (const listener of openedSockets(config)) {
    // What its own unit holds already is not bound again.
    if (await holds(situation.systemd, socketUnit(config.app, listener.name), listener.address)) continue
    const { address } = listener
    if (address.kind === 'unix') await checkPath(config.app, listener, address, situation)
    else await checkPort(config.app, listener, address, situation)
  }
}

/** Two apps may not listen on one address, also while one of them is stopped. */
function checkOtherApps(config: Config, places: Places): void {
  for (const app of installedApps(places).filter((name) => name !== config.app)) {
    let other: Config
    try {
      other = loadConfig(pathsOf(places, app).config, { installed: true })
    } catch {
      continue // its own install tells
    }
    for (const mine of openedSockets(config)) {
      const theirs = openedSockets(other).find((listener) => addressesClash(listener.address, mine.address))
      if (theirs === undefined) continue
      throw unfit(`${addressKey(mine.name)}: ${formatAddress(mine.address)} is taken by the app ${app} (its ${addressKey(theirs.name)} is ${formatAddress(theirs.address)})`, 'choose another address for one of the two')
    }
  }
}

async function checkPort(app: string, listener: Listener, address: Address & { kind: 'tcp' }, situation: Situation): Promise<void> {
  const { name } = listener
  const lowest = unprivilegedPort()
  if (situation.places.scope === 'user' && address.port < lowest) {
    throw unfit(`${addressKey(name)}: a user's manager may not open port ${address.port}`, `choose a port from ${lowest} on, or, as root: sysctl net.ipv4.ip_unprivileged_port_start=${address.port}`)
  }
  if (address.host !== undefined && !isLocal(address.host)) {
    throw unfit(`${addressKey(name)}: ${address.host} is not an address of this machine`, `use one of ${localAddresses().join(', ')}, or the port alone for all of them`)
  }
  if (!(await isInUse(address))) return
  const holders = findHolders(address)
  const own = holders.flatMap(({ owners }) => owners).find(({ unit }) => unit !== undefined && parseInstance(app, unit) !== undefined)
  if (own !== undefined) throw heldByItself(app, listener, situation.manifest)
  await refuseHolders(app, listener, holders, situation)
}

async function checkPath(app: string, listener: Listener, address: Address & { kind: 'unix' }, situation: Situation): Promise<void> {
  const { name } = listener
  const { path } = address
  const stat = lstatSync(path, { throwIfNoEntry: false })
  // Where bind(2) fails, systemd removes what is there, whatever it is, and tries again.
  if (stat !== undefined && !stat.isSocket()) {
    throw unfit(`${addressKey(name)}: ${path} is there already, and is no socket`, `choose another path, or move it away: ls -ld ${path}`)
  }
  if (stat !== undefined) await refuseHolders(app, listener, findHolders(address), situation)
  checkFolder(name, path, situation.places)
}

function checkFolder(name: string, path: string, { scope, run }: Places): void {
  const folder = dirname(path)
  const made = scope === 'system' ? '/run/' : `${dirname(run)}/`
  const there = existsSync(folder)
  if (!there && !path.startsWith(made)) {
    throw unfit(`${addressKey(name)}: ${path} lies in a folder that does not exist`, `mkdir -p ${folder}, or choose a path below ${made}, where systemd makes it`)
  }
  const foreign = there && scope === 'system' ? findForeign(realpathSync(folder)) : undefined
  if (foreign !== undefined) {
    throw unfit(`${addressKey(name)}: ${path} lies where ${foreign}: whoever that is could put anything in the place of root's socket`, `choose a path below ${made}, where systemd makes the folder`)
  }
  if (there && scope === 'user') {
    try {
      accessSync(folder, constants.W_OK)
    } catch {
      throw unfit(`${addressKey(name)}: you may not write to ${folder}`, `choose a path below ${made}`)
    }
  }
}

/** Refuses unless all that is in the way is this app's own socket units: these are stopped before others take their place. */
async function refuseHolders(app: string, listener: Listener, holders: readonly HeldAddress[], { systemd, manifest }: Situation): Promise<void> {
  const where = `${addressKey(listener.name)}: ${formatAddress(listener.address)}`
  if (holders.length === 0 && listener.address.kind === 'tcp') {
    throw unfit(`${where} is in use, but by nobody that can be seen`, 'as root, ss -ltnp tells who listens; then stop it, or choose another address')
  }
  for (const { address, owners } of holders) {
    const process = owners.find((owner) => !isManager(owner))
    if (process !== undefined) {
      if (process.unit !== undefined && parseInstance(app, process.unit) !== undefined) continue
      if (process.unit === previewService(app)) continue
      throw inUse(where, process)
    }
    if (owners.length === 0) throw unfit(`${where} is in use by another user's process`, 'as root, ss -lp tells whose; then stop it, or choose another address')
    const unit = await findSocketUnit(systemd, address)
    if (unit !== undefined && manifest?.units.some(({ name }) => name === unit)) continue
    const holder = unit === undefined ? owners[0]?.unit ?? 'init.scope' : unit
    throw unfit(`${where} is held by systemd for ${holder}`, unit === undefined ? `choose another address, or look for it: systemctl list-sockets` : `choose another address, or: systemctl disable --now ${unit}`)
  }
}

function inUse(where: string, { pid, command, unit }: SocketOwner): Error {
  return unit?.endsWith('.service') === true
    ? unfit(`${where} is in use by process ${pid} (${command}) of ${unit}`, `choose another address, or: systemctl stop ${unit}`)
    : unfit(`${where} is in use by process ${pid} (${command})`, `choose another address, or: kill ${pid}`)
}

/** An instance holds it through the handover, and two sockets cannot be bound to it. */
function heldByItself(app: string, { name, address }: Listener, manifest: Manifest | undefined): Error {
  const own = socketUnit(app, name)
  const holder = manifest?.units.map((unit) => unit.name).find((unit) => unit.endsWith('.socket') && bindsTo(manifest, unit, address))
  const how =
    holder === undefined ? `though no socket unit of it holds that any more (an install was cut off, or a socket stopped)`
    : holder !== own ? `as ${holder}`
    : `in another form, or though ${own} was stopped`
  return unfit(
    `${addressKey(name)}: ${formatAddress(address)} is served by ${app} itself, ${how}: that cannot be changed without closing the address for a moment`,
    `keep what was installed last; or choose a time, run systemctl stop ${appService(app)} ${drainService(app)}, and install again`,
  )
}

function bindsTo(manifest: Manifest, unit: string, address: Address): boolean {
  const text = manifest.units.find(({ name }) => name === unit)?.text ?? ''
  const bound = addressIn(text)
  return bound !== undefined && addressesClash(bound, address)
}

/** The active socket unit that listens on an address. */
async function findSocketUnit(systemd: Systemd, address: Address): Promise<string | undefined> {
  for (const unit of await systemd.list('*.socket')) if (await holds(systemd, unit, address, addressesClash)) return unit
  return undefined
}

/** Whether a socket unit is active on this very address, or on one that clashes with it. */
async function holds(systemd: Systemd, unit: string, address: Address, match = isSame): Promise<boolean> {
  const [socket] = await systemd.show([unit])
  if (socket?.active !== 'active') return false
  return parseListen(await systemd.property(unit, 'Listen')).some(({ address: bound }) => bound !== undefined && match(bound, address))
}

const isManager = ({ pid, command }: SocketOwner): boolean => pid === 1 || /^\S*\/systemd --user/.test(command)

function unprivilegedPort(): number {
  try {
    return Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8'))
  } catch {
    return 1024
  }
}

const localAddresses = (): string[] => Object.values(networkInterfaces()).flatMap((list) => list ?? []).map(({ address }) => address)
const isLocal = (host: string): boolean => host === '0.0.0.0' || host === '::' || host.startsWith('127.') || localAddresses().includes(host)
