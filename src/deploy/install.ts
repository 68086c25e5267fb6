import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../config/model.js'
import { HoldfastError } from '../errors.js'
import { readManifest, writeManifest, type Manifest, type WrittenUnit } from '../release/manifest.js'
import type { AppPaths } from '../release/paths.js'
import { readState } from '../release/state.js'
import { writeDurably } from '../release/durable-file.js'
import type { Systemd } from '../systemd/systemd.js'
import { appService, socketUnit } from '../units/names.js'
import { renderUnits, type UnitFile } from '../units/render.js'
import { catalogFile, needrestartFile, type SystemFile } from './system-files.js'
import type { Programs } from './programs.js'
import { requestFolder } from './request.js'

/** What an `install` changes; made first, so that it can be shown and nothing done. */
export interface InstallPlan {
  paths: AppPaths
  config: Config
  /** Text of the configuration, as it will stand in /etc. */
  configText: string
  manifest: Manifest
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
export function planInstall(paths: AppPaths, config: Config, configText: string, programs: Programs): InstallPlan {
  const old = readManifest(paths)
  const units = renderUnits(config, { scope: paths.scope, ...programs, homePaths: homePaths(config, programs), instances: paths.instances })
  const found = (name: string): string | undefined => {
    const file = join(paths.units, name)
    return existsSync(file) ? readFileSync(file, 'utf8') : undefined
  }
  const gone = (old?.units ?? []).filter((unit) => !units.some(({ name }) => name === unit.name))
  const changes: UnitChange[] = [
    ...units.map(({ name, text }) => ({ name, before: found(name), after: text })),
    ...gone.map(({ name }) => ({ name, before: found(name), after: undefined })),
  ].filter(({ before, after }) => before !== after)

  const files = paths.scope === 'system' ? [catalogFile(), ...needrestartFile(paths.app)] : []
  return {
    paths,
    config,
    configText,
    manifest: {
      version: 1, app: paths.app, ...programs,
      units: units.map((unit): WrittenUnit => ({ ...unit, ...previousText(old, unit) })),
      files: [...new Set([...files.map(({ path }) => path), ...(old?.files ?? [])])],
    },
    changes,
    files: files.filter(({ path, text }) => !existsSync(path) || readFileSync(path, 'utf8') !== text),
    stopSockets: changes.filter(({ name, before, after }) => name.endsWith('.socket') && before !== undefined && bindingOf(before) !== bindingOf(after)).map(({ name }) => name),
    disable: gone.filter(({ name }) => name.endsWith('.socket')).map(({ name }) => name),
    enable: [appService(paths.app), ...config.listen.map((listener) => socketUnit(paths.app, listener.name))],
  }
}

/**
 * Installs: listeners by stopping, rewriting and starting their sockets while the instances go on
 * serving, then a handover.
 * @throws HoldfastError `handover-failed` when everything is installed but the app did not come up.
 */
export async function install(plan: InstallPlan, systemd: Systemd): Promise<void> {
  const { paths, config, manifest } = plan
  // First, as what is half-written must be known as ours.
  writeManifest(paths, manifest)
  mkdirSync(paths.releases, { recursive: true, mode: 0o755 })
  mkdirSync(paths.instances, { recursive: true, mode: 0o755 })

  if (plan.stopSockets.length > 0) await systemd.run('stop', plan.stopSockets)
  if (plan.disable.length > 0) await systemd.disable(plan.disable)
  for (const { name, after } of plan.changes) {
    const file = join(paths.units, name)
    if (after === undefined) rmSync(file, { force: true })
    else writeDurably(file, after)
  }
  for (const { path, text } of plan.files) writeDurably(path, text)
  if (plan.files.some(({ path }) => path.endsWith('.catalog'))) updateCatalog()
  writeDurably(paths.config, plan.configText, 0o644)
  writeManifest(paths, { ...manifest, units: manifest.units.map(({ name, text }) => ({ name, text })) })

  await systemd.daemonReload()
  await systemd.enable(plan.enable)
  for (const listener of config.listen) await startSocket(systemd, socketUnit(paths.app, listener.name))

  if (config.directory !== undefined) requestFolder(paths)
  const { ok } = await systemd.run('restart', [appService(paths.app)])
  const [service] = await systemd.show([appService(paths.app)])
  if (service?.active !== 'active') {
    throw new HoldfastError('handover-failed', `${paths.app} is installed, but ${appService(paths.app)} is ${service?.active}${ok ? '' : ' after its start'}`, {
      hint: `holdfast logs ${paths.app}${paths.scope === 'user' ? ' --user' : ''}`,
    })
  }
}

/** The journal's explanations are kept in one database of the machine. */
export function updateCatalog(): void {
  execFileSync('journalctl', ['--update-catalog'], { stdio: 'ignore' })
}

/** Whether anything at all is recorded to run. */
export const hasRelease = (paths: AppPaths): boolean => readState(paths).live !== undefined

async function startSocket(systemd: Systemd, unit: string): Promise<void> {
  const [before] = await systemd.show([unit])
  if (before?.active === 'active') return
  const { message } = await systemd.run('start', [unit])
  const [after] = await systemd.show([unit])
  if (after?.active === 'active') return
  throw new HoldfastError('machine-unfit', `${unit} did not start: ${message || after?.result}`, { hint: `journalctl -u ${unit}` })
}

/** What systemd binds by: a change of anything else leaves the open socket as it is. */
function bindingOf(text: string | undefined): string {
  return (text ?? '').split('\n').filter((line) => /^(ListenStream|SocketMode|SocketGroup)=/.test(line)).join('\n')
}

function previousText(old: Manifest | undefined, unit: UnitFile): { previous?: string } {
  const before = old?.units.find(({ name }) => name === unit.name)?.text
  return before === undefined || before === unit.text ? {} : { previous: before }
}

/** What lies below the home folders and must be visible: node, and code that runs in place. */
function homePaths({ directory, snapshot }: Config, programs: Programs): string[] {
  const inPlace = !snapshot && directory !== undefined && /^\/(home|root|run\/user)\//.test(directory)
  return inPlace ? [...programs.homePaths, directory] : programs.homePaths
}
