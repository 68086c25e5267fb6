import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { dirname, join } from 'node:path'
import { addressesClash, formatAddress } from '../config/address.js'
import { loadConfig } from '../config/load.js'
import type { Config, Listener } from '../config/model.js'
import { HoldfastError } from '../errors.js'
import { installedApps, readManifest, type Manifest } from '../release/manifest.js'
import { pathsOf, type AppPaths, type Places, type Scope } from '../release/paths.js'
import type { Systemd } from '../systemd/systemd.js'
import { instanceUnit, socketUnit } from '../units/names.js'
import type { UnitFile } from '../units/render.js'
import { findListeners } from './port-owner.js'
import { findProgram } from './instances.js'
import { diffTexts } from './diff.js'

/** The machine, as a command that changes something must find it. @throws HoldfastError `machine-unfit` */
export function checkManager(scope: Scope): void {
  checkRunning(scope)
  if (scope === 'system' && process.getuid?.() !== 0) {
    throw unfit('this needs root, as the units belong to PID 1', 'Run it with sudo, or with --user for your own manager.')
  }
}

/** The machine, as a command that only looks must find it. @throws HoldfastError `machine-unfit` */
export function checkRunning(scope: Scope, env: NodeJS.ProcessEnv = process.env): void {
  // sd_booted(3)
  if (!existsSync('/run/systemd/system')) {
    throw unfit('systemd does not run here: /run/systemd/system is missing', 'Run it on a machine that systemd has booted. holdfast render shows the units anywhere.')
  }
  if (scope === 'user' && !existsSync(join(env['XDG_RUNTIME_DIR'] || `/run/user/${process.getuid?.()}`, 'systemd/private'))) {
    throw unfit(
      `no systemd of user ${process.getuid?.()} runs: there is no systemd/private in XDG_RUNTIME_DIR`,
      'loginctl enable-linger "$USER", then log in anew (su and sudo give no session).',
    )
  }
}

/**
 * What a configuration needs of this machine: the accounts, files and addresses that it names.
 * @throws HoldfastError `machine-unfit` or `config-invalid`
 */
export async function checkNeeds(config: Config, places: Places, systemd: Systemd, node: string): Promise<void> {
  if (config.user !== undefined) {
    if (places.scope === 'user') throw invalid('user cannot be set with --user: the app runs as you', 'Remove the key.')
    requireEntry('passwd', config.user, `user = ${JSON.stringify(config.user)}: there is no such account`, `adduser --system --group ${config.user}`)
  }
  if (config.directory !== undefined) checkDirectory(config.directory)
  checkProgram(config, node)
  if (config.envFile !== undefined) checkEnvFile(config.envFile)
  checkOtherApps(config, places)
  for (const listener of config.listen) await checkListener(config.app, listener, places.scope, systemd)
}

function checkDirectory(directory: string): void {
  if (!statSync(directory, { throwIfNoEntry: false })?.isDirectory()) {
    throw invalid(`directory = ${JSON.stringify(directory)}: there is no such folder`, `mkdir -p ${directory}`)
  }
}

function checkProgram({ command, directory }: Config, node: string): void {
  const program = findProgram(command[0] as string, node)
  if (!program.startsWith('/') && directory !== undefined && !existsSync(join(directory, program))) {
    throw invalid(`command: ${program} is not in ${directory}`, 'Write the path as it is in the release.')
  }
}

function checkEnvFile(file: string): void {
  const stat = statSync(file, { throwIfNoEntry: false })
  if (stat === undefined || !stat.isFile()) throw invalid(`env_file = ${JSON.stringify(file)}: there is no such file`, `install -m 600 /dev/null ${file}`)
  if ((stat.mode & 0o007) !== 0) throw invalid(`env_file = ${JSON.stringify(file)}: every user of this machine can read it`, `chmod 600 ${file}`)
}

/** Two apps may not listen on one address. */
function checkOtherApps(config: Config, places: Places): void {
  for (const app of installedApps(places).filter((name) => name !== config.app)) {
    let other: Config
    try {
      other = loadConfig(pathsOf(places, app).config, { installed: true })
    } catch {
      continue // its own install tells
    }
    for (const mine of config.listen) {
      const theirs = other.listen.find((listener) => addressesClash(listener.address, mine.address))
      if (theirs === undefined) continue
      throw unfit(`listen.${mine.name}: ${formatAddress(mine.address)} is taken by ${app} (listen.${theirs.name})`, 'Choose another address for one of the two.')
    }
  }
}

async function checkListener(app: string, listener: Listener, scope: Scope, systemd: Systemd): Promise<void> {
  const { address, name, group } = listener
  if (group !== undefined) requireEntry('group', group, `listen.${name}: there is no group ${group}`, `addgroup --system ${group}`)
  const [socket] = await systemd.show([socketUnit(app, name)])
  const unitListens = await systemd.property(socketUnit(app, name), 'Listen')
  const isOurs = socket?.active === 'active' && unitListens.startsWith(`${listenName(listener)} `)
  if (isOurs) return
  if (address.kind === 'unix') {
    if (!address.path.startsWith('/run/') && !existsSync(dirname(address.path))) {
      throw unfit(`listen.${name}: ${address.path} lies in a folder that does not exist`, `mkdir -p ${dirname(address.path)}, or choose a path below /run, which systemd makes.`)
    }
    return
  }
  if (scope === 'user' && address.port < unprivilegedPort()) {
    throw unfit(`listen.${name}: a user's manager may not open port ${address.port}`, `Choose a port from ${unprivilegedPort()} on, or: sysctl net.ipv4.ip_unprivileged_port_start=${address.port}`)
  }
  if (address.host !== undefined && !isLocal(address.host)) {
    throw unfit(`listen.${name}: ${address.host} is not an address of this machine`, `Use one of ${localAddresses().join(', ')}, or the port alone for all of them.`)
  }
  for (const { owners } of findListeners(address)) throw portInUse(app, listener, owners)
}

function portInUse(app: string, { name, address }: Listener, owners: { pid: number; command: string; unit: string | undefined }[]): HoldfastError {
  // PID 1 holds a socket for the process behind it, which tells more.
  const owner = owners.find(({ pid }) => pid !== 1) ?? owners[0]
  const where = `listen.${name}: ${formatAddress(address)}`
  if (owners.some(({ unit }) => unit?.startsWith(`${app}@`))) {
    return unfit(`${where} is held by ${app} itself, under another name or in another form`, `systemctl stop ${app} ${app}-drain, then install again: this change cannot be made without closing the address.`)
  }
  if (owner === undefined) return unfit(`${where} is in use, by a process of another user`, 'As root, ss -ltnp names it.')
  const unit = owner.unit === undefined ? '' : ` of ${owner.unit}`
  return unfit(`${where} is in use by process ${owner.pid} (${owner.command})${unit}`, owner.unit === undefined ? `Stop it, or choose another address: kill ${owner.pid}` : `Stop it, or choose another address: systemctl stop ${owner.unit}`)
}

/**
 * Unit names that exist already and are not this app's own.
 * @throws HoldfastError `machine-unfit`
 */
export async function checkNames(units: readonly UnitFile[], manifest: Manifest | undefined, paths: AppPaths, places: Places, systemd: Systemd): Promise<void> {
  const own = new Set(manifest?.units.map((unit) => unit.name))
  for (const { name } of units.filter((unit) => !own.has(unit.name))) {
    const app = installedApps(places).find((other) => other !== paths.app && readManifest(pathsOf(places, other))?.units.some((unit) => unit.name === name))
    if (app !== undefined) throw unfit(`${name} belongs to the app ${app}, which is installed already`, 'Choose another name for one of the two.')
    const asked = name.includes('@.') ? instanceUnit(paths.app, 1, 1) : name
    const [state] = await systemd.show([asked])
    const file = join(paths.units, name)
    if (state?.load === 'not-found' && !existsSync(file)) continue
    const where = (await systemd.property(asked, 'FragmentPath')) || file
    throw unfit(`there is a unit ${name} already: ${where}`, `Choose another app name than ${paths.app}, or remove that unit.`)
  }
}

/**
 * Units that somebody edited since they were written.
 * @throws HoldfastError `unit-edited`, with the difference
 */
export function checkUnedited(manifest: Manifest | undefined, paths: AppPaths, rendered: readonly UnitFile[] = []): void {
  for (const { name, text, previous } of manifest?.units ?? []) {
    const file = join(paths.units, name)
    if (!existsSync(file)) continue
    const found = readFileSync(file, 'utf8')
    if ([text, previous, rendered.find((unit) => unit.name === name)?.text].includes(found)) continue
    throw new HoldfastError('unit-edited', `${file} was edited since holdfast wrote it:\n${diffTexts({ label: `${name} as written`, text }, { label: `${name} as found`, text: found })}`, {
      hint: `Put the change into a drop-in, which holdfast leaves alone: systemctl edit ${name}. Then remove ${file} and run this again.`,
    })
  }
}

function requireEntry(database: 'passwd' | 'group', name: string, message: string, hint: string): void {
  try {
    execFileSync('getent', [database, name], { stdio: 'ignore' })
  } catch {
    throw unfit(message, hint)
  }
}

const listenName = ({ address }: Listener): string =>
  address.kind === 'unix' ? address.path : address.host === undefined ? `[::]:${address.port}` : formatAddress(address)

function unprivilegedPort(): number {
  try {
    return Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8'))
  } catch {
    return 1024
  }
}

const localAddresses = (): string[] => Object.values(networkInterfaces()).flatMap((list) => list ?? []).map(({ address }) => address)
const isLocal = (host: string): boolean => host === '0.0.0.0' || host === '::' || host.startsWith('127.') || localAddresses().includes(host)
const unfit = (message: string, hint: string): HoldfastError => new HoldfastError('machine-unfit', message, { hint })
const invalid = (message: string, hint: string): HoldfastError => new HoldfastError('config-invalid', message, { hint })
