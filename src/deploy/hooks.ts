import { accessSync, constants, mkdirSync, rmSync } from 'node:fs'
import { delimiter, dirname, isAbsolute, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Config, HookCommand } from '../config/model.js'
import { systemctlCommand } from '../release/command-words.js'
import { HoldfastError } from '../errors.js'
import { writeDurably } from '../release/durable-file.js'
import { environmentFile } from '../release/instance.js'
import { makeRunFolder } from '../release/run-folder.js'
import { openWritable } from '../release/writable-folder.js'
import { openJournal } from '../systemd/journal-output.js'
import type { Systemd, UnitState } from '../systemd/systemd.js'
import { hookService } from '../units/names.js'
import type { InstalledApp } from './app.js'
import { describeHookFailure } from './hook-failure.js'
import { openOutput } from './hook-output.js'
import { hookArguments, hookStopMs, hookVariables } from './hook-unit.js'
import { findProgram, systemPath } from './instances.js'
import { settingsOf } from './instance-settings.js'

export interface Hook {
  name: 'install' | 'migrate' | 'after_drain'
  command: HookCommand
  /** Absolute path of the release's code: the working directory. */
  folder: string
  /** Whether the hook may write there: the folder becomes the app's user's own. Else it is read-only. */
  writable: boolean
  release: { id: string }
  /** The release's own, whose environment it has. */
  config: Config
  timeoutMs: number
  /** Each line of its output, in order. The journal has them already, of the calling unit and as the app's. */
  onLine(line: string): void
  /** The unit with which the hook ends. */
  boundTo?: string
}

export type HookResult =
  | { ok: true; durationMs: number }
  /** `reason` is the end of a sentence that begins with the hook's key, such as `hooks.install`. */
  | { ok: false; reason: string; log: string[]; durationMs: number }

/** Lines of a failed hook's output that its result has. */
const logLines = 20

/**
 * Runs a hook in a unit of its own, as an instance of the release would run: the app's user, sandbox and limits, with the
 * admin's drop-ins. Nothing of it is left when this returns.
 * @throws HoldfastError `config-invalid` for an `env_file` that cannot be read; `systemd-failed`
 */
export async function runHook(app: InstalledApp, hook: Hook): Promise<HookResult> {
  const { paths, systemd } = app
  const unit = hookService(paths.app)
  const began = performance.now()
  const log: string[] = []
  const failed = (reason: string): HookResult => ({ ok: false, reason, log, durationMs: performance.now() - began })

  const [before] = await systemd.show([unit])
  if (before?.active === 'activating') return failed(`could not be started: another hook of ${paths.app} runs (${unit})`)
  await endHook(app)

  let argv: string[]
  try {
    argv = commandOf(hook, app.node)
  } catch (error) {
    return failed(`could not be started: ${(error as Error).message.replace(/^[^:]+: /, '')}`)
  }
  if (hook.writable) openWritable(hook.folder)
  const run = makeHookFolder(app, hook)
  let broken: unknown
  const journal = openJournal(paths.app)
  const output = openOutput(run.output, (line) => {
    journal.write(line)
    log.push(line)
    if (log.length > logLines) log.shift()
    try {
      hook.onLine(line)
    } catch (error) {
      if (broken === undefined) void systemd.queueStop([unit])
      broken ??= error
    }
  })
  let result: HookResult
  try {
    const settings = settingsOf(await systemd.cat(modelUnit(paths.app)), paths, modelUnit(paths.app))
    const args = hookArguments(
      {
        unit,
        description: `hooks.${hook.name} of release ${hook.release.id} of ${paths.app}`,
        folder: hook.folder,
        writable: hook.writable,
        environmentFiles: run.environmentFiles,
        output: run.output,
        timeoutMs: hook.timeoutMs,
        ...(hook.boundTo === undefined ? {} : { boundTo: await stateOf(systemd, hook.boundTo) }),
      },
      argv,
      settings,
      paths,
    )
    const end = await startAndWait(systemd, unit, args)
    result =
      end.kind === 'refused'
        ? failed(`could not be started: ${end.message}`)
        : end.state.active === 'active'
          ? { ok: true, durationMs: performance.now() - began }
          : failed(describeHookFailure(end.state, hook))
  } finally {
    // What it left running ends here, before its last lines are read.
    await endHook(app).finally(async () => {
      await Promise.all([output.close(), journal.close()])
      rmSync(run.folder, { recursive: true, force: true })
    })
  }
  if (broken !== undefined) throw broken
  return result
}

/**
 * Ends the hook of an app that may be left of a deploy that was killed, and waits for that. Fine where there is none.
 * @throws HoldfastError `systemd-failed` where it does not end
 */
export async function endHook({ paths, systemd }: Pick<InstalledApp, 'paths' | 'systemd'>): Promise<void> {
  const unit = hookService(paths.app)
  for (const deadline = Date.now() + hookStopMs + 20_000; ; await delay(100)) {
    const [state] = await systemd.show([unit])
    if (state === undefined || state.load === 'not-found' || (state.active === 'inactive' && (await systemd.job(unit)) === undefined)) return
    if (state.active === 'failed') await systemd.resetFailed([unit])
    else await systemd.run('stop', [unit])
    if (Date.now() > deadline) {
      throw new HoldfastError('systemd-failed', `${unit} does not end`, { hint: `${systemctlCommand(paths)} status ${unit}` })
    }
  }
}

/** No generation has this number: a hook's specifiers name no instance. */
const modelUnit = (app: string): string => `${app}@0.1.service`

async function stateOf(systemd: Systemd, unit: string): Promise<{ unit: string; isActive: boolean }> {
  return { unit, isActive: (await systemd.show([unit]))[0]?.active === 'active' }
}

/** An absolute program, as systemd has it; a relative one is in the release. */
function commandOf({ command: { argv }, folder, name }: Hook, node: string): string[] {
  const program = findProgram(argv[0] as string, node, `hooks.${name}`)
  return [isAbsolute(program) ? program : join(folder, program), ...argv.slice(1)]
}

/** The files of one hook, for root alone, gone after a reboot. */
function makeHookFolder({ paths, config: { envFile }, node }: InstalledApp, { config, release }: Hook): { folder: string; output: string; environmentFiles: string[] } {
  if (envFile !== undefined) checkReadable(envFile)
  makeRunFolder(paths)
  const folder = join(paths.run, 'hook')
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { mode: 0o700 })
  const path = [...new Set([dirname(node), ...systemPath])].join(delimiter)
  const environment = join(folder, 'environment')
  writeDurably(environment, environmentFile(hookVariables({ ...paths, release: release.id }, config.env, path)), 0o600)
  return { folder, output: join(folder, 'output'), environmentFiles: [environment, ...(envFile === undefined ? [] : [envFile])] }
}

function checkReadable(envFile: string): void {
  try {
    accessSync(envFile, constants.R_OK)
  } catch (error) {
    throw new HoldfastError('config-invalid', `env_file: ${envFile} cannot be read: ${(error as Error).message}`, {
      hint: `install -m 600 /dev/null ${envFile}`,
      cause: error,
    })
  }
}

type End = { kind: 'ended'; state: UnitState } | { kind: 'refused'; message: string }

/** The client tells when to look; what became of the hook is read from its unit. */
async function startAndWait(systemd: Systemd, unit: string, args: readonly string[]): Promise<End> {
  for (const deadline = Date.now() + 10_000; ; await delay(100)) {
    const { ok, message } = await systemd.runTransient(args)
    const end = await waitForEnd(systemd, unit)
    if (end !== undefined) return { kind: 'ended', state: end }
    // Made and gone: somebody stopped it. Else it was never made, which alone may be tried again.
    if (ok || /^Job for |waiting for job|wait for/im.test(message)) return { kind: 'ended', state: stopped(unit) }
    if (Date.now() > deadline || !/connect|transport|no reply|timed out/i.test(message)) return { kind: 'refused', message: message.split('\n')[0] as string }
  }
}

/** @returns undefined where there is no such unit (any more) */
async function waitForEnd(systemd: Systemd, unit: string): Promise<UnitState | undefined> {
  for (;;) {
    const [state] = await systemd.show([unit])
    if (state === undefined || state.load === 'not-found') return undefined
    if (state.active === 'active' || state.active === 'failed') return state
    if (state.active === 'inactive' && (await systemd.job(unit)) === undefined) return state.invocation === '' ? undefined : state
    await delay(200)
  }
}

const stopped = (unit: string): UnitState => ({
  unit, load: 'not-found', active: 'inactive', sub: 'dead', result: 'success', mainPid: 0, restarts: 0, exit: undefined, invocation: '', status: '',
  activeSince: undefined, memory: undefined,
})
