import { lineText } from '../deploy/foreign-text.js'
import type { DeployEvent, OperationKind } from '../deploy/operation/progress.js'
import { jsonText, print } from './output.js'
import { failureText, ProgressText } from './progress-text.js'

/** Shows the events of a deploy. */
export interface ProgressPrinter {
  event(event: DeployEvent): void
  /** What goes on beside the steps, such as an upload; on a terminal the line that changes. */
  activity(text: string): void
  /** Takes the line that changes away. */
  clear(): void
}

/** Redraws, in milliseconds. */
const redrawMs = 200

export function progressPrinter(app: string, { json }: { json: boolean }): ProgressPrinter {
  if (json) return { event: (event) => print(jsonText(event)), activity: () => {}, clear: () => {} }
  const terminal = process.stdout.isTTY === true && process.env['TERM'] !== 'dumb'
  const text = new ProgressText({ app, terminal, colour: terminal && !process.env['NO_COLOR'] })
  let doing: string | undefined
  let kind: OperationKind = 'deploy'
  let isDrawn = false
  const clear = (): void => {
    if (isDrawn) process.stdout.write('\r\u001b[K')
    isDrawn = false
  }
  const draw = (): void => {
    const columns = process.stdout.columns || 80
    const line = doing === undefined ? text.live(Date.now(), columns) : lineText(doing).slice(0, columns - 1)
    if (line === undefined) return clear()
    process.stdout.write(`\r${line}\u001b[K`)
    isDrawn = true
  }
  const timer = terminal ? setInterval(draw, redrawMs) : undefined
  timer?.unref()
  return {
    event(event) {
      doing = undefined
      clear()
      if (event.type === 'deploy') kind = event.kind
      for (const line of text.lines(event, Date.now())) print(line)
      if (event.type === 'end') {
        clearInterval(timer)
        if (event.failure !== undefined) process.stderr.write(`${failureText(app, kind, event.failure)}\n`)
      } else if (terminal) draw()
    },
    activity(now) {
      doing = now
      if (terminal) draw()
    },
    clear() {
      doing = undefined
      clear()
    },
  }
}
