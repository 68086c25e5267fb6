import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { isAbsolute } from 'node:path'
import { HoldfastError } from '../errors.js'
import type { HandoverKind } from '../release/history.js'
import { notifyService } from '../units/names.js'
import type { InstalledApp } from './app.js'
import { findProgram } from './instances.js'
import { notifyArguments } from './notify-unit.js'

export const notifyEvents = ['started', 'held', 'live', 'failed', 'rolled-back', 'aborted', 'drained'] as const

/** What a notifier is told; documented in docs/deploying.md, and stable. What is absent here is null there. */
export interface NotifyEvent {
  event: (typeof notifyEvents)[number]
  app: string
  /** ISO 8601, UTC. */
  at: string
  release?: string
  /** Of the release. */
  version?: string
  generation?: number
  /** What was live before. */
  previous?: { generation: number; release: string }
  kind?: HandoverKind
  by?: string
  reason?: string
  durationMs?: number
  /** Numbers that explain it: of a bake, of a drain. */
  figures?: object
}

/** How long systemd-run(1) may take to hand the notifier to systemd. All that a hanging bus costs: the caller ends that much later. */
const startMs = 2_000

/** Of an event, in characters: a reason may be as long as a message of the app's, and the whole becomes one argument of a program. */
const longestReason = 8_192
const longestFigures = 16_384

/**
 * Tells the notifier of `[notify]`, in a unit of its own: whatever becomes of it is no concern of the caller's, which is
 * neither kept waiting nor told. Never throws. The process lives until systemd has the unit, for 2 s at most.
 */
export function notify(app: InstalledApp, event: NotifyEvent): void {
  const { notify: settings } = app.config
  if (settings === undefined) return
  void tell(app, settings, event).catch(() => {})
}

async function tell(app: InstalledApp, settings: { command: readonly string[]; timeoutMs: number }, event: NotifyEvent): Promise<void> {
  try {
    const { paths } = app
    const args = notifyArguments(
      { unit: notifyService(paths.app, notifyId()), event: event.event, input: eventText(event), command: commandOf(settings.command, app.node), timeoutMs: settings.timeoutMs, node: app.node },
      paths,
    )
    const { ok, message } = await app.systemd.runTransient(args, { timeoutMs: startMs })
    if (!ok) throw new HoldfastError('systemd-failed', message === '' ? `systemd-run did not end within ${startMs / 1000} s` : (message.split('\n')[0] as string))
  } catch (error) {
    app.story.tell('notify-failed', `Nobody was told that ${app.paths.app} is ${event.event}: the notifier could not be started: ${(error as Error).message}`, {
      ...(event.generation === undefined ? {} : { generation: event.generation }), ...(event.release === undefined ? {} : { release: event.release }),
    })
  }
}

/** What the notifier reads: one line of JSON. */
export function eventText({ event, app, at, release, version, generation, previous, kind, by, reason, durationMs, figures }: NotifyEvent): string {
  return `${JSON.stringify({
    version: 1,
    event,
    app,
    host: hostname(),
    at,
    release: release ?? null,
    releaseVersion: version ?? null,
    generation: generation ?? null,
    previous: previous ?? null,
    kind: kind ?? null,
    by: by ?? null,
    reason: reason === undefined ? null : reason.length > longestReason ? `${reason.slice(0, longestReason)}…` : reason,
    durationMs: durationMs === undefined ? null : Math.round(durationMs),
    figures: figures === undefined || JSON.stringify(figures).length > longestFigures ? null : figures,
  })}\n`
}

/** Differs with every notification; see `notifyPattern`. */
const notifyId = (): string => `${String(Math.floor(Date.now() / 1000)).padStart(10, '0')}_${randomBytes(4).toString('hex')}`

/** @throws HoldfastError `config-invalid` where there is no such program */
function commandOf(command: readonly string[], node: string): string[] {
  const program = findProgram(command[0] as string, node, 'notify.command')
  if (!isAbsolute(program)) throw new HoldfastError('config-invalid', `notify.command: ${program} is relative, and there is no folder that it could be in`)
  return [program, ...command.slice(1)]
}
