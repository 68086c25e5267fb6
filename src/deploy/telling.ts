import type { Held, State } from '../release/state.js'
import { holdfastCommand, journalctlCommand } from '../release/command-words.js'
import type { InstalledApp } from './app.js'
import type { RunningInstance } from './observe.js'
import { notify, type NotifyEvent } from './notify.js'
import type { Handover, Member, Plan } from './plan.js'
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
  // An operation has said so when it began.
  if (handover.request.from !== 'order') notify(app, eventOf(handover, { event: 'started' }))
  for (const note of choice.notes) app.story.tell('setting-ignored', note, fieldsOf(handover))
}

export function tellReady(handover: Handover, members: readonly Member[], { afterMs, settleMs }: { afterMs: number; settleMs: number }): void {
  const { app } = handover
  const who = membersWords(handover, members)
  app.story.tell('candidate-ready', settleMs === 0 ? `${who} ready.` : `${who} ready after ${seconds(afterMs)}; it is watched for ${settleMs / 1000} s.`, {
    ...fieldsOf(handover), durationMs: afterMs,
  })
}

/** What goes through a stage, as the begin of a sentence. */
export function membersWords({ choice, plan }: Pick<Handover, 'choice' | 'plan'>, members: readonly Member[]): string {
  if (members.length === choice.config.processes) return `Generation ${plan.generation} is`
  return members.length === 1 ? `Process ${members[0]?.process} of generation ${plan.generation} is` : `${members.length} processes of generation ${plan.generation} are`
}

/** From its standby to the end of the bake. */
export function tellLetIn(handover: Handover, text: string): void {
  handover.app.story.tell('let-in', text, fieldsOf(handover))
}

/** Of a rolling handover. */
export function tellReplaced(handover: Handover, unit: string): void {
  handover.app.story.tell('drain-started', `${unit} told to stop accepting and to drain: a process of generation ${handover.plan.generation} has taken its place.`, fieldsOf(handover))
}

export function tellHeld(handover: Handover, { expires, kind, processes }: Held): void {
  const { app, choice, plan, state } = handover
  const { paths } = app
  const [command, name] = [holdfastCommand(paths), paths.app]
  const until = expires === undefined ? '' : ` It is discarded at ${expires}.`
  const serves = state.live === undefined ? 'nothing is live yet, so that connections wait for it' : `generation ${state.live.generation} serves on`
  notify(app, eventOf(handover, { event: 'held' }))
  const what = kind === 'hold' ? 'is held: it runs' : `has ${processes} of ${choice.config.processes} processes that answer`
  app.story.tell('held', `Generation ${plan.generation}, release ${choice.release.id}, ${what}, and ${serves}.${until} To look at it: ${command} preview ${name}; then ${command} promote ${name}, or ${command} abort ${name}.`, fieldsOf(handover))
}

export function tellPromotion(handover: Handover): void {
  const { app, choice, plan } = handover
  app.story.tell('deploy-started', `Promoting generation ${plan.generation}, release ${choice.release.id}, which was held; ${tellOlder(handover.state, plan)}.`, fieldsOf(handover))
}

export function tellStillHeld(handover: Handover, reason: string): void {
  notify(handover.app, eventOf(handover, { event: 'failed', reason }))
  handover.app.story.tell('deploy-failed', `Generation ${handover.plan.generation} is not promoted: ${reason}. It is still held, and what was live serves on.`, fieldsOf(handover))
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
  failure: { unit: string; reason: string; log: string[]; serving: number | undefined; durationMs: number; outcome: 'failed' | 'rolled-back'; figures: object | undefined },
): void {
  const { app, choice, plan } = handover
  const { unit, reason, log, serving, durationMs, outcome, figures } = failure
  const now = serving === undefined ? 'Nothing serves.' : `Generation ${serving} serves on.`
  const lines = [
    outcome === 'failed'
      ? `Release ${choice.release.id} did not become generation ${plan.generation}: ${reason}. ${now}`
      : `Release ${choice.release.id} was let in as generation ${plan.generation}, and is rolled back: ${reason}. ${now}`,
    ...(log.length === 0 ? ['It logged nothing.'] : ['Its last lines:', ...salientLines(log).map((line) => `    ${line}`)]),
    ...(log.some((line) => line.includes('EADDRINUSE')) ? [boundItself] : []),
    `See more: ${journalctlCommand(app.paths)} -u ${unit}`,
  ]
  notify(app, eventOf(handover, { event: outcome, reason, durationMs, ...(figures === undefined ? {} : { figures }) }))
  app.story.tell(outcome === 'failed' ? 'deploy-failed' : 'rolled-back', lines.join('\n'), { ...fieldsOf(handover), durationMs })
}

function eventOf({ app, request, state: { live }, choice, plan }: Handover, over: Pick<NotifyEvent, 'event' | 'reason' | 'durationMs' | 'figures'>): NotifyEvent {
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
