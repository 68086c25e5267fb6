import type { Phase } from '../deploy/observe/app-status.js'
import { plainText } from '../deploy/foreign-text.js'
import type { Rates } from '../deploy/observe/watch-rates.js'
import { gaugesOf, sumGauges, type Gauges, type View, type WatchedInstance } from '../deploy/observe/watch-view.js'
import { number } from '../runtime/waiting.js'
import { padText, textWidth, type Line, type Span, type Style } from './terminal-line.js'
import { countWords, latencyWords, rateWords, shortSpan } from './watch-words.js'
import { bytesWords, drainWords } from './words.js'

/** What a row of the table is about: an instance, or all of them. */
interface Subject {
  instance: WatchedInstance | undefined
  memory: number | null
  rates: Rates | null
  gauges: Gauges | null
}

interface Column {
  head: string
  /** So that the columns stay where they are while numbers change. Default: that of the head. */
  leastWidth?: number
  side: 'left' | 'right'
  /** What is left out first where there is no room has the highest number; 0: nothing. */
  rank: number
  cell(subject: Subject, now: number): Span
}

const phaseStyles: Record<Phase, Style | undefined> = {
  starting: 'cyan', ready: 'cyan', standby: 'cyan', held: 'cyan', canary: 'cyan', live: 'green', draining: 'yellow', restarting: 'red', failed: 'red',
}

const columns: readonly Column[] = [
  { head: '', side: 'left', rank: 0, cell: ({ instance }) => ({ text: instance === undefined ? 'all' : `${instance.generation}.${instance.process}`, style: 'bold' }) },
  { head: 'PHASE', leastWidth: 8, side: 'left', rank: 0, cell: ({ instance }) => (instance === undefined ? { text: '' } : { text: instance.phase, style: phaseStyles[instance.phase] }) },
  { head: 'FOR', leastWidth: 6, side: 'right', rank: 1, cell: ({ instance }, now) => ({ text: instance === undefined ? '' : instance.since === null ? '-' : shortSpan(now - Date.parse(instance.since)) }) },
  { head: 'MEMORY', leastWidth: 6, side: 'right', rank: 2, cell: ({ memory }) => ({ text: memory === null ? '-' : bytesWords(memory) }) },
  { head: 'REQ/S', side: 'right', rank: 0, cell: ({ rates }) => ({ text: rateWords(rates?.requestsPerSecond) }) },
  { head: 'ERR/S', side: 'right', rank: 0, cell: ({ rates }) => ({ text: rateWords(rates?.errorsPerSecond), style: (rates?.errors ?? 0) > 0 ? 'red' : undefined }) },
  { head: 'P50', leastWidth: 6, side: 'right', rank: 3, cell: ({ rates }) => ({ text: latencyWords(rates?.p50Ms) }) },
  { head: 'P95', leastWidth: 6, side: 'right', rank: 2, cell: ({ rates }) => ({ text: latencyWords(rates?.p95Ms) }) },
  { head: 'IN FLIGHT', side: 'right', rank: 1, cell: ({ gauges }) => ({ text: countWords(gauges?.inFlight) }) },
  { head: 'CONNS', side: 'right', rank: 4, cell: ({ gauges }) => ({ text: countWords(gauges?.connections) }) },
  { head: 'WEBSOCKETS', side: 'right', rank: 5, cell: ({ gauges }) => ({ text: countWords(gauges?.webSockets) }) },
  { head: 'STREAMS', side: 'right', rank: 5, cell: ({ gauges }) => ({ text: countWords(gauges?.eventStreams) }) },
  { head: 'JOBS', side: 'right', rank: 5, cell: ({ gauges }) => ({ text: countWords(gauges?.jobs) }) },
  { head: 'PID', side: 'right', rank: 6, cell: ({ instance }) => ({ text: instance === undefined ? '' : instance.pid === null ? '-' : String(instance.pid) }) },
  { head: 'RELEASE', side: 'left', rank: 7, cell: ({ instance }) => ({ text: instance === undefined ? '' : (instance.release ?? '-') }) },
]

/** Of these, what has no column of its own stands among the notes. */
const countedNouns = [['CONNS', 'connection', 'connections'], ['WEBSOCKETS', 'WebSocket', 'webSockets'], ['STREAMS', 'event stream', 'eventStreams'], ['JOBS', 'job', 'jobs']] as const

/** Between columns. */
const gap = '  '
/** Notes stand behind their row where there are so many columns for them, else below it. */
const leastNotes = 40

/** The instances of an app, with a row for all where there are several. Pure. @param width of the screen, in columns */
export function instanceLines({ status: { instances }, rates }: View, width: number, now: number): Line[] {
  if (instances.length === 0) return []
  const subjects: Subject[] = instances.map((instance) => ({ instance, memory: instance.memoryBytes, rates: instance.rates, gauges: gaugesOf(instance) }))
  if (instances.length > 1) subjects.push(sumOf(instances, rates))
  const cells = subjects.map((subject) => columns.map((column) => column.cell(subject, now)))
  const widths = columns.map(({ head, leastWidth = 0 }, i) => Math.max(head.length, leastWidth, ...cells.map((row) => textWidth((row[i] as Span).text))))
  const shown = chooseColumns(widths, width)
  const tableWidth = shown.reduce((all, i) => all + (widths[i] as number) + gap.length, 0)
  const hasRoom = width - tableWidth >= leastNotes
  const heads = new Set(shown.map((i) => (columns[i] as Column).head))
  const row = (of: (i: number) => Span): Line =>
    shown.map((i, at): Span => {
      const { text, style } = of(i)
      return { text: `${at === 0 ? '' : gap}${padText(text, widths[i] as number, (columns[i] as Column).side)}`, style }
    })
  const lines: Line[] = [row((i) => ({ text: (columns[i] as Column).head, style: 'dim' }))]
  for (const [at, subject] of subjects.entries()) {
    const line = row((i) => (cells[at] as Span[])[i] as Span)
    const notes = notesOf(subject, heads)
    if (notes === undefined) lines.push(line)
    else if (hasRoom) lines.push([...line, { ...notes, text: `${gap}${notes.text}` }])
    else lines.push(line, [{ ...notes, text: `${' '.repeat(widths[0] as number)}${gap}${notes.text}` }])
  }
  return lines
}

/** As many as there is room for, by their ranks; a rank goes as a whole. */
function chooseColumns(widths: readonly number[], width: number): number[] {
  let shown = columns.map((_, i) => i)
  const taken = (): number => shown.reduce((all, i) => all + (widths[i] as number), 0) + gap.length * (shown.length - 1)
  for (let rank = Math.max(...columns.map((column) => column.rank)); rank > 0 && taken() > width; rank -= 1) {
    shown = shown.filter((i) => columns[i]?.rank !== rank)
  }
  return shown
}

function sumOf(instances: readonly WatchedInstance[], rates: Rates | null): Subject {
  const memories = instances.flatMap(({ memoryBytes }) => memoryBytes ?? [])
  return {
    instance: undefined,
    memory: memories.length === 0 ? null : memories.reduce((all, one) => all + one, 0),
    rates,
    gauges: sumGauges(instances.flatMap((instance) => gaugesOf(instance) ?? [])),
  }
}

/** What has no column, in a few words. */
function notesOf({ instance, gauges }: Subject, heads: ReadonlySet<string>): Span | undefined {
  if (instance === undefined) return undefined
  const { phase, restarts, failure, status } = instance
  const drains = phase === 'draining' && status !== null ? drainWords(status) : undefined
  const open = drains !== undefined || gauges === null ? [] : countedNouns.flatMap(([head, noun, name]) => (heads.has(head) || gauges[name] === 0 ? [] : number(gauges[name], noun)))
  // The runtime's own words on what it serves say nothing that the other lines do not.
  const own = drains !== undefined || status === null || /^(?:serving|running)\b/.test(status) ? undefined : `"${plainText(status)}"`
  const text = [
    ...(restarts > 0 ? [`restarted ${restarts === 1 ? 'once' : `${restarts} times`}`] : []),
    ...(failure === null ? [] : [plainText(failure)]),
    ...(drains === undefined ? [] : [drains]),
    ...(own === undefined ? [] : [own]),
    ...(open.length === 0 ? [] : [open.join(', ')]),
  ].join('; ')
  return text === '' ? undefined : { text, style: failure !== null ? 'red' : drains === undefined ? 'dim' : undefined }
}
