import type { AppState } from '../deploy/observe/app-status.js'
import { lineText, plainText } from '../deploy/foreign-text.js'
import { operationWords, type DeployEvent } from '../deploy/operation/progress.js'
import type { View, WatchedStatus } from '../deploy/observe/watch-view.js'
import type { StoryLine } from '../deploy/observe/watch-story.js'
import { holdfastCommand, systemctlCommand } from '../release/command-words.js'
import { barText } from './progress-text.js'
import { afterDrainText, ago, handoverText, hasFailed, isBusy, stateWords, wantedText } from './status-text.js'
import { cutLine, lineWidth, wrapText, type Line, type Span, type Style } from './terminal-line.js'
import { instanceLines } from './watch-table.js'
import { clockWords, shortSpan } from './watch-words.js'

/** All that the live view of one app shows. */
export interface WatchModel {
  app: string
  /** Undefined before the first look. */
  view: View | undefined
  /** The events of the deploy that is under way, as far as they may be read. */
  deploy: readonly DeployEvent[]
  /** Oldest first. */
  story: readonly StoryLine[]
  /** Why the last look has failed. */
  fault: string | undefined
}

export interface FrameSize {
  columns: number
  rows: number
}

/** A reason may be as long as somebody made it. */
const mostRowLines = 4

/** How many events are shown where there is room. */
export const mostEvents = 8

export const stateStyles: Record<AppState, Style> = {
  'live': 'green', 'handover': 'yellow', 'starting': 'yellow', 'failed-deploy': 'red', 'degraded': 'yellow', 'idle': 'dim',
  'down': 'red', 'stopping': 'yellow', 'stopped': 'dim', 'empty': 'dim',
}

/** The lines of a frame, none wider than the screen and no more than it has rows. Pure: `now` is in milliseconds. */
export function watchFrame(model: WatchModel, size: FrameSize, now: number): Line[] {
  const { app, view, story, fault } = model
  const title = view === undefined ? 'looking' : stateWords(view.status)
  const lines: Line[] = [titleLine(app, { text: title, style: view === undefined ? 'dim' : stateStyles[view.status.state] }, now, size.columns)]
  if (fault !== undefined) lines.push(...indented(`${view === undefined ? 'Not seen yet' : `As of ${shortSpan(now - view.at)} ago; since then`}: ${plainText(fault)}`, size.columns, 'red'))
  if (view !== undefined) {
    lines.push(...rowLines(headRows(view.status, model.deploy, now), size.columns))
    const table = instanceLines(view, size.columns - 2, now)
    if (table.length > 0) lines.push([], ...table.map((line) => [{ text: '  ' }, ...line]))
    if (!view.mayAsk && table.length > 0) lines.push(...indented(`Requests, latency and connections are for root to see: sudo ${holdfastCommand(view.status)} status ${app} --watch`, size.columns, 'dim'))
    for (const { what, mend } of view.status.problems) {
      lines.push([], ...indented(`Problem: ${plainText(what)}`, size.columns, 'red'), ...indented(`Try: ${plainText(mend)}`, size.columns))
    }
  }
  // The newest, as many as there is room for.
  const room = Math.min(mostEvents, size.rows - lines.length - 1)
  if (room > 0 && story.length > 0) lines.push([], ...story.slice(-room).map((line) => eventLine(line, now)))
  return fitLines(lines, size)
}

/** Cut at the bottom with how many more there are, and at the right. */
export function fitLines(lines: readonly Line[], { columns, rows }: FrameSize): Line[] {
  const shown = lines.length <= rows ? lines : [...lines.slice(0, Math.max(0, rows - 1)), [{ text: `  … ${lines.length - Math.max(0, rows - 1)} more`, style: 'dim' } satisfies Span]]
  return shown.map((line) => cutLine(line, columns))
}

/** What it is about on the left; on the right when that was, and how to end it. */
export function titleLine(name: string, state: Span, now: number, columns: number): Line {
  const left: Line = [{ text: name, style: 'bold' }, { text: ': ' }, state]
  const right = `${clockWords(now, now)}  q quits`
  const blanks = columns - lineWidth(left) - right.length
  return blanks < 2 ? cutLine(left, columns) : [...left, { text: ' '.repeat(blanks) }, { text: right, style: 'dim' }]
}

type Row = [label: string, text: string, style?: Style]

/** What is recorded and what is under way; what is as it should be is left out. */
function headRows(status: WatchedStatus, events: readonly DeployEvent[], now: number): Row[] {
  const { live, held, deploy, afterDrain, wanted, service, listeners, lastHandover } = status
  const rows: Row[] = []
  if (live === null) rows.push([status.serving ? 'live' : 'recorded', 'no release yet'])
  else rows.push([status.serving ? 'live' : 'recorded', `generation ${live.generation}, release ${live.release}${live.version === null ? '' : ` (${plainText(live.version)})`}, ${ago(live.since, now)}`])
  if (held !== null) {
    const until = held.expires === null ? '' : `, expires in ${shortSpan(Date.parse(held.expires) - now)}`
    const share = held.kind === 'canary' ? `, ${held.processes} process${held.processes === 1 ? '' : 'es'}` : ''
    rows.push([held.kind === 'canary' ? 'canary' : 'held', `generation ${held.generation}, release ${held.release}${held.version === null ? '' : ` (${plainText(held.version)})`}${share}, ${ago(held.since, now)}${until}`, 'cyan'])
    rows.push(['', `${holdfastCommand(status)} promote ${status.app}, or ${holdfastCommand(status)} abort ${status.app}`])
  }
  if (deploy?.running === true) rows.push(...deployRows(deploy, events, now))
  else if (lastHandover !== null && hasFailed(lastHandover)) rows.push(['handover', handoverText(lastHandover, live?.generation, now), 'red'])
  if (afterDrain !== null && afterDrain.state !== 'failed') rows.push(['after_drain', afterDrainText(afterDrain, now)])
  if (wanted !== null && !isBusy(status)) rows.push(['wanted', wantedText(status, wanted)])
  const open = listeners.filter(({ active }) => active === 'active')
  const words = open.map(({ name, addresses }) => `${name} ${addresses.join(' ')}`)
  if (words.length > 0) rows.push([open.length === 1 ? 'listener' : 'listeners', words.join(', ')])
  for (const { name, unit, addresses, active } of listeners.filter((one) => !open.includes(one))) {
    rows.push(['listener', `${name} ${addresses.join(' ')}: ${unit} is ${active}`, status.state === 'stopped' ? 'dim' : 'red'])
  }
  if (service.active === 'failed') rows.push(['service', `${service.unit} is failed: ${systemctlCommand(status)} status ${service.unit}`, 'red'])
  return rows
}

/** Who deploys what, the step that it is in, and the last that was heard of it. */
function deployRows({ kind, by, what, since, step }: NonNullable<WatchedStatus['deploy']>, events: readonly DeployEvent[], now: number): Row[] {
  if (since === null) return [['deploy', 'one has just begun', 'yellow']]
  const rows: Row[] = [['deploy', `${plainText(`${by} ${operationWords(kind, what ?? '')}`)}, ${shortSpan(now - Date.parse(since))}`, 'yellow']]
  const steps = events.find((event) => event.type === 'deploy')?.steps
  const last = events.findLast((event) => event.type === 'step')
  // The record is there for all to read, and its step is newer at times.
  const name = last?.state === 'began' ? last.step : step
  if (name === null) return rows
  const at = steps?.findIndex((one) => one === name) ?? -1
  const begun = last?.state === 'began' ? shortSpan(now - Date.parse(last.at)) : undefined
  const progress = events.findLast((event) => event.type === 'progress' && event.step === name)
  const bar = progress?.type === 'progress' ? barText(progress) : undefined
  rows.push(['step', [`${plainText(name)}${at >= 0 ? ` (${at + 1} of ${steps?.length})` : ''}`, begun, bar].filter((one) => one !== undefined).join('  ')])
  const output = events.findLast((event) => event.type === 'output' && event.step === name)
  if (output?.type === 'output') rows.push(['', lineText(output.line), 'dim'])
  return rows
}

/** Rows of a label and a text, which goes on below itself where it is long; somebody else's line does not. */
function rowLines(rows: readonly Row[], columns: number): Line[] {
  const width = Math.max(...rows.map(([label]) => label.length))
  return rows.flatMap(([label, text, style]) => {
    const texts = style === 'dim' ? [text] : wrapText(text, Math.max(1, columns - width - 4)).slice(0, mostRowLines)
    return texts.map((one, i): Line => [{ text: `  ${(i === 0 ? label : '').padEnd(width)}  `, style: 'dim' }, { text: one, style }])
  })
}

function eventLine({ at, event, text }: StoryLine, now: number): Line {
  const style: Style | undefined = /failed|refused|killed|cut/.test(event) ? 'red' : /live/.test(event) ? 'green' : undefined
  return [{ text: `  ${clockWords(at, now)}  `, style: 'dim' }, { text, style }]
}

const indented = (text: string, columns: number, style?: Style): Line[] => wrapText(text, Math.max(1, columns - 2)).map((line) => [{ text: '  ' }, { text: line, style }])
