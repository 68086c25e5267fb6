import { writeSync } from 'node:fs'
import type { ReadStream, WriteStream } from 'node:tty'
import { renderLine, type Line } from './terminal-line.js'

// xterm's control sequences: the other screen buffer, the cursor's visibility, and no wrapping of what is wider than thought.
const enter = '\u001b[?1049h\u001b[?25l\u001b[?7l\u001b[2J'
const leave = '\u001b[?7h\u001b[?25h\u001b[?1049l'

const ctrlC = '\u0003'
const ctrlZ = '\u001a'

/** Such as standard output. */
export type Output = WriteStream & { fd: number }

export interface ScreenOptions {
  colour: boolean
  /** The frame for a size, in columns and rows. */
  frame(size: { columns: number; rows: number }): readonly Line[]
  /** `q`, Ctrl-C, or a signal that ends the program. */
  quit(): void
}

/**
 * A frame on the whole of a terminal, which is as before once it ends, however that is; but for SIGKILL. Suspended by
 * Ctrl-Z or SIGTSTP it gives the terminal back, and takes it again.
 */
export class Screen {
  private isOpen = false
  private hasEnded = false
  private shown: string | undefined
  private readonly removals: (() => void)[] = []

  constructor(private readonly output: Output, private readonly input: ReadStream, private readonly options: ScreenOptions) {}

  open(): void {
    this.on(process, 'exit', () => this.give())
    // Before node writes what went wrong.
    this.on(process, 'uncaughtExceptionMonitor', () => this.give())
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) this.on(process, signal, () => this.options.quit())
    this.listenForStop()
    this.on(process, 'SIGCONT', () => this.take())
    this.on(this.output, 'resize', () => this.redraw())
    // What else stands on standard input is not ours to read: it may be the list of a loop around us.
    if (this.input.isTTY) this.on(this.input, 'data', (bytes) => this.type(String(bytes)))
    this.take()
  }

  close(): void {
    this.hasEnded = true
    for (const remove of this.removals.splice(0)) remove()
    this.give()
    if (this.input.isTTY) this.input.pause()
  }

  /** Draws what has changed since; one write, so that nothing flickers. */
  draw(): void {
    if (!this.isOpen) return
    const { columns, rows } = this.size()
    const lines = this.options.frame({ columns, rows }).slice(0, rows).map((line) => `${renderLine(line, this.options)}\u001b[K`)
    const text = `\u001b[H${lines.join('\r\n')}${lines.length < rows ? '\r\n\u001b[J' : ''}`
    if (text === this.shown) return
    this.shown = text
    this.output.write(text)
  }

  /** As `draw`, of a screen on which anything may stand. */
  private redraw(): void {
    if (!this.isOpen) return
    this.shown = undefined
    this.output.write('\u001b[2J')
    this.draw()
  }

  private take(): void {
    if (this.hasEnded) return
    if (this.input.isTTY) {
      this.input.setRawMode(true)
      this.input.resume()
    }
    if (!this.isOpen) writeNow(this.output, enter)
    this.isOpen = true
    this.redraw()
  }

  private give(): void {
    if (!this.isOpen) return
    this.isOpen = false
    this.shown = undefined
    writeNow(this.output, leave)
    if (this.input.isTTY) this.input.setRawMode(false)
  }

  private listenForStop(): void {
    const suspend = (): void => {
      this.give()
      process.off('SIGTSTP', suspend)
      // As if nobody had handled it: not SIGSTOP, which stops also where no shell is there to continue us.
      process.kill(process.pid, 'SIGTSTP')
      setImmediate(() => {
        if (this.hasEnded) return
        process.on('SIGTSTP', suspend)
        this.take()
      })
    }
    process.on('SIGTSTP', suspend)
    this.removals.push(() => process.off('SIGTSTP', suspend))
  }

  private type(keys: string): void {
    if (keys.includes('q') || keys.includes('Q') || keys.includes(ctrlC)) this.options.quit()
    // To the whole group, as the terminal would: a shell waits for sudo, not for us.
    else if (keys.includes(ctrlZ)) process.kill(0, 'SIGTSTP')
  }

  /** The size of a terminal that does not tell is that of a VT100. */
  private size(): { columns: number; rows: number } {
    return { columns: this.output.columns || 80, rows: this.output.rows || 24 }
  }

  private on(emitter: NodeJS.EventEmitter, event: string, listener: (value: unknown) => void): void {
    emitter.on(event, listener)
    this.removals.push(() => emitter.off(event, listener))
  }
}

/** At the end of a process, nothing is written later. */
function writeNow(output: Output, text: string): void {
  try {
    writeSync(output.fd, text)
  } catch {
    // The terminal is gone.
  }
}
