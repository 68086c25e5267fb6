import type { AppStatus, AppState, InstanceStatus } from '../deploy/observe/app-status.js'
import { holdfastCommand, systemctlCommand } from '../release/command-words.js'
import { plainText } from '../deploy/foreign-text.js'
import { operationWords } from '../deploy/operation/progress.js'
import { alignRows, bytesWords, drainWords, spanWords, timeWords } from './words.js'

/** An app's status for people to read. Pure: `now` is in milliseconds. */
export function statusText(status: AppStatus, now: number): string {
  const { app, live, held, deploy, afterDrain, wanted, service, listeners, preview, instances, lastHandover, problems } = status
  const rows = [
    [status.serving ? 'live' : 'recorded', live === null ? 'no release yet' : `generation ${live.generation}, release ${live.release}${live.version === null ? '' : ` (${plainText(live.version)})`}, since ${timeWords(live.since)} (${ago(live.since, now)})`],
    ['service', `${service.unit} is ${service.active}${service.active === 'failed' ? `: ${systemctlCommand(status)} status ${service.unit}` : ''}`],
    ...listeners.map(({ name, unit, addresses, active }) => [
      'listener', `${name}  ${addresses.join(', ')}  ${active === 'active' ? 'listening' : active} (${unit})`,
    ]),
    ...(preview === null ? [] : [['preview', `${preview.address}  ${preview.active === 'active' ? 'listening' : preview.active} (${preview.unit})`]]),
  ]
  if (live !== null && live.source !== null) rows.splice(1, 0, ['source', plainText(live.source)])
  if (held !== null) rows.push([heldWord(held), heldText(status, held, now)])
  if (deploy?.running === true) rows.push(['deploy', deployText(deploy, now)])
  if (lastHandover !== null) rows.push(['handover', handoverText(lastHandover, live?.generation, now)])
  if (afterDrain !== null && afterDrain.state !== 'failed') rows.push(['after_drain', afterDrainText(afterDrain, now)])
  if (wanted !== null && !isBusy(status)) rows.push(['wanted', wantedText(status, wanted)])
  const lines = [`${app}: ${stateWords(status)}`, ...alignRows(rows).map((line) => `  ${line}`)]
  if (instances.length > 0) {
    lines.push('', ...alignRows(instances.map((instance) => instanceRow(instance, now))).map((line) => `  ${line}`))
  }
  for (const { what, mend } of problems) lines.push('', `  Problem: ${plainText(what)}`, `  Try: ${mend}`)
  return lines.join('\n')
}

/** One line per app. */
export function listText(all: readonly AppStatus[], now: number): string {
  return alignRows(
    all.map((status) => [
      status.app,
      status.held === null ? status.state : `${status.state}, ${heldWord(status.held)} ${status.held.generation}`,
      status.live === null ? '-' : `generation ${status.live.generation}`,
      status.live === null ? '-' : status.live.release,
      status.live === null ? '-' : ago(status.live.since, now),
      status.listeners.flatMap(({ addresses }) => addresses).join(' ') || '-',
      status.problems.length === 0 ? '' : `${status.problems.length} problem${status.problems.length === 1 ? '' : 's'}: ${holdfastCommand(status)} status ${status.app}`,
    ]),
  ).join('\n')
}

/** While something is brought up, nobody is told what a restart would bring up. */
export const isBusy = ({ state, deploy }: Pick<AppStatus, 'state' | 'deploy'>): boolean => state === 'handover' || deploy?.running === true

const sentences: Record<AppState, string> = {
  'live': 'live',
  'handover': 'a handover is under way',
  'starting': 'a connection came, and it is being started',
  'failed-deploy': 'the last deploy failed; the release before serves on',
  'degraded': 'serving, but not as recorded',
  'idle': 'nothing runs; the next connection starts it',
  'down': 'nothing serves',
  'stopping': 'stopping: what runs drains',
  'stopped': 'stopped',
  'empty': 'nothing to run yet: no release is recorded',
}

export function stateWords({ state, serving, instances }: Pick<AppStatus, 'state' | 'serving'> & { instances: readonly Pick<InstanceStatus, 'generation' | 'phase'>[] }): string {
  if (state !== 'handover') return sentences[state]
  const serves = instances.find(({ phase }) => phase === 'live') ?? instances.find(({ phase }) => phase === 'ready')
  return `${sentences.handover}; ${serving && serves !== undefined ? `generation ${serves.generation} serves` : 'nothing serves yet'}`
}

export const heldWord = ({ kind }: { kind: 'hold' | 'canary' }): string => (kind === 'canary' ? 'canary' : 'held')

/** What is held, since when and until when, and what takes it on. */
export function heldText(status: Pick<AppStatus, 'app' | 'scope'>, { generation, release, version, kind, processes, since, expires }: NonNullable<AppStatus['held']>, now: number): string {
  const share = kind === 'canary' ? `, ${processes} process${processes === 1 ? '' : 'es'} beside the live ones` : ''
  const until = expires === null ? '' : `, ${Date.parse(expires) > now ? `expires in ${spanWords(Date.parse(expires) - now)}` : 'expired'}`
  const command = (verb: string): string => `${holdfastCommand(status)} ${verb} ${status.app}`
  return `generation ${generation}, release ${release}${version === null ? '' : ` (${plainText(version)})`}${share}, since ${timeWords(since)} (${ago(since, now)})${until}: ${command('promote')}, or ${command('abort')}`
}

export function handoverText(last: NonNullable<AppStatus['lastHandover']>, live: number | undefined, now: number): string {
  const { at, generation, release, outcome, reason, durationMs } = last
  const took = `${(durationMs / 1000).toFixed(1)} s`
  const what = generation === live ? '' : release === null ? 'refused, ' : `generation ${generation}, release ${release}, `
  const why = plainText(reason ?? 'no reason recorded')
  const words: Record<typeof outcome, string> = {
    'live': `live after ${took}`,
    'held': `held after ${took}`,
    'migrated': `migrated only, after ${took}`,
    'failed': `failed after ${took}: ${why}`,
    'rolled-back': `rolled back after ${took}: ${why}`,
    'interrupted': `interrupted after ${took}: ${why}`,
    'aborted': `discarded: ${why}`,
  }
  return `${ago(at, now)}: ${what}${words[outcome] ?? outcome}`
}

/** Whether a handover did not do what it was to do. */
export const hasFailed = ({ outcome }: Pick<NonNullable<AppStatus['lastHandover']>, 'outcome'>): boolean => outcome === 'failed' || outcome === 'rolled-back' || outcome === 'interrupted'

function deployText({ kind, by, what, since, step }: NonNullable<AppStatus['deploy']>, now: number): string {
  if (since === null) return 'one has just begun'
  return `${plainText(`${by} ${operationWords(kind, what ?? '')}`)} since ${timeWords(since)} (${ago(since, now)})${step === null ? '' : `, step ${plainText(step)}`}`
}

export function wantedText(status: Pick<AppStatus, 'app' | 'scope'>, { text, release }: NonNullable<AppStatus['wanted']>): string {
  const which = release === null ? `${text}, not on disk yet` : release === text ? text : `${text} (release ${release})`
  return `${plainText(which)}: ${systemctlCommand(status)} restart ${status.app} brings it up`
}

export function afterDrainText({ release, state, since, waitsFor }: NonNullable<AppStatus['afterDrain']>, now: number): string {
  const whose = `of release ${release}, since ${timeWords(since)} (${ago(since, now)})`
  if (state === 'running') return `runs: the hook ${whose}`
  const what = waitsFor.length === 0 ? '' : ` for generation${waitsFor.length === 1 ? '' : 's'} ${waitsFor.join(', ')}`
  return `waits${what}: the hook ${whose}`
}

function instanceRow({ generation, process, phase, pid, since, memoryBytes, restarts, status, failure }: InstanceStatus, now: number): string[] {
  const notes = [
    ...(restarts > 0 ? [`restarted ${restarts === 1 ? 'once' : `${restarts} times`}`] : []),
    ...(failure === null ? [] : [failure]),
    ...(status === null ? [] : [phase === 'draining' ? drainWords(status) : `"${plainText(status)}"`]),
  ]
  return [
    `${generation}.${process}`,
    phase,
    since === null ? '-' : spanWords(now - Date.parse(since)),
    pid === null ? '-' : `pid ${pid}`,
    memoryBytes === null ? '-' : bytesWords(memoryBytes),
    notes.join('; '),
  ]
}

export function ago(iso: string, now: number): string {
  return `${spanWords(now - Date.parse(iso))} ago`
}
