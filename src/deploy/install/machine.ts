import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, statfsSync } from 'node:fs'
import { userInfo } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { HoldfastError } from '../../errors.js'
import type { Places, Scope } from '../../release/paths.js'
import { nativeStatus, type NativeStatus } from '../../runtime/native.js'
import type { Systemd } from '../../systemd/systemd.js'
import { checkPrograms } from './programs.js'

/** What `holdfast doctor` looks at, whatever apps there are. */
export interface Machine {
  scope: Scope
  /** Undefined where none runs that serves this scope. */
  systemd: { version: number; state: string } | undefined
  booted: boolean
  user: { name: string; uid: number; lingers: boolean }
  /** The bus that systemd-run and those who are not root need. */
  hasBus: boolean
  node: { version: string; path: string }
  /** What is wrong with the paths of node and of the CLI, if anything. */
  programs: { problem: string; mend: string | undefined } | undefined
  native: NativeStatus
  /** Programs that stand in for the native packages, and those that commands run, and are not there. */
  missingPrograms: string[]
  cgroup: { version: 1 | 2; controllers: string[] }
  journalIsKept: boolean
  /** Of the filesystem that holds the releases; undefined where its folder cannot be looked at. */
  disk: { folder: string; freeBytes: number; totalBytes: number } | undefined
}

const programs = ['systemctl', 'journalctl', 'systemd-run', 'systemd-notify', 'logger', 'diff', 'sync', 'getent', 'id']

/** Looks at the machine; changes nothing and needs no privileges. */
export async function readMachine(places: Places, systemd: Systemd, cli: string): Promise<Machine> {
  const { scope } = places
  const { username, uid } = userInfo()
  const runtime = process.env['XDG_RUNTIME_DIR'] || `/run/user/${uid}`
  // sd_booted(3)
  const booted = existsSync('/run/systemd/system')
  const runs = booted && (scope === 'system' || existsSync(join(runtime, 'systemd/private')))
  const running = runs ? await askSystemd(systemd) : undefined
  return {
    scope,
    booted,
    systemd: running,
    user: { name: username, uid, lingers: existsSync(join('/var/lib/systemd/linger', username)) },
    hasBus: existsSync(scope === 'user' ? join(runtime, 'bus') : '/run/dbus/system_bus_socket'),
    node: { version: process.versions.node, path: process.execPath },
    programs: programProblem(cli, scope),
    native: nativeStatus(),
    missingPrograms: programs.filter((program) => !isInPath(program)),
    cgroup: await readCgroup(scope, running === undefined ? undefined : systemd),
    journalIsKept: existsSync('/var/log/journal'),
    disk: readDisk(places.state),
  }
}

async function askSystemd(systemd: Systemd): Promise<Machine['systemd']> {
  try {
    return { version: await systemd.version(), state: await systemd.systemState() }
  } catch (error) {
    if (error instanceof HoldfastError) return undefined
    throw error
  }
}

function programProblem(cli: string, scope: Scope): Machine['programs'] {
  try {
    checkPrograms(process.execPath, cli, { scope })
    return undefined
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error
    return { problem: error.message, mend: error.hint }
  }
}

const isInPath = (program: string): boolean =>
  `${process.env['PATH'] ?? ''}${delimiter}/usr/bin${delimiter}/bin`.split(delimiter).some((folder) => existsSync(join(folder, program)))

/** The controllers that the manager has: of a user's, those that were delegated to it. */
async function readCgroup(scope: Scope, systemd: Systemd | undefined): Promise<Machine['cgroup']> {
  const root = '/sys/fs/cgroup'
  if (!existsSync(join(root, 'cgroup.controllers'))) return { version: 1, controllers: [] }
  const own = scope === 'user' ? ((await systemd?.property('-.slice', 'ControlGroup')) ?? '') : ''
  try {
    return { version: 2, controllers: readFileSync(join(root, own, 'cgroup.controllers'), 'utf8').split(/\s+/).filter(Boolean) }
  } catch {
    return { version: 2, controllers: [] }
  }
}

function readDisk(folder: string): Machine['disk'] {
  // Nothing may be installed yet: then the nearest folder that is there.
  for (let place = folder; ; place = dirname(place)) {
    try {
      const { bavail, blocks, bsize } = statfsSync(place)
      return { folder: place, freeBytes: bavail * bsize, totalBytes: blocks * bsize }
    } catch {
      if (place === '/') return undefined
    }
  }
}

/** Whether a static account is there; used for the accounts that configurations name. */
export function accountExists(name: string): boolean {
  try {
    execFileSync('getent', ['passwd', name], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
