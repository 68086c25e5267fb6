import { statSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import type { Config } from '../../config/model.js'
import { parseConfig } from '../../config/parse.js'
import { readConfigFile } from '../../config/read-file.js'
import { loadReleaseConfig, mergeRelease } from '../../config/release.js'
import { HoldfastError } from '../../errors.js'
import { readManifest } from '../../release/manifest.js'
import type { Release } from '../../release/release.js'
import type { State } from '../../release/state.js'
import { installFile, readRelease, releaseFolder } from '../../release/store.js'
import { planDependencies } from '../../release/dependencies.js'
import { readVersion } from '../../release/version.js'
import { renderUnits } from '../../units/render.js'
import type { InstalledApp } from '../app.js'
import type { StagedCode } from './deploy-code.js'
import type { DeploySite } from './deploy-site.js'
import { diffTexts } from '../install/diff.js'
import type { DeployRequest } from './deploy-request.js'
import { findProgram, requireStandby } from '../instances.js'

/** A release that can be one: what its own configuration makes of it. */
export interface CheckedCode {
  code: StagedCode
  /** The installed configuration with what the release itself may set. */
  config: Config
  /** What the release proposes that is not in force. */
  notes: string[]
  /** How its units would differ from the installed ones; empty where they would not. */
  unitDiff: string
  version?: string
}

/**
 * @param id of the release that it is to be; absent: it will be none
 * @throws HoldfastError `config-invalid`
 */
export function checkCode({ app, request }: DeploySite, code: StagedCode, id?: string): CheckedCode {
  const file = 'holdfast.toml'
  const text = readConfigFile(join(code.folder, file), { trusted: false })
  const { config, notes } = mergeRelease(app.config, text, { file, ...(id === undefined ? {} : { installFile: installFile(app.paths, { id, source: code.source }) }) })
  requireWaiting(app, request, config)
  // An install hook may be what makes the program.
  if (config.hooks.install === undefined || !request.switches.install) requireProgram(app, config, code.folder)
  const version = readVersion(code.folder, app.config.source)
  return { code, config, notes, unitDiff: notes.length === 0 || text === undefined ? '' : diffUnits(app, text, file), ...(version === undefined ? {} : { version }) }
}

/** What is asked to wait for a promotion must be able to. */
function requireWaiting(app: InstalledApp, { hold, canary }: DeployRequest, config: Config): void {
  if (hold !== undefined) requireStandby(app, config)
  const { processes } = config
  if (canary === undefined || canary.processes <= processes) return
  throw new HoldfastError('config-invalid', `--canary ${canary.processes}: a generation of this release has ${processes} process${processes === 1 ? '' : 'es'} (\`processes\`)`, { hint: `write --canary ${processes}, or a larger \`processes\` into its holdfast.toml` })
}

/** The program that the command runs must be in the release, or on this machine. @throws HoldfastError `config-invalid` */
export function requireProgram({ node }: InstalledApp, { command }: Config, folder: string): void {
  const [program = ''] = command
  const found = findProgram(program, node)
  const file = isAbsolute(found) ? found : join(folder, found)
  const stat = statSync(file, { throwIfNoEntry: false })
  if (stat?.isFile() === true && (stat.mode & 0o111) !== 0) return
  throw new HoldfastError('config-invalid', `command: ${program} cannot be run: ${stat === undefined ? 'there is no such file in the release' : 'it is no executable file'}`, {
    hint: `correct command in the release's holdfast.toml, or put ${program} into it, executable; then deploy again`,
  })
}

/** The units as they would be if the release's own configuration were installed, against those that are. */
function diffUnits({ paths, config: installed }: InstalledApp, text: string, file: string): string {
  const manifest = readManifest(paths)
  if (manifest === undefined) return ''
  const proposed = parseConfig(text, { file, trusted: false, app: paths.app, folder: installed.directory ?? `/srv/${paths.app}` })
  const { node, cli, homePaths } = manifest
  const after = renderUnits(proposed, { scope: paths.scope, node, cli, homePaths, instances: paths.instances, run: paths.run })
  const names = [...new Set([...manifest.units, ...after].map(({ name }) => name))]
  return names
    .map((name) => {
      const [one, other] = [manifest.units, after].map((units) => units.find((unit) => unit.name === name)?.text)
      return one === other ? '' : diffTexts({ label: one === undefined ? '/dev/null' : `${name} installed`, text: one ?? '' }, { label: other === undefined ? '/dev/null' : `${name} proposed`, text: other ?? '' })
    })
    .join('')
}

/** What becomes of one hook in this deploy. */
export type HookPlan =
  | { action: 'run'; command: string; why?: string }
  /** The dependencies of another release are taken over. */
  | { action: 'reuse'; from: Release; why: string }
  | { action: 'skip'; why: string }

export interface HookPlans {
  install: HookPlan
  migrate: HookPlan
  afterDrain: HookPlan
}

/** Which hooks run, and why not the others. Reads files, changes nothing. */
export function planHooks({ app, request: { switches } }: DeploySite, { code, config }: CheckedCode, state: State): HookPlans {
  const { install, migrate, afterDrain } = config.hooks
  return {
    install: install === undefined
      ? { action: 'skip', why: 'the release has no hooks.install' }
      : switches.install ? planInstallHook(app, code.folder, config, install.text, state) : { action: 'skip', why: '--no-install' },
    migrate: migrate === undefined
      ? { action: 'skip', why: 'the release has no hooks.migrate' }
      : switches.migrate ? { action: 'run', command: migrate.text } : { action: 'skip', why: '--no-migrate' },
    afterDrain: afterDrain === undefined
      ? { action: 'skip', why: 'the release has no hooks.after_drain' }
      : switches.migrateOnly ? { action: 'skip', why: '--migrate-only' } : { action: 'run', command: afterDrain.text, why: 'once the last older instance has ended' },
  }
}

function planInstallHook(app: InstalledApp, folder: string, config: Config, command: string, { live }: State): HookPlan {
  const previous = live === undefined ? undefined : findPrevious(app, live.release)
  const plan = planDependencies({ folder, config, ...(previous === undefined ? {} : { previous }) })
  if (plan.kind === 'none') return { action: 'skip', why: plan.why }
  if (plan.kind === 'reuse' && previous !== undefined) return { action: 'reuse', from: previous.release, why: plan.why }
  return { action: 'run', command, why: plan.why }
}

/** The live release, to take dependencies from; undefined where it is gone or cannot be read. */
function findPrevious({ paths, config: installed }: InstalledApp, id: string): { release: Release; folder: string; config: Config } | undefined {
  try {
    const release = readRelease(paths, id)
    const folder = releaseFolder(paths, release)
    return { release, folder, config: loadReleaseConfig(installed, folder).config }
  } catch (error) {
    if (error instanceof HoldfastError) return undefined
    throw error
  }
}
