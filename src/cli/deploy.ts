import { existsSync, statSync } from 'node:fs'
import { userInfo } from 'node:os'
import { isatty } from 'node:tty'
import { setTimeout as delay } from 'node:timers/promises'
import type { InstalledApp } from '../deploy/app.js'
import { FrameReader } from '../deploy/deploy-frames.js'
import { ownIdentity, sshClient, whoAsks } from '../deploy/deploy-owner.js'
import { planDeploy } from '../deploy/deploy-plan.js'
import { makeStaging, newDeployId, removeStaging, stagingFolder, type DeployRequest } from '../deploy/deploy-request.js'
import { spoolFiles } from '../deploy/deploy-site.js'
import { spool } from '../deploy/deploy-spool.js'
import { fetchEnvironment, followDeploy, holderOf, isDeploying, startDeploy } from '../deploy/deploy-unit.js'
import { checkManager } from '../deploy/preflight.js'
import { overlayOf, sourceOf, sourceText, sourceWords, spooled, type AskedSource, type PathKind } from '../deploy/source-of.js'
import { HoldfastError } from '../errors.js'
import { shellWord } from '../release/instance.js'
import { installedApps } from '../release/manifest.js'
import { listReleases } from '../release/store.js'
import { chooseApp, readDeployWords } from './choose-app.js'
import { cliPath, openApp, placesFor, type GlobalOptions } from './context.js'
import { planText } from './deploy-plan-text.js'
import { print } from './output.js'
import { barText } from './progress-text.js'
import { progressPrinter, type ProgressPrinter } from './progress-printer.js'
import { version } from './version.js'
import { plainText, spanWords } from './words.js'

export interface DeployOptions extends GlobalOptions {
  branch?: string
  commit?: string
  sha256?: string
  overlay?: string
  overlaySha256?: string
  /** false: `--no-install`. */
  install?: boolean
  migrate?: boolean
  migrateOnly?: boolean
  wait?: boolean
  dryRun?: boolean
  json?: boolean
  to?: string
  /** The other end of `--to`: archives come in frames, and a first line says that they may. JSON of a `RemoteClient`. */
  remote?: string
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
  return options.dryRun === true ? showPlan(app, source, overlay, options) : deployHere(app, source, overlay, options)
}

const surroundings = (): { cwd: string; kindOf: (path: string) => PathKind } => ({ cwd: process.cwd(), kindOf })

export function kindOf(path: string): PathKind {
  const stat = statSync(path, { throwIfNoEntry: false })
  return stat === undefined ? 'absent' : stat.isDirectory() ? 'folder' : stat.isFile() ? 'file' : 'other'
}

/** The source that is named, else the source folder of the app, else the repository that it was deployed from last. */
function chooseSource({ config, paths }: InstalledApp, word: string | undefined, { branch, commit, sha256 }: DeployOptions): AskedSource {
  const options = {
    ...surroundings(),
    ...(branch === undefined ? {} : { branch }), ...(commit === undefined ? {} : { commit }), ...(sha256 === undefined ? {} : { sha256 }),
  }
  if (word !== undefined) return sourceOf(word, options)
  if (config.directory !== undefined) return sourceOf(config.directory, options)
  const last = listReleases(paths).findLast(({ source }) => source.kind === 'git')?.source
  if (last?.kind === 'git') return sourceOf(last.repository, { ...options, isRepository: true })
  throw usage(`${paths.app} has no source folder, and was never deployed from git: what is to be deployed?`, `holdfast deploy ${paths.app} SOURCE   # a folder, an archive, an address, a git repository, or -`)
}

function requestOf(app: InstalledApp, source: AskedSource, overlay: AskedSource | undefined, options: DeployOptions): DeployRequest {
  const id = newDeployId()
  const files = spoolFiles(stagingFolder(app.paths, id))
  return {
    id,
    app: app.paths.app,
    by: whoAsks(process.env, userInfo().username, sshClient(process.env)),
    what: `${sourceText(source)}${overlay === undefined ? '' : ` with overlay ${sourceText(overlay)}`}`,
    source: spooled(source, files.source),
    ...(overlay === undefined ? {} : { overlay: spooled(overlay, files.overlay) }),
    switches: { install: options.install !== false, migrate: options.migrate !== false, migrateOnly: options.migrateOnly === true },
    env: fetchEnvironment(process.env),
    again: readRemote(options)?.again ?? commandText(['deploy', app.paths.app, ...sourceWords(source), ...overlayWords(overlay), ...switchWords(options)], options),
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
  overlay === undefined ? [] : ['--overlay', ...sourceWords(overlay).map((word) => (word === '--sha256' ? '--overlay-sha256' : word))]

/** The switches as they were given. */
export const switchWords = ({ install, migrate, migrateOnly }: DeployOptions): string[] => [
  ...(install === false ? ['--no-install'] : []), ...(migrate === false ? ['--no-migrate'] : []), ...(migrateOnly === true ? ['--migrate-only'] : []),
]

/** A command of this program, to paste into a shell. */
export const commandText = (words: readonly string[], { user }: GlobalOptions): string =>
  ['holdfast', ...(user === true ? ['--user'] : []), ...words].map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : shellWord(word))).join(' ')

/** What Ctrl-C and a lost terminal do, which changes with what is under way. */
class Interrupts {
  private leave: (() => void) | undefined
  private came = false

  constructor() {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => {
        this.came = true
        this.leave?.()
      })
    }
  }

  /** From now on an interrupt does this and ends with status 130; one that came in between, at once. */
  handle(leave: () => void): void {
    this.leave = () => {
      leave()
      process.exit(130)
    }
    if (this.came) this.leave()
  }

  /** From now on an interrupt waits for the next `handle`. */
  hold(): void {
    this.leave = undefined
  }
}

/** Makes the staging folder of a request, with all in it that comes from standard input. It goes when the work throws. */
async function withStaging<T>(app: InstalledApp, request: DeployRequest, asked: { source: AskedSource; overlay: AskedSource | undefined }, options: DeployOptions, work: (gone: AbortSignal) => Promise<T>): Promise<T> {
  const { paths, config } = app
  const gone = new AbortController()
  try {
    makeStaging(paths, request)
    if (options.remote !== undefined) print(JSON.stringify({ type: 'ready', version }))
    const files = spoolFiles(stagingFolder(paths, request.id))
    // Not even opened where nothing is to be read of it: it may be the list of a loop around us.
    const input = isNeeded(asked, options) ? (process.stdin.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>) : undefined
    const frames = input === undefined || options.remote === undefined ? undefined : new FrameReader(input)
    for (const [one, file] of [[asked.source, files.source], [asked.overlay, files.overlay]] as const) {
      if (one?.kind === 'input' && input !== undefined) await spool(frames?.archive() ?? { [Symbol.asyncIterator]: () => input }, file, config.source.maxBytes)
    }
    // Only for as long as it has not begun: a deploy does not end with its client.
    void frames?.end().then(() => gone.abort(new HoldfastError('fetch-failed', 'the connection ended: nothing was begun')), () => {})
    return await work(gone.signal)
  } catch (error) {
    removeStaging(paths, request.id)
    throw error
  }
}

/** Of another machine, the end of it tells that its client is gone. */
const isNeeded = ({ source, overlay }: { source: AskedSource; overlay: AskedSource | undefined }, { remote }: DeployOptions): boolean =>
  remote !== undefined || source.kind === 'input' || overlay?.kind === 'input'

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
    if (await isDeploying(app.paths, app.systemd)) print(`Now, ${busyText(app)}.`)
  }
  if (isNeeded({ source, overlay }, options)) process.stdin.destroy()
  return 0
}

async function deployHere(app: InstalledApp, source: AskedSource, overlay: AskedSource | undefined, options: DeployOptions): Promise<number> {
  const { paths, systemd } = app
  // Before anything is sent for nothing.
  if (options.wait !== true && (await isDeploying(paths, systemd))) throw busy(app, options)
  const printer = progressPrinter(paths.app, { json: options.json === true })
  const request = requestOf(app, source, overlay, options)
  const interrupts = new Interrupts()
  const forget = (): void => {
    printer.clear()
    removeStaging(paths, request.id)
    process.stderr.write('Nothing was begun.\n')
  }
  interrupts.handle(forget)
  await withStaging(app, request, { source, overlay }, options, async (gone) => {
    for (;;) {
      interrupts.hold()
      const started = await startDeploy(paths, systemd, { node: process.execPath, cli: cliPath() }, request.id)
      if (started === 'started') break
      interrupts.handle(forget)
      if (options.wait !== true) throw busy(app, options)
      await waitUntilFree(app, printer, gone)
    }
  })
  interrupts.handle(() => {
    printer.clear()
    if (options.json !== true) print(`The deploy goes on. To see how: ${commandText(['logs', paths.app, '-f'], options)}`)
  })
  const end = await followDeploy(app, request.id, request.again, (event) => printer.event(event))
  printer.event(end)
  if (isNeeded({ source, overlay }, options)) process.stdin.destroy()
  return end.status
}

/** Of several that wait, one gets the lock, and the others wait on. */
async function waitUntilFree(app: InstalledApp, printer: ProgressPrinter, gone: AbortSignal): Promise<void> {
  let told: string | undefined
  while (await isDeploying(app.paths, app.systemd)) {
    gone.throwIfAborted()
    const holder = holderOf(app.paths)
    if (holder !== undefined && holder.id !== told) printer.event({ type: 'note', text: `waiting: ${busyText(app)}` })
    told = holder?.id ?? told
    printer.activity(`waiting: ${busyText(app)}`)
    await delay(500)
  }
  printer.clear()
}

function busy(app: InstalledApp, options: DeployOptions): HoldfastError {
  return new HoldfastError('busy', busyText(app), { hint: `add --wait; or see how far it is: ${commandText(['logs', app.paths.app, '-f'], options)}` })
}

/** `anna deploys /srv/x to shop since 10:31 (2 min), now at step install`. */
function busyText({ paths }: InstalledApp): string {
  const holder = holderOf(paths)
  if (holder === undefined) return `somebody else deploys ${paths.app}, or prunes its releases`
  const { by, what, since, step } = holder
  const time = new Date(since).toTimeString().slice(0, 5)
  return `${plainText(by)} deploys ${plainText(what)} to ${paths.app} since ${time} (${spanWords(Date.now() - Date.parse(since))}), now at step ${step}`
}

const usage = (message: string, hint: string): HoldfastError => new HoldfastError('usage', message, { hint })
