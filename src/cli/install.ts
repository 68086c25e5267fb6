import { existsSync, readFileSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { formatAddress } from '../config/address.js'
import { installedText } from '../config/installed.js'
import { loadConfig } from '../config/load.js'
import type { Config } from '../config/model.js'
import { diffTexts } from '../deploy/install/diff.js'
import { hasRelease, install, planInstall, type InstallPlan, type UnitChange } from '../deploy/install/install.js'
import { openedSockets } from '../deploy/install/opened-sockets.js'
import { checkMachine, checkManager } from '../deploy/install/preflight.js'
import { checkPrograms } from '../deploy/install/programs.js'
import { checkUnedited } from '../deploy/install/unedited.js'
import { checkNames } from '../deploy/install/unit-names.js'
import { HoldfastError } from '../errors.js'
import { holdfastCommand } from '../release/command-words.js'
import { readManifest } from '../release/manifest.js'
import { pathsOf, type AppPaths } from '../release/paths.js'
import { readState } from '../release/state.js'
import { Systemctl } from '../systemd/systemctl.js'
import { appService, closeTarget, socketUnit } from '../units/names.js'
import { cliPath, placesFor, type GlobalOptions } from './context.js'
import { print } from './output.js'

export async function installCommand(file: string, options: GlobalOptions & { dryRun?: boolean; replace?: boolean }): Promise<void> {
  const places = placesFor(options)
  checkManager(places.scope)
  const config = loadConfig(file)
  const systemd = new Systemctl(places.scope)
  const paths = pathsOf(places, config.app)
  const { directory } = config
  const programs = checkPrograms(process.execPath, cliPath(), { scope: places.scope, ...(directory === undefined ? {} : { directory }) })
  if (options.replace !== true) checkSameFolder(paths, config)
  await checkMachine(config, places, systemd, programs.node)
  const plan = planInstall(paths, config, { text: installedText(readFileSync(file, 'utf8'), resolve(file)), mode: statSync(file).mode }, programs)
  const installed = readManifest(paths)
  checkUnedited(installed, paths, plan.manifest.units)
  await checkNames(plan.manifest.units, installed, { paths, places, systemd })

  if (options.dryRun === true) {
    showPlan(plan, options)
    return
  }
  const held = heldWords(paths)
  if (held !== undefined) print(`note: ${held} is discarded by the handover.`)
  if (!config.snapshot) print(`note: snapshot = false runs ${directory} in place: a crash or a reboot runs what lies there then, and there is no way back.`)
  const hidden = config.snapshot && directory !== undefined && config.user === undefined && places.scope === 'system' ? findPrivate(directory) : undefined
  if (hidden !== undefined) {
    print(`note: ${hidden} is private, but every user of this machine may read its copies in ${paths.releases}. user = "…" keeps them to that account.`)
  }
  for (const change of plan.changes) print(`${kindOf(change)}  ${paths.units}/${change.name}`)
  await install(plan, systemd)
  report(plan)
}

/** A copied folder with the same `app` in it would take the running app's place, address and all. */
function checkSameFolder(paths: AppPaths, { app, directory }: Config): void {
  if (readManifest(paths) === undefined || !existsSync(paths.config)) return
  let installed: Config
  try {
    installed = loadConfig(paths.config, { installed: true })
  } catch {
    return // this install mends it
  }
  if (installed.directory === directory) return
  throw new HoldfastError('usage', `${app} is installed from ${installed.directory ?? 'no folder'}, and this configuration takes ${directory ?? 'no folder'}`, {
    hint: 'give this one another name (app = "…"), or, if it is to take the place of the other: holdfast install --replace',
  })
}

/** The first folder on the way to a path that not everybody may enter. */
function findPrivate(path: string): string | undefined {
  const above = dirname(path)
  return (above === path ? undefined : findPrivate(above)) ?? ((statSync(path).mode & 0o001) === 0 ? path : undefined)
}

/** What waits for a promotion: it goes when another generation is live. */
function heldWords(paths: AppPaths): string | undefined {
  const { held } = readState(paths)
  return held && `generation ${held.generation}, release ${held.release}, which ${held.kind === 'canary' ? 'is a canary' : 'is held'},`
}

function report({ paths, config }: InstallPlan): void {
  const { app } = config
  for (const { name, address } of openedSockets(config)) print(`listening  ${socketUnit(app, name)} on ${formatAddress(address)}`)
  const { live } = readState(paths)
  if (live !== undefined) print(`live  ${app}: generation ${live.generation}, release ${live.release}`)
  else print(`Nothing to run yet: ${app} is enabled and starts with its first release.`)
}

function showPlan({ paths, config, changes, files, stopSockets, disable, enable }: InstallPlan, options: GlobalOptions): void {
  if (changes.length === 0) print('No unit changes.')
  for (const { name, before, after } of changes) {
    const side = (text: string | undefined): { label: string; text: string } => ({ label: text === undefined ? '/dev/null' : `${paths.units}/${name}`, text: text ?? '' })
    print(diffTexts(side(before), side(after)).trimEnd())
  }
  print('\nWould write:')
  for (const path of [paths.config, ...files.map((file) => file.path), `${paths.state}/manifest.json`]) print(`    ${path}`)
  const systemctl = options.user === true ? 'systemctl --user' : 'systemctl'
  const sockets = openedSockets(config)
  const commands = [
    ...(stopSockets.length > 0 ? [`${systemctl} start ${stopSockets.map((socket) => closeTarget(paths.app, socket)).join(' ')}   # closes the old address; what runs goes on serving its connections`] : []),
    ...(disable.length > 0 ? [`${systemctl} disable ${disable.join(' ')}`] : []),
    ...(files.some(({ path }) => path.endsWith('.catalog')) ? ['journalctl --update-catalog'] : []),
    `${systemctl} daemon-reload`,
    `${systemctl} enable ${enable.join(' ')}`,
    ...(sockets.length > 0 ? [`${systemctl} start ${sockets.map(({ name }) => socketUnit(config.app, name)).join(' ')}`] : []),
    `${systemctl} restart ${appService(config.app)}   # a handover`,
  ]
  print('\nWould run:')
  for (const command of commands) print(`    ${command}`)
  const held = heldWords(paths)
  if (held !== undefined) print(`\n${held} would be discarded by the handover; ${holdfastCommand(paths)} promote ${config.app} lets it in before.`)
  if (config.directory === undefined && !hasRelease(paths)) print('\nNothing to run yet: the app would be enabled.')
}

const kindOf = ({ before, after }: UnitChange): string => (before === undefined ? 'new' : after === undefined ? 'removed' : 'changed')
