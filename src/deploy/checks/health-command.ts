import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { formatDuration } from '../../config/duration.js'
import type { Config, Health } from '../../config/model.js'
import type { Release } from '../../release/release.js'
import { makeRunFolder } from '../../release/run-folder.js'
import { privateSocket } from '../../release/standby.js'
import type { InstanceNumber } from '../../release/stop-reason.js'
import { releaseFolder } from '../../release/store.js'
import type { UnitState } from '../../systemd/systemd.js'
import { healthService } from '../../units/names.js'
import { endAppCommand, runAppCommand } from '../operation/app-command.js'
import type { InstalledApp } from '../app.js'
import { describeExit } from '../failure.js'
import { plainText } from '../foreign-text.js'
import type { ProbeAnswer } from './health-answer.js'

export type CommandProbe = Extract<Health['probe'], { kind: 'command' }>

/** Lines of the command's output that a message shows, and characters of each. Of a stack, the error says more than its frames. */
const shownLines = 5
const longestShown = 200
const longestCommand = 100

/** From SIGTERM to SIGKILL: a probe has nothing to tidy. */
const stopMs = 500

export interface CommandAsked {
  release: Release
  config: Config
  instance: InstanceNumber
  timeoutMs: number
  signal: AbortSignal
}

/**
 * Runs the command once, as the app's user in the app's sandbox, with the path of the instance's private socket. It is ended
 * with all that it has started when its time is over or the signal aborts.
 * @throws HoldfastError as `runAppCommand`
 */
export async function probeCommand(app: InstalledApp, probe: CommandProbe, { release, config, instance, timeoutMs, signal }: CommandAsked): Promise<ProbeAnswer> {
  const { generation, process } = instance
  const unit = healthService(app.paths.app, generation, process)
  const lines: string[] = []
  const what = `its health.command (${plainText(probe.command.text).slice(0, longestCommand)})`
  const socket = openSocket(app, instance)
  const ending = endOnAbort(app, unit, signal)
  try {
    if (signal.aborted) return { ok: false, kind: 'aborted', words: 'was not waited for' }
    const end = await runAppCommand(app, {
      key: 'health.command',
      command: probe.command,
      unit,
      name: folderOf(instance),
      description: `health.command of release ${release.id} of ${app.paths.app}, for generation and process ${generation}.${process}`,
      folder: releaseFolder(app.paths, release),
      writable: false,
      release,
      config,
      timeoutMs,
      stopMs,
      keeps: ['HOLDFAST_GENERATION', 'HOLDFAST_INSTANCE', ...(socket === undefined ? [] : ['HOLDFAST_PRIVATE_SOCKET'])],
      variables: [
        ['HOLDFAST_GENERATION', String(generation)],
        ['HOLDFAST_INSTANCE', `${generation}.${process}`],
        ...(socket === undefined ? [] : [['HOLDFAST_PRIVATE_SOCKET', socket.path] as [string, string]]),
        // Of no process that the command can be: with the runtime in it, it is a helper of the instance, and not the instance.
        ['HOLDFAST_PID', '1'],
      ],
      properties: [
        ...(socket?.properties ?? []),
        // One probe a second: what systemd has to say of each is in the answer.
        'LogLevelMax=crit',
      ],
      onLine(line) {
        const text = plainText(line).slice(0, longestShown)
        if (text === '' || /^\s+at /.test(line)) return
        lines.push(text)
        if (lines.length > shownLines) lines.shift()
      },
    })
    if (end.kind === 'refused') return { ok: false, kind: 'refused', words: `failed ${what}, which could not be started: ${plainText(end.message)}` }
    if (end.state.active === 'active') return { ok: true, words: `passed ${what}` }
    const { exit, result } = end.state
    const said = lines.length === 0 ? '' : `, saying "${lines.join(' / ')}"`
    return { ok: false, kind: `${result} ${exit?.status}`, words: `failed ${what}, which ${endWords(end.state, timeoutMs)}${said}` }
  } finally {
    ending.stop()
    socket?.close()
  }
}

/** What a probe has below /run/holdfast/<app>: its folder, and the place of the socket. */
const folderOf = ({ generation, process }: InstanceNumber): string => `health-${generation}.${process}`
const socketOf = ({ generation, process }: InstanceNumber): string => `${generation}.${process}.health`

/**
 * Ends what is left of the probes of a handover that was killed, whatever generation they were about.
 * @throws HoldfastError `systemd-failed` where one does not end
 */
export async function endProbes(app: Pick<InstalledApp, 'paths' | 'systemd'>): Promise<void> {
  const { paths, systemd } = app
  // No other app's: a name has no dot in it.
  const own = new RegExp(`^${paths.app}-health-\\d+\\.\\d+\\.service$`)
  const units = (await systemd.list(`${paths.app}-health-*.service`)).filter((unit) => own.test(unit))
  await Promise.all(units.map((unit) => endAppCommand(app, { unit, stopMs })))
  for (const name of existsSync(paths.run) ? readdirSync(paths.run) : []) {
    if (/^(?:health-\d+\.\d+|\d+\.\d+\.health)$/.test(name)) rmSync(join(paths.run, name), { recursive: true, force: true })
  }
}

/** Kills the command when the signal aborts, until it is stopped: at first, there may be no unit yet. */
function endOnAbort({ systemd }: InstalledApp, unit: string, signal: AbortSignal): { stop(): void } {
  let timer: NodeJS.Timeout | undefined
  const kill = (): void => void systemd.kill(unit, 'SIGKILL').catch(() => {}) // it may have ended
  const onAbort = (): void => {
    kill()
    timer = setInterval(kill, 200)
  }
  signal.addEventListener('abort', onAbort, { once: true })
  return {
    stop() {
      signal.removeEventListener('abort', onAbort)
      clearInterval(timer)
    },
  }
}

function endWords({ result, exit }: UnitState, timeoutMs: number): string {
  if (result === 'timeout') return `took longer than ${formatDuration(timeoutMs)} and was ended`
  if (result === 'oom-kill') return 'ran out of memory (limits.memory)'
  return exit === undefined ? `was stopped before its end (${result})` : describeExit(exit)
}

/**
 * Where the command reaches the private socket. Root alone may enter the socket's folder, as everybody may connect to it: into the
 * command's own mounts comes this one socket, over an empty file that others see. A user's own manager needs no mount.
 */
function openSocket({ paths }: InstalledApp, instance: InstanceNumber): { path: string; properties: string[]; close(): void } | undefined {
  const real = privateSocket(paths, instance)
  if (!existsSync(real)) return undefined
  if (paths.scope === 'user') return { path: real, properties: [], close: () => {} }
  const path = join(paths.run, socketOf(instance))
  makeRunFolder(paths)
  writeFileSync(path, '', { mode: 0o444 })
  return { path, properties: [`BindPaths=${real}:${path}`], close: () => rmSync(path, { force: true }) }
}
