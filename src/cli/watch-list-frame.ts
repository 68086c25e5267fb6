import { plainText } from '../deploy/foreign-text.js'
import type { View } from '../deploy/observe/watch-view.js'
import { padText, textWidth, type Line, type Span } from './terminal-line.js'
import { fitLines, stateStyles, titleLine, type FrameSize } from './watch-frame.js'
import { latencyWords, rateWords, shortSpan } from './watch-words.js'

/** An app of the list, and why it could not be looked at. */
export interface ListedApp {
  app: string
  view: View | undefined
  fault: string | undefined
}

const heads = ['APP', 'STATE', 'GEN', 'FOR', 'REQ/S', 'ERR/S', 'P95', 'RUNS'] as const
const rights: readonly string[] = ['GEN', 'FOR', 'REQ/S', 'ERR/S', 'P95']

/** A line for each app. Pure: `now` is in milliseconds. */
export function listFrame(apps: readonly ListedApp[], size: FrameSize, now: number): Line[] {
  const faulty = apps.filter(({ view, fault }) => fault !== undefined || (view?.status.problems.length ?? 0) > 0).length
  const words = apps.length === 0 ? 'no app is installed' : `${apps.length} app${apps.length === 1 ? '' : 's'}${faulty === 0 ? '' : `, ${faulty} with problems`}`
  const lines: Line[] = [titleLine('holdfast', { text: words, style: faulty > 0 ? 'red' : undefined }, now, size.columns)]
  if (apps.length === 0) return fitLines([...lines, [], [{ text: '  In the folder of an app: holdfast init, then: holdfast install' }]], size)
  const rows = apps.map((one) => appCells(one, now))
  const widths = heads.map((head, i) => Math.max(head.length, ...rows.map((row) => textWidth((row[i] as Span).text))))
  const row = (cells: readonly Span[]): Line =>
    cells.map(({ text, style }, i) => ({ text: `  ${i === heads.length - 1 ? text : padText(text, widths[i] as number, rights.includes(heads[i] as string) ? 'right' : 'left')}`, style }))
  return fitLines([...lines, [], row(heads.map((text) => ({ text, style: 'dim' }))), ...rows.map(row)], size)
}

function appCells({ app, view, fault }: ListedApp, now: number): Span[] {
  const name: Span = { text: app, style: 'bold' }
  if (view === undefined || fault !== undefined) return [name, { text: fault === undefined ? 'looking' : 'unknown', style: 'red' }, ...Array.from({ length: 5 }, () => ({ text: '-' })), { text: plainText(fault ?? ''), style: 'red' }]
  const { status, rates } = view
  const { live, problems } = status
  return [
    name,
    { text: status.state, style: stateStyles[status.state] },
    { text: live === null ? '-' : String(live.generation) },
    { text: live === null ? '-' : shortSpan(now - Date.parse(live.since)) },
    { text: rateWords(rates?.requestsPerSecond) },
    { text: rateWords(rates?.errorsPerSecond), style: (rates?.errors ?? 0) > 0 ? 'red' : undefined },
    { text: latencyWords(rates?.p95Ms) },
    problems[0] === undefined ? { text: runsWords(view) } : { text: plainText(problems[0].what), style: 'red' },
  ]
}

/** How many instances are in each phase: `2 live, 1 draining`. */
function runsWords({ status: { instances, deploy } }: View): string {
  const counts = new Map<string, number>()
  for (const { phase } of instances) counts.set(phase, (counts.get(phase) ?? 0) + 1)
  const phases = [...counts].map(([phase, count]) => `${count} ${phase}`)
  return [...phases, ...(deploy?.running === true ? [`a deploy${deploy.step === null ? '' : `, step ${deploy.step}`}`] : [])].join(', ') || '-'
}
