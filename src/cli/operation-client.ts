import { userInfo } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { shellWord } from '../config/shell.js'
import type { InstalledApp } from '../deploy/app.js'
import { FrameReader } from '../deploy/operation/deploy-frames.js'
import { sshClient, whoAsks } from '../deploy/operation/deploy-owner.js'
import { makeStaging, removeStaging, stagingFolder, type OperationRequest } from '../deploy/operation/deploy-request.js'
import { spoolFiles } from '../deploy/operation/deploy-site.js'
import { deployWords, observeDeploy, type ObservedDeploy } from '../deploy/operation/deploy-under-way.js'
import { followDeploy, startDeploy } from '../deploy/operation/deploy-unit.js'
import type { AskedSource } from '../deploy/operation/source-of.js'
import { requireInstalled } from '../deploy/install/uninstall-mark.js'
import { HoldfastError } from '../errors.js'
import { spoolInput } from '../release/spool.js'
import { cliPath, type GlobalOptions } from './context.js'
import { print } from './output.js'
import { progressPrinter, type ProgressPrinter } from './progress-printer.js'
import { version } from './version.js'

/** What a deploy, a rollback and an apply share on their command lines. */
export interface ClientOptions extends GlobalOptions {
  wait?: boolean
  json?: boolean
  /** The other end of `--to`: archives come in frames, and a first line says that they may. JSON of a `RemoteClient`. */
  remote?: string
}

/** What of a request may come on standard input. */
export interface Inputs {
  source?: AskedSource
  overlay?: AskedSource | undefined
}

/** Who asks, for the record and the history. */
export const whoAsksHere = (): string => whoAsks(process.env, userInfo().username, sshClient(process.env))

/** A command of this program, to paste into a shell. */
export const commandText = (words: readonly string[], { user }: GlobalOptions): string =>
  ['holdfast', ...(user === true ? ['--user'] : []), ...words].map(shellWord).join(' ')

/** What Ctrl-C and a lost terminal do, which changes with what is under way. */
export class Interrupts {
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
export async function withStaging<T>(app: InstalledApp, request: OperationRequest, asked: Inputs, options: ClientOptions, work: (gone: AbortSignal) => Promise<T>): Promise<T> {
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
      if (one?.kind === 'input' && input !== undefined) await spoolInput(frames?.archive() ?? { [Symbol.asyncIterator]: () => input }, file, config.source.maxBytes)
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
export const isNeeded = ({ source, overlay }: Inputs, { remote }: ClientOptions): boolean =>
  remote !== undefined || source?.kind === 'input' || overlay?.kind === 'input'

/**
 * Runs an operation in its unit, and shows how it goes.
 * @returns the exit status: 130 after Ctrl-C
 * @throws HoldfastError `busy` while somebody else has the lock, without `--wait`
 */
export async function operateInUnit(app: InstalledApp, request: OperationRequest, inputs: Inputs, options: ClientOptions): Promise<number> {
  const { paths, systemd } = app
  // Before anything is sent for nothing.
  const before = options.wait === true ? undefined : await observeDeploy(paths, systemd)
  if (before?.isRunning === true) throw busy(app, before, options)
  const printer = progressPrinter(paths.app, { json: options.json === true })
  const interrupts = new Interrupts()
  const forget = (): void => {
    printer.clear()
    removeStaging(paths, request.id)
    process.stderr.write('Nothing was begun.\n')
  }
  interrupts.handle(forget)
  let begunAt = Date.now()
  await withStaging(app, request, inputs, options, async (gone) => {
    for (;;) {
      requireInstalled(paths)
      interrupts.hold()
      begunAt = Date.now()
      const started = await startDeploy(paths, systemd, { node: process.execPath, cli: cliPath() }, request.id)
      if (started === 'started') break
      interrupts.handle(forget)
      if (options.wait !== true) throw busy(app, await observeDeploy(paths, systemd), options)
      await waitUntilFree(app, printer, gone)
    }
  })
  interrupts.handle(() => {
    printer.clear()
    if (options.json !== true) print(`It goes on. To see how: ${commandText(['logs', paths.app, '-f'], options)}`)
  })
  const end = await followDeploy(app, request, begunAt, (event) => printer.event(event))
  printer.event(end)
  if (isNeeded(inputs, options)) process.stdin.destroy()
  return end.status
}

/**
 * Of several that wait, one gets the lock, and the others wait on.
 * @throws HoldfastError `not-installed` when the app is removed meanwhile
 */
export async function waitUntilFree({ paths, systemd }: Pick<InstalledApp, 'paths' | 'systemd'>, printer: Pick<ProgressPrinter, 'event' | 'activity' | 'clear'>, gone: AbortSignal): Promise<void> {
  let told: string | undefined
  for (;;) {
    gone.throwIfAborted()
    requireInstalled(paths)
    const deploy = await observeDeploy(paths, systemd)
    if (deploy?.isRunning !== true) break
    const text = `waiting: ${deployWords(paths.app, deploy.record)}`
    if (deploy.record !== undefined && deploy.record.id !== told) printer.event({ type: 'note', text })
    told = deploy.record?.id ?? told
    printer.activity(text)
    await delay(500)
  }
  printer.clear()
}

function busy({ paths }: InstalledApp, deploy: ObservedDeploy | undefined, options: ClientOptions): HoldfastError {
  return new HoldfastError('busy', deployWords(paths.app, deploy?.record), { hint: `add --wait; or see how far it is: ${commandText(['logs', paths.app, '-f'], options)}` })
}
