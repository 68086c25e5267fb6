import type { State } from '../release/state.js'
import { journalctlCommand } from '../release/command-words.js'
import type { InstalledApp } from './app.js'
import type { RunningInstance } from './observe.js'
import { notify, type NotifyEvent } from './notify.js'
import type { Handover, Plan } from './plan.js'
import type { EventFields } from './story.js'

/** The sentences of a handover. */

export function tellNothingToRun({ config, paths, story }: InstalledApp): void {
  const { app } = paths
  const how = config.directory === undefined ? '' : ` systemctl restart ${app} takes ${config.directory} as one.`
  story.tell('nothing-recorded', `Nothing to run: no release of ${app} is recorded yet.${how}`)
}

export function tellLeftovers({ story }: InstalledApp, { undo }: Plan): void {
  story.tell('leftover-undone', `A handover that did not end has left instances: ${listGenerations(undo)} told to drain.`)
}

export function tellStart(handover: Handover): void {
  const { app, state, choice, plan } = handover
  const live = tellOlder(state, plan)
  const kind = handover.request.from === 'order' ? 'release' : choice.reused === undefined ? 'the recorded release' : choice.reused ? 'the unchanged release' : 'the new release'
  const { directory } = app.config
  const folder = handover.request.from === 'record' && directory !== undefined ? ` A restart takes ${directory}.` : ''
  app.story.tell('deploy-started', `Starting generation ${plan.generation} from ${kind} ${choice.release.id}; ${live}.${folder}`, fieldsOf(handover))
  notify(app, eventOf(handover, { event: 'started' }))
  for (const note of choice.notes) app.story.tell('setting-ignored', note, fieldsOf(handover))
}

export function tellReady(handover: Handover, afterMs: number): void {
  const { app, choice, plan } = handover
  const settle = choice.config.start.settleMs / 1000
  app.story.tell('candidate-ready', `Generation ${plan.generation} is ready after ${seconds(afterMs)}; it is watched for ${settle} s.`, {
    ...fieldsOf(handover), durationMs: afterMs,
  })
}

export function tellLive(handover: Handover, durationMs: number): void {
  const { app, choice, plan } = handover
  const fields = { ...fieldsOf(handover), durationMs }
  notify(app, eventOf(handover, { event: 'live', durationMs }))
  app.story.tell('deploy-live', `Generation ${plan.generation} is live: release ${choice.release.id}, after ${seconds(durationMs)}.`, fields)
  if (plan.retire.length > 0) {
    app.story.tell('drain-started', `${listGenerations(plan.retire)} told to stop accepting and to drain.`, fields)
  }
}

/** Never seen yet; but two releases that serve side by side must not go unsaid. */
export function tellStillUp(handover: Handover, units: readonly string[]): void {
  if (units.length === 0) return
  handover.app.story.tell('drain-refused', `systemd does not stop ${units.join(', ')}, which goes on serving beside generation ${handover.plan.generation}: systemctl stop ${units.join(' ')}`, fieldsOf(handover))
}

const boundItself =
  'It bound its address itself, instead of taking the socket that systemd holds: start it with node --import holdfast/register, and name every address in [listen].'

export function tellFailed(
  handover: Handover,
  failure: { unit: string; reason: string; log: string[]; serving: number | undefined; durationMs: number },
): void {
  const { app, choice, plan } = handover
  const { unit, reason, log, serving, durationMs } = failure
  const now = serving === undefined ? 'Nothing serves.' : `Generation ${serving} serves on.`
  const lines = [
    `Release ${choice.release.id} did not become generation ${plan.generation}: ${reason}. ${now}`,
    ...(log.length === 0 ? ['It logged nothing.'] : ['Its last lines:', ...salientLines(log).map((line) => `    ${line}`)]),
    ...(log.some((line) => line.includes('EADDRINUSE')) ? [boundItself] : []),
    `See more: ${journalctlCommand(app.paths)} -u ${unit}`,
  ]
  notify(app, eventOf(handover, { event: 'failed', reason, durationMs }))
  app.story.tell('deploy-failed', lines.join('\n'), { ...fieldsOf(handover), durationMs })
}

function eventOf({ app, request, state: { live }, choice, plan }: Handover, over: Pick<NotifyEvent, 'event' | 'reason' | 'durationMs'>): NotifyEvent {
  const { kind, by } = request.from === 'order' ? request.order : { kind: request.from === 'folder' ? 'restart' as const : 'start' as const }
  return {
    app: app.paths.app, at: new Date().toISOString(), release: choice.release.id, generation: plan.generation, kind,
    ...(choice.release.version === undefined ? {} : { version: choice.release.version }),
    ...(live === undefined ? {} : { previous: { generation: live.generation, release: live.release } }),
    ...(by === undefined ? {} : { by }),
    ...over,
  }
}

function fieldsOf({ state, choice, plan }: Handover): EventFields {
  return { generation: plan.generation, release: choice.release.id, ...previous(state) }
}

function tellOlder({ live }: State, { retire }: Plan): string {
  if (live === undefined) return 'nothing is live yet'
  const runs = retire.some((instance) => instance.generation === live.generation)
  return runs ? `generation ${live.generation} is live` : `nothing runs; generation ${live.generation} was live last`
}

const previous = ({ live }: State): EventFields =>
  live === undefined ? {} : { previousGeneration: live.generation, previousRelease: live.release }

/** The end of a log without node's own frames, which crowd out the error that they follow. */
function salientLines(log: readonly string[]): string[] {
  return log.filter((line) => !/^\s+at .*\bnode:internal\//.test(line)).slice(-12)
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`

function listGenerations(instances: readonly RunningInstance[]): string {
  const sorted = [...new Set(instances.map((instance) => instance.generation))].sort((a, b) => a - b)
  return sorted.length === 1 ? `Generation ${sorted[0]} is` : `Generations ${sorted.slice(0, -1).join(', ')} and ${sorted.at(-1)} are`
}
