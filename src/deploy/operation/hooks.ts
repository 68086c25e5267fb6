import type { Config, HookCommand } from '../../config/model.js'
import { openWritable } from '../../release/writable-folder.js'
import { openJournal } from '../../systemd/journal-output.js'
import { hookService } from '../../units/names.js'
import { endAppCommand, runAppCommand, type CommandEnd } from './app-command.js'
import type { InstalledApp } from '../app.js'
import { describeHookFailure } from './hook-failure.js'
import { hookStopMs } from './hook-unit.js'

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

  if (hook.writable) openWritable(hook.folder)
  let broken: unknown
  const journal = openJournal(paths.app)
  let end: CommandEnd
  try {
    end = await runAppCommand(app, {
      ...hook,
      unit,
      key: `hooks.${hook.name}`,
      name: 'hook',
      description: `hooks.${hook.name} of release ${hook.release.id} of ${paths.app}`,
      stopMs: hookStopMs,
      onLine(line) {
        journal.write(line)
        log.push(line)
        if (log.length > logLines) log.shift()
        try {
          hook.onLine(line)
        } catch (error) {
          if (broken === undefined) void systemd.queueStop([unit])
          broken ??= error
        }
      },
    })
  } finally {
    await journal.close()
  }
  if (broken !== undefined) throw broken
  if (end.kind === 'refused') return failed(`could not be started: ${end.message}`)
  return end.state.active === 'active' ? { ok: true, durationMs: performance.now() - began } : failed(describeHookFailure(end.state, hook))
}

/** Ends the hook of an app that may be left of a deploy that was killed: see `endAppCommand`. */
export const endHook = (app: Pick<InstalledApp, 'paths' | 'systemd'>): Promise<void> => endAppCommand(app, { unit: hookService(app.paths.app), stopMs: hookStopMs })
