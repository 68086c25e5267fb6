import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { installedText } from '../config/installed.js'
import { loadConfig } from '../config/load.js'
import { diffTexts } from '../deploy/diff.js'
import { hasRelease, install, planInstall, type InstallPlan } from '../deploy/install.js'
import { checkManager, checkNames, checkNeeds, checkUnedited } from '../deploy/preflight.js'
import { checkPrograms } from '../deploy/programs.js'
import { readManifest } from '../release/manifest.js'
import { pathsOf } from '../release/paths.js'
import { readState } from '../release/state.js'
import { Systemctl } from '../systemd/systemctl.js'
import { appService, socketUnit } from '../units/names.js'
import { cliPath, placesFor, type GlobalOptions } from './context.js'
import { print } from './output.js'

export async function installCommand(file: string, options: GlobalOptions & { dryRun?: boolean }): Promise<void> {
  const places = placesFor(options)
  checkManager(places.scope)
  const config = loadConfig(file)
  const systemd = new Systemctl(places.scope)
  const paths = pathsOf(places, config.app)
  const programs = checkPrograms(process.execPath, cliPath(), {
    scope: places.scope, ...(config.directory === undefined ? {} : { directory: config.directory }),
  })
  await checkNeeds(config, places, systemd, programs.node)
  const plan = planInstall(paths, config, installedText(readFileSync(file, 'utf8'), resolve(file)), programs)
  checkUnedited(readManifest(paths), paths, plan.manifest.units)
  await checkNames(plan.manifest.units, readManifest(paths), paths, places, systemd)

  if (options.dryRun === true) {
    showPlan(plan, options)
    return
  }
  if (!config.snapshot) print(`note: snapshot = false runs ${config.directory} in place: a crash or a reboot runs what lies there then, and there is no way back.`)
  for (const { name, before, after } of plan.changes) print(`${before === undefined ? 'new' : after === undefined ? 'removed' : 'changed'}  ${paths.units}/${name}`)
  await install(plan, systemd)
  report(plan)
}

function report({ paths, config }: InstallPlan): void {
  const { app } = config
  for (const { name } of config.listen) print(`listening  ${socketUnit(app, name)}`)
  const { live } = readState(paths)
  if (live !== undefined) print(`live  ${app}: generation ${live.generation}, release ${live.release}`)
  else print(`Nothing to run yet: ${app} is enabled and starts with its first release.`)
}

function showPlan({ paths, config, changes, files, stopSockets, enable, disable }: InstallPlan, options: GlobalOptions): void {
  if (changes.length === 0) print('No unit changes.')
  for (const { name, before, after } of changes) {
    print(diffTexts({ label: before === undefined ? '/dev/null' : `${paths.units}/${name}`, text: before ?? '' }, { label: after === undefined ? '/dev/null' : `${paths.units}/${name}`, text: after ?? '' }).trimEnd())
  }
  print('\nWould write:')
  for (const path of [paths.config, ...files.map((file) => file.path), `${paths.state}/manifest.json`]) print(`    ${path}`)
  const systemctl = options.user === true ? 'systemctl --user' : 'systemctl'
  print('\nWould run:')
  const commands = [
    ...(stopSockets.length > 0 ? [`${systemctl} stop ${stopSockets.join(' ')}`] : []),
    ...(disable.length > 0 ? [`${systemctl} disable ${disable.join(' ')}`] : []),
    `${systemctl} daemon-reload`,
    `${systemctl} enable ${enable.join(' ')}`,
    ...(config.listen.length > 0 ? [`${systemctl} start ${config.listen.map(({ name }) => socketUnit(config.app, name)).join(' ')}`] : []),
    `${systemctl} restart ${appService(config.app)}`,
  ]
  for (const command of commands) print(`    ${command}`)
  if (config.directory === undefined && !hasRelease(paths)) print('\nNothing to run yet: the app would be enabled.')
}
