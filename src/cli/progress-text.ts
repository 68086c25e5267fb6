import { lineText, plainText } from '../deploy/foreign-text.js'
import { operationWords, type DeployEvent, type OperationKind, type StepName } from '../deploy/operation/progress.js'
import { bytesWords, durationWords } from './words.js'

export interface TextOptions {
  /** Its name. Default: what the first event says. */
  app?: string
  /** A terminal: a line that changes shows what is under way. Else what takes long is told at its begin. */
  terminal: boolean
  colour: boolean
}

/** The steps that may take long and say little. */
const slow: readonly StepName[] = ['install', 'migrate', 'handover']

type Colour = 'bold' | 'dim' | 'red' | 'green' | 'yellow'
const codes: Record<Colour, number> = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33 }

/** The events of a deploy as lines for people. Pure: writes nothing, and is told the time. */
export class ProgressText {
  private app: string
  /** The step under way, and since when. */
  private current: { step: StepName; since: number; progress?: DeployEvent & { type: 'progress' } } | undefined

  constructor(private readonly options: TextOptions) {
    this.app = options.app ?? ''
  }

  /** The lines that stay. @param now in milliseconds */
  lines(event: DeployEvent, now: number): string[] {
    switch (event.type) {
      case 'deploy':
        this.app = event.app
        return [`${this.paint('bold', `${plainText(event.by)} ${operationWords(event.kind ?? 'deploy', plainText(event.what), event.app)}`)} ${this.paint('dim', `(${event.id})`)}`]
      case 'step':
        return this.stepLines(event, now)
      case 'progress':
        if (this.current?.step === event.step) this.current.progress = event
        return []
      case 'output':
        return [`    ${lineText(event.line)}`]
      case 'note':
        return event.text.split('\n').map((line, i) => `${i === 0 ? this.paint('yellow', 'note: ') : '      '}${lineText(line)}`)
      case 'end':
        this.current = undefined
        return this.endLines(event)
    }
  }

  /** The line that changes, at most `columns` wide; undefined while nothing is under way. */
  live(now: number, columns: number): string | undefined {
    if (this.current === undefined) return undefined
    const { step, since, progress } = this.current
    const time = durationWords(now - since, 0)
    return `${step.padEnd(9)} ${progress === undefined ? '' : `${barText(progress)}  `}${time}`.slice(0, Math.max(0, columns - 1))
  }

  private stepLines({ step, state, durationMs, note }: DeployEvent & { type: 'step' }, now: number): string[] {
    if (state === 'began') {
      this.current = { step, since: now }
      return this.options.terminal || !slow.includes(step) ? [] : [`${step}:`]
    }
    this.current = undefined
    const time = durationMs === undefined ? '' : durationWords(durationMs)
    const word = this.paint(state === 'failed' ? 'red' : state === 'done' ? 'green' : 'dim', state.padEnd(7))
    return [`${step.padEnd(9)} ${word} ${time.padStart(9)}${note === undefined ? '' : `  ${lineText(note)}`}`.trimEnd()]
  }

  private endLines(event: DeployEvent & { type: 'end' }): string[] {
    const after = durationWords(event.durationMs)
    if (event.outcome === 'live') return [this.paint('bold', `${this.app}: generation ${event.generation} is live, release ${event.release}, after ${after}.`)]
    if (event.outcome === 'held') {
      return [
        this.paint('bold', `${this.app}: generation ${event.generation} waits for a promotion, release ${event.release}, after ${after}.`),
        `To look at it: holdfast preview ${this.app}`,
        `Then: holdfast promote ${this.app}, or holdfast abort ${this.app}`,
      ]
    }
    if (event.outcome === 'aborted') return [this.paint('bold', `${this.app}: generation ${event.generation}, release ${event.release}, is discarded, after ${after}. What is live is as it was.`)]
    if (event.outcome === 'migrated') return [this.paint('bold', `${this.app}: the hooks have run, after ${after}. What is live is as it was (--migrate-only).`)]
    if (event.outcome === 'unchanged') return event.release === undefined ? [] : [this.paint('bold', `${this.app}: release ${event.release} is live already, as generation ${event.generation}. Nothing to do.`)]
    return []
  }

  private paint(colour: Colour, text: string): string {
    return this.options.colour ? `\u001b[${codes[colour]}m${text}\u001b[0m` : text
  }
}

/** What went wrong, for standard error. */
export function failureText(app: string, kind: OperationKind, failure: NonNullable<(DeployEvent & { type: 'end' })['failure']>): string {
  const { step, message, log, hint } = failure
  const [first = '', ...more] = message.split('\n')
  return [
    `Error: the ${kind} of ${app} failed at step ${step}: ${lineText(first)}`,
    ...more.map((line) => `    ${lineText(line)}`),
    ...log.slice(-12).map((line) => `    ${lineText(line)}`),
    ...(hint === undefined ? [] : [`Try: ${plainText(hint)}`]),
  ].join('\n')
}

/** `[######----]  45.3M of 120.0M`, or without a total what has come so far. */
export function barText({ done, total, unit }: { done: number; total?: number; unit: 'bytes' | 'files' }): string {
  const words = (count: number): string => (unit === 'bytes' ? bytesWords(count) : `${count} files`)
  if (total === undefined || total <= 0) return words(done)
  const width = 24
  const full = Math.min(width, Math.floor((done / total) * width))
  return `[${'#'.repeat(full)}${'-'.repeat(width - full)}]  ${words(done)} of ${words(total)}`
}
