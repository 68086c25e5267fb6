import { accessSync, constants, mkdirSync, rmSync } from 'node:fs'
import { delimiter, dirname, isAbsolute, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Config, HookCommand } from '../../config/model.js'
import { HoldfastError } from '../../errors.js'
import { systemctlCommand } from '../../release/command-words.js'
import { writeDurably } from '../../release/durable-file.js'
import { environmentFile } from '../../release/instance.js'
import { makeRunFolder } from '../../release/run-folder.js'
import type { Systemd, UnitState } from '../../systemd/systemd.js'
import type { InstalledApp } from '../app.js'
import { openOutput } from './hook-output.js'
import { hookArguments, hookVariables, type CommandUnit } from './hook-unit.js'
import { findProgram, systemPath } from '../instances.js'
import { settingsOf } from '../instance-settings.js'

/** A command of a release's, run as an instance of it would run. */
export interface AppCommand extends Pick<CommandUnit, 'unit' | 'description' | 'folder' | 'writable' | 'timeoutMs' | 'stopMs' | 'keeps' | 'properties'> {
  /** The key of the configuration that names it, such as `hooks.install`, for messages. */
  key: string
  command: HookCommand
  /** Of its own files below /run/holdfast/<app>. */
  name: string
  release: { id: string }
  /** The release's own, whose environment it has. */
  config: Config
  /** More of the environment, over all. */
  variables?: readonly [string, string][]
  /** Each line of its output, in order. */
  onLine(line: string): void
  /** The unit with which it ends. */
  boundTo?: string
}

export type CommandEnd =
  /** What became of it stands in the state of its unit: `active` is an exit status of 0. */
  | { kind: 'ended'; state: UnitState }
  /** It never ran. */
  | { kind: 'refused'; message: string }

/**
 * Runs a command in a unit of its own: the app's user, sandbox and limits, with the admin's drop-ins. Nothing of it is left
 * when this returns.
 * @throws HoldfastError `config-invalid` for an `env_file` that cannot be read; `systemd-failed`
 */
export async function runAppCommand(app: InstalledApp, command: AppCommand): Promise<CommandEnd> {
  const { paths, systemd } = app
  const { unit } = command
  let argv: string[]
  try {
    argv = argvOf(command, app.node)
  } catch (error) {
    return { kind: 'refused', message: (error as Error).message.replace(/^[^:]+: /, '') }
  }
  const run = makeCommandFolder(app, command)
  const output = openOutput(run.output, command.onLine)
  try {
    const model = modelUnit(paths.app)
    const settings = settingsOf(await systemd.cat(model), paths, model)
    const { boundTo, ...own } = command
    const args = hookArguments(
      { ...own, environmentFiles: run.environmentFiles, output: run.output, ...(boundTo === undefined ? {} : { boundTo: await stateOf(systemd, boundTo) }) },
      argv,
      settings,
      paths,
    )
    return await startAndWait(systemd, unit, args)
  } finally {
    // What it left running ends here, before its last lines are read.
    await endAppCommand(app, command).finally(async () => {
      await output.close()
      rmSync(run.folder, { recursive: true, force: true })
    })
  }
}

/**
 * Ends a command that may be left of a deploy that was killed, and waits for that. Fine where there is none.
 * @throws HoldfastError `systemd-failed` where it does not end
 */
export async function endAppCommand({ paths, systemd }: Pick<InstalledApp, 'paths' | 'systemd'>, { unit, stopMs }: Pick<CommandUnit, 'unit' | 'stopMs'>): Promise<void> {
  for (const deadline = Date.now() + stopMs + 20_000; ; await delay(100)) {
    const [state] = await systemd.show([unit])
    if (state === undefined || state.load === 'not-found' || (state.active === 'inactive' && (await systemd.job(unit)) === undefined)) return
    if (state.active === 'failed') await systemd.resetFailed([unit])
    else await systemd.run('stop', [unit])
    if (Date.now() > deadline) {
      throw new HoldfastError('systemd-failed', `${unit} does not end`, { hint: `${systemctlCommand(paths)} status ${unit}` })
    }
  }
}

/** No generation has this number: a command's specifiers name no instance. */
const modelUnit = (app: string): string => `${app}@0.1.service`

async function stateOf(systemd: Systemd, unit: string): Promise<{ unit: string; isActive: boolean }> {
  return { unit, isActive: (await systemd.show([unit]))[0]?.active === 'active' }
}

/** An absolute program, as systemd has it; a relative one is in the release. */
function argvOf({ command: { argv }, folder, key }: AppCommand, node: string): string[] {
  const program = findProgram(argv[0] as string, node, key)
  return [isAbsolute(program) ? program : join(folder, program), ...argv.slice(1)]
}

/** The files of one command, for root alone, gone after a reboot. */
function makeCommandFolder({ paths, config: { envFile }, node }: InstalledApp, { name, config, release, variables = [] }: AppCommand): { folder: string; output: string; environmentFiles: string[] } {
  if (envFile !== undefined) checkReadable(envFile)
  makeRunFolder(paths)
  const folder = join(paths.run, name)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { mode: 0o700 })
  const path = [...new Set([dirname(node), ...systemPath])].join(delimiter)
  const environment = join(folder, 'environment')
  writeDurably(environment, environmentFile([...hookVariables({ ...paths, release: release.id }, config.env, path), ...variables]), 0o600)
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

/** The client tells when to look; what became of the command is read from its unit. */
async function startAndWait(systemd: Systemd, unit: string, args: readonly string[]): Promise<CommandEnd> {
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
