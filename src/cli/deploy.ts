import { existsSync, statSync } from 'node:fs'
import { isatty } from 'node:tty'
import { parseDuration } from '../config/duration.js'
import type { InstalledApp } from '../deploy/app.js'
import { ownIdentity } from '../deploy/operation/deploy-owner.js'
import { planDeploy } from '../deploy/operation/deploy-plan.js'
import { newDeployId, removeStaging, stagingFolder, type DeployRequest } from '../deploy/operation/deploy-request.js'
import { spoolFiles } from '../deploy/operation/deploy-site.js'
import { deployWords, observeDeploy } from '../deploy/operation/deploy-under-way.js'
import { fetchEnvironment } from '../deploy/operation/deploy-unit.js'
import { plainText } from '../deploy/foreign-text.js'
import { lastGit } from '../deploy/operation/last-git.js'
import { checkManager } from '../deploy/install/preflight.js'
import { overlayOf, sourceOf, sourceText, sourceArguments, spooled, type AskedSource, type PathKind } from '../deploy/operation/source-of.js'
import { HoldfastError } from '../errors.js'
import { installedApps } from '../release/manifest.js'
import { chooseApp, readDeployWords } from './choose-app.js'
import { openApp, placesFor } from './context.js'
import { planText } from './deploy-plan-text.js'
import { print } from './output.js'
import { barText } from './progress-text.js'
import { commandText, Interrupts, isNeeded, operateInUnit, whoAsksHere, withStaging, type ClientOptions } from './operation-client.js'
import { progressPrinter } from './progress-printer.js'

export interface DeployOptions extends ClientOptions {
  branch?: string
  commit?: string
  sha256?: string
  overlay?: string
  overlaySha256?: string
  /** false: `--no-install`. */
  install?: boolean
  migrate?: boolean
  migrateOnly?: boolean
  admission?: boolean
  hold?: boolean
  canary?: string
  auto?: boolean
  /** A duration. */
  expires?: string
  dryRun?: boolean
  to?: string
}

/** What the client at the other end of an ssh connection tells of itself. */
export interface RemoteClient {
  /** What its standard input is, there. */
  name?: string
  overlayName?: string
  /** The command that asks for the same again, there. */
  again: string
}

/** @returns the exit status: 130 after Ctrl-C */
export async function deployCommand(words: readonly string[], options: DeployOptions): Promise<number> {
  if (options.migrateOnly === true && options.migrate === false) throw usage('--migrate-only and --no-migrate together leave nothing to do', 'leave one of them out')
  if (options.overlaySha256 !== undefined && options.overlay === undefined) throw usage('--overlay-sha256 is the checksum of an overlay, and there is none', 'add --overlay ARCHIVE')
  readWaiting(options) // before anything is looked at
  if (options.to !== undefined) {
    const { deployRemotely } = await import('./remote.js')
    return deployRemotely(options.to, words, options)
  }
  const places = placesFor(options)
  checkManager(places.scope)
  const given = readDeployWords(words, installedApps(places), existsSync)
  const app = openApp(chooseApp(given.app, places), options)
  const remote = readRemote(options)
  const source = withName(chooseSource(app, given.source, options), remote?.name)
  const overlay = options.overlay === undefined ? undefined : withName(overlayOf(options.overlay, { ...surroundings(), ...(options.overlaySha256 === undefined ? {} : { sha256: options.overlaySha256 }) }), remote?.overlayName)
  const inputs = [source, overlay].filter((one) => one?.kind === 'input').length
  if (inputs === 2 && remote === undefined) throw usage('the source and the overlay cannot both be standard input', 'give one of them as a file')
  if (inputs > 0 && isatty(0)) throw usage('standard input is a terminal, and an archive is expected there', 'tar -cz -C FOLDER . | holdfast deploy APP -')
  if (options.dryRun === true) return showPlan(app, source, overlay, options)
  return operateInUnit(app, requestOf(app, source, overlay, options), { source, overlay }, options)
}

/** Where it stops, or has a look. */
function readWaiting({ hold, canary, auto, expires, migrateOnly }: DeployOptions): Pick<DeployRequest, 'hold' | 'canary'> {
  if (hold === true && canary !== undefined) throw usage('--hold and --canary exclude each other: one lets no process in, the other some', 'leave one of them out')
  if (auto === true && canary === undefined) throw usage('--auto is about --canary', 'add --canary COUNT, or leave it out: a deploy goes on by itself')
  const waits = hold === true || (canary !== undefined && auto !== true)
  if (waits && migrateOnly === true) throw usage('with --migrate-only nothing of the release runs that could wait', 'leave one of them out')
  if (expires !== undefined && !waits) throw usage('--expires is about what waits for a promotion, and nothing does', 'add --hold or --canary COUNT')
  const expiry = expires === undefined ? {} : { expiresMs: readExpiry(expires) }
  if (hold === true) return { hold: expiry }
  return canary === undefined ? {} : { canary: { processes: readCanaries(canary), auto: auto === true, ...expiry } }
}

function readExpiry(text: string): number {
  const ms = parseDuration(text)
  if (ms !== undefined && ms >= 1000) return ms
  throw usage(`--expires ${JSON.stringify(text)} is no time of a second or more`, 'write it as 30min or 2h')
}

function readCanaries(text: string): number {
  if (/^[1-9]\d{0,2}$/.test(text)) return Number(text)
  throw usage(`--canary ${JSON.stringify(text)}: expected a number of processes, from 1`, '--canary 1')
}

const surroundings = (): { cwd: string; kindOf: (path: string) => PathKind } => ({ cwd: process.cwd(), kindOf })

export function kindOf(path: string): PathKind {
  const stat = statSync(path, { throwIfNoEntry: false })
  return stat === undefined ? 'absent' : stat.isDirectory() ? 'folder' : stat.isFile() ? 'file' : 'other'
}

/** The source that is named, else the source folder of the app, else the repository of the live release. */
function chooseSource({ config, paths }: InstalledApp, word: string | undefined, { branch, commit, sha256 }: DeployOptions): AskedSource {
  const options = {
    ...surroundings(),
    ...(branch === undefined ? {} : { branch }), ...(commit === undefined ? {} : { commit }), ...(sha256 === undefined ? {} : { sha256 }),
  }
  if (word !== undefined) return sourceOf(word, options)
  if (config.directory !== undefined) return sourceOf(config.directory, options)
  const last = lastGit(paths)
  if (last !== undefined) return sourceOf(last.repository, { ...options, isRepository: true })
  throw usage(`${paths.app} has no source folder, and no release of it from git was ever live: what is to be deployed?`, `holdfast deploy ${paths.app} SOURCE   # a folder, an archive, an address, a git repository, or -`)
}

function requestOf(app: InstalledApp, source: AskedSource, overlay: AskedSource | undefined, options: DeployOptions): DeployRequest {
  const id = newDeployId()
  const files = spoolFiles(stagingFolder(app.paths, id))
  return {
    kind: 'deploy',
    id,
    app: app.paths.app,
    by: whoAsksHere(),
    what: `${sourceText(source)}${overlay === undefined ? '' : ` with overlay ${sourceText(overlay)}`}`,
    source: spooled(source, files.source),
    ...(overlay === undefined ? {} : { overlay: spooled(overlay, files.overlay) }),
    ...readWaiting(options),
    switches: { install: options.install !== false, migrate: options.migrate !== false, migrateOnly: options.migrateOnly === true },
    ...(options.admission === false ? { skipAdmission: true } : {}),
    env: fetchEnvironment(process.env),
    again: readRemote(options)?.again ?? commandText(['deploy', app.paths.app, ...sourceArguments(source), ...overlayWords(overlay), ...switchWords(options)], options),
    owner: ownIdentity(),
  }
}

function readRemote({ remote }: DeployOptions): RemoteClient | undefined {
  if (remote === undefined) return undefined
  try {
    const { name, overlayName, again } = JSON.parse(remote) as Partial<RemoteClient>
    const text = (value: unknown): string => plainText(String(value)).slice(0, 400)
    return { again: text(again), ...(name === undefined ? {} : { name: text(name) }), ...(overlayName === undefined ? {} : { overlayName: text(overlayName) }) }
  } catch {
    throw usage('--remote is for holdfast on another machine', 'holdfast deploy --to USER@HOST')
  }
}

const withName = (asked: AskedSource, name: string | undefined): AskedSource => (asked.kind === 'input' && name !== undefined ? { ...asked, name } : asked)

export const overlayWords = (overlay: AskedSource | undefined): string[] =>
  overlay === undefined ? [] : ['--overlay', ...sourceArguments(overlay).map((word) => (word === '--sha256' ? '--overlay-sha256' : word))]

/** The switches as they were given. */
export const switchWords = ({ install, migrate, migrateOnly, admission, hold, canary, auto, expires }: DeployOptions): string[] => [
  ...(install === false ? ['--no-install'] : []), ...(migrate === false ? ['--no-migrate'] : []), ...(migrateOnly === true ? ['--migrate-only'] : []), ...(admission === false ? ['--no-admission'] : []),
  ...(hold === true ? ['--hold'] : []), ...(canary === undefined ? [] : ['--canary', canary]), ...(auto === true ? ['--auto'] : []), ...(expires === undefined ? [] : ['--expires', expires]),
]

async function showPlan(app: InstalledApp, source: AskedSource, overlay: AskedSource | undefined, options: DeployOptions): Promise<number> {
  const request = requestOf(app, source, overlay, options)
  new Interrupts().handle(() => removeStaging(app.paths, request.id))
  const printer = progressPrinter(app.paths.app, { json: options.json === true })
  const plan = await withStaging(app, request, { source, overlay }, options, (gone) =>
    planDeploy(app, request, (event) => event.type === 'progress' && printer.activity(`${event.step}  ${barText(event)}`), gone))
  printer.clear()
  removeStaging(app.paths, request.id)
  if (options.json === true) print(JSON.stringify(plan, null, 2))
  else {
    print(planText(plan))
    const now = await observeDeploy(app.paths, app.systemd)
    if (now?.isRunning === true) print(`Now, ${deployWords(app.paths.app, now.record)}.`)
  }
  if (isNeeded({ source, overlay }, options)) process.stdin.destroy()
  return 0
}

const usage = (message: string, hint: string): HoldfastError => new HoldfastError('usage', message, { hint })
