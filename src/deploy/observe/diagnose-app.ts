import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { formatAddress } from '../../config/address.js'
import { loadConfig } from '../../config/load.js'
import { holdfastCommand, systemctlCommand } from '../../release/command-words.js'
import type { Config } from '../../config/model.js'
import { HoldfastError } from '../../errors.js'
import { readManifest, type Manifest } from '../../release/manifest.js'
import { pathsOf, type AppPaths, type Places } from '../../release/paths.js'
import type { Systemd } from '../../systemd/systemd.js'
import { appService, instancePattern, shutdownService, isListenerSocket } from '../../units/names.js'
import { renderUnits } from '../../units/render.js'
import { statusOf } from './app-status.js'
import { fail, ok, warn, type Finding } from './diagnose.js'
import { findForeignFile, installedListeners, type ListenerFacts } from '../listeners/listener-facts.js'
import { accountExists, type Machine } from '../install/machine.js'
import { isGone, observeApp } from './observe-app.js'
import { checkUnedited } from '../install/preflight.js'
import { checkPrograms } from '../install/programs.js'
import { needrestartFile } from '../install/system-files.js'

/** Checks one installed app; each finding carries its name. Never throws a HoldfastError. */
export async function diagnoseApp(places: Places, app: string, systemd: Systemd, machine: Machine): Promise<Finding[]> {
  const paths = pathsOf(places, app)
  const findings = await collect(async () => {
    const manifest = readManifest(paths)
    if (manifest === undefined) return []
    const install = `${holdfastCommand(places)} install ${paths.config}`
    return [
      ...(await collect(() => judgeConfig(paths, manifest, machine, install))),
      ...(await collect(() => judgeUnitFiles(paths, manifest, systemd, install))),
      ...(await collect(() => judgePrograms(manifest, places, install))),
      ...(await collect(() => judgeUnits(manifest, systemd, paths))),
      ...(await collect(() => judgeState(places, app, systemd))),
      ...(places.scope === 'system' ? judgeNeedrestart(app, install) : []),
    ]
  })
  return findings.map((finding) => ({ ...finding, app }))
}

/** What a check throws is what it found. */
async function collect(check: () => Finding[] | Promise<Finding[]>): Promise<Finding[]> {
  try {
    return await check()
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error
    // Those of several lines list problems, or differences: the mend shows all.
    return [fail(error.message.split('\n', 2).join(' ').replace(/:( ---.*)?$/, ''), error.hint ?? 'holdfast status')]
  }
}

function judgeConfig(paths: AppPaths, manifest: Manifest, machine: Machine, install: string): Finding[] {
  const config = loadConfig(paths.config, { installed: true })
  return [
    isInForce(config, paths, manifest)
      ? ok(`${paths.config} is good, and in force`)
      : warn(`${paths.config} was changed since the last install, and is not in force yet`, install),
    ...judgeLimits(config, machine),
    ...judgeNeeds(config),
  ]
}

/** Whether the units that it makes are those that were written. */
function isInForce(config: Config, paths: AppPaths, manifest: Manifest): boolean {
  const rendered = renderUnits(config, { scope: paths.scope, node: manifest.node, cli: manifest.cli, homePaths: manifest.homePaths, instances: paths.instances, run: paths.run })
  return rendered.length === manifest.units.length && rendered.every(({ name, text }) => manifest.units.some((unit) => unit.name === name && unit.text === text))
}

function judgeLimits({ limits }: Config, { cgroup }: Machine): Finding[] {
  const asked = [
    ...(limits.memoryBytes === undefined ? [] : [{ key: 'limits.memory', controller: 'memory' }]),
    ...(limits.tasks === undefined ? [] : [{ key: 'limits.tasks', controller: 'pids' }]),
  ]
  return asked
    .filter(({ controller }) => cgroup.version === 2 && !cgroup.controllers.includes(controller))
    .map(({ key, controller }) => warn(`${key} is set, but does nothing without the ${controller} controller`, 'See the line on control groups above.'))
}

/** What the configuration names and a restart would miss. */
function judgeNeeds({ directory, envFile, user }: Config): Finding[] {
  return [
    ...(directory === undefined || !isGone(directory) ? [] : [fail(`directory = ${JSON.stringify(directory)} is gone: a restart has nothing to take`, `mkdir -p ${directory}`)]),
    ...(envFile === undefined || !isGone(envFile) ? [] : [fail(`env_file = ${JSON.stringify(envFile)} is gone`, `install -m 600 /dev/null ${envFile}`)]),
    ...(user === undefined || accountExists(user) ? [] : [fail(`user = ${JSON.stringify(user)}: there is no such account`, `adduser --system --group ${user}`)]),
  ]
}

/** Socket units of which a file names another address than the one that was installed. */
const readdressedSockets = (paths: AppPaths, manifest: Manifest): { name: string; file: string }[] =>
  installedListeners(manifest).flatMap(({ unit, address }) => {
    const file = findForeignFile(paths, unit, address)
    return file === undefined ? [] : [{ name: unit, file }]
  })

async function judgeUnitFiles(paths: AppPaths, manifest: Manifest, systemd: Systemd, install: string): Promise<Finding[]> {
  const gone = manifest.units.map(({ name }) => join(paths.units, name)).filter(isGone)
  if (gone.length > 0) return [fail(`${gone.join(', ')} ${gone.length === 1 ? 'is' : 'are'} gone`, install)]
  // Of an open socket whose address was edited judgeState says what to do: to remove its file and reload would close it.
  const sockets = readdressedSockets(paths, manifest).filter(({ file, name }) => file === join(paths.units, name)).map(({ name }) => name)
  const edited = (await systemd.show(sockets)).filter(({ active }) => active === 'active').map(({ unit }) => unit)
  checkUnedited({ ...manifest, units: manifest.units.filter(({ name }) => !edited.includes(name)) }, paths)
  return edited.length > 0 ? [] : [ok(`its ${manifest.units.length} units are as they were written`)]
}

/** The programs that its units run may have gone with an upgrade. */
function judgePrograms({ node, cli }: Manifest, { scope }: Places, install: string): Finding[] {
  const gone = [node, cli].filter(isGone)
  if (gone.length > 0) return [fail(`${gone.join(' and ')}, which its units run, ${gone.length === 1 ? 'is' : 'are'} gone: the next restart and every boot would fail`, install)]
  checkPrograms(node, cli, { scope })
  return []
}

async function judgeUnits(manifest: Manifest, systemd: Systemd, paths: AppPaths): Promise<Finding[]> {
  const systemctl = systemctlCommand(paths)
  // A template has no state of its own; its instances tell in judgeState.
  const names = manifest.units.map(({ name }) => name).filter((name) => !name.includes('@'))
  const states = await systemd.properties(names, ['LoadState', 'UnitFileState'])
  const units = names.map((name, i) => ({ name, ...(states[i] as (typeof states)[number]) }))
  const instances = await systemd.list(instancePattern(manifest.app))
  const reloads = await systemd.properties([...names, ...instances], ['NeedDaemonReload'])
  // Of a socket whose address was edited, a daemon-reload would be the end.
  const edited = readdressedSockets(paths, manifest).map(({ name }) => name)
  const stale = [...names, ...instances].filter((name, i) => reloads[i]?.NeedDaemonReload === 'yes' && !edited.includes(name))
  const findings = [
    ...units.filter(({ LoadState }) => LoadState !== 'loaded').map(({ name, LoadState }) =>
      LoadState === 'masked' ? fail(`${name} is masked`, `${systemctl} unmask ${name}`) : fail(`${name} is ${LoadState}`, `${systemctl} daemon-reload; ${systemctl} status ${name}`),
    ),
    ...stale.map((name) => warn(`${name} or a drop-in of it has changed since systemd read it`, `${systemctl} daemon-reload`)),
    ...units.filter(({ name, UnitFileState, LoadState }) => LoadState === 'loaded' && UnitFileState !== 'enabled' && (isListenerSocket(name) || name === appService(manifest.app))).map(({ name, UnitFileState }) =>
      warn(`${name} is ${UnitFileState}: it does not start at boot`, `${systemctl} enable ${name}`),
    ),
    ...units.filter(({ name, UnitFileState, LoadState }) => LoadState === 'loaded' && UnitFileState !== 'enabled' && name === shutdownService(manifest.app)).map(({ name, UnitFileState }) =>
      warn(`${name} is ${UnitFileState}: a shutdown of the machine waits for every drain, and not only for drain.shutdown_timeout`, `${systemctl} enable ${name}`),
    ),
  ]
  return findings.length > 0 ? findings : [ok('systemd has its units loaded and enabled')]
}

async function judgeState(places: Places, app: string, systemd: Systemd): Promise<Finding[]> {
  const observation = await observeApp(places, app, systemd)
  const { state, live, problems, lastHandover, service } = statusOf(observation)
  const systemctl = systemctlCommand(places)
  if (problems.length > 0) return problems.map(({ what, mend }) => fail(what, mend))
  switch (state) {
    case 'failed-deploy':
      return [warn(`the last deploy failed: ${lastHandover?.reason ?? 'no reason recorded'}; generation ${live?.generation} serves on`, `holdfast logs ${app} -n 50, mend it, then: ${systemctl} restart ${app}`)]
    case 'down':
      return [fail(`nothing serves; ${service.unit} is ${service.active}${lastHandover?.reason === undefined || lastHandover.reason === null ? '' : `: ${lastHandover.reason}`}`, `holdfast logs ${app} -n 50`)]
    case 'stopped':
      return [warn('it is stopped', `${systemctl} start ${app}`)]
    case 'empty':
      return [warn('no release is recorded yet', `${systemctl} restart ${app}`)]
    default:
      return [...observation.listeners.map(describeListener), ok(live === null ? state : `${state}: generation ${live.generation}, release ${live.release}`)]
  }
}

/** A listener without a fault, and how far that could be seen. */
function describeListener({ address, state, held, instances }: ListenerFacts): Finding {
  const where = formatAddress(address)
  if (held === undefined) return ok(`${state.unit} is active on ${where}; whether systemd has its socket, this user may not see`)
  return ok(instances.some(({ open }) => open !== undefined) ? `systemd holds ${where}, and what serves accepts on that socket` : `systemd holds ${where}`)
}

function judgeNeedrestart(app: string, install: string): Finding[] {
  return needrestartFile(app).map(({ path, text }) =>
    !isGone(path) && readFileSync(path, 'utf8') === text
      ? ok('needrestart leaves its instances alone')
      : warn(`needrestart is installed and would restart instances of ${app} after an upgrade, while clients wait`, install),
  )
}
