/** A terminal for tests: a program on a real pseudo-terminal of script(1), and what a person would see of it. */
import { spawn, type ChildProcess } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { onTestFinished } from 'vitest'
import { mustRun, waitFor } from './run.js'

export interface Size {
  columns: number
  rows: number
}

/** The control sequences of xterm that holdfast and a shell use. */
// oxlint-disable-next-line no-control-regex
const sequence = /^\u001b(?:\[([?0-9;]*)([@-~])|\][^\u0007]*\u0007|[()][A-Z0-9]|[=>78])/

/** What stands on a screen after what was written to it. Lines are not wrapped: what is wider than the screen is an error. */
export class ScreenText {
  private grids: { main: string[][]; other: string[][] } = { main: [[]], other: [[]] }
  private on: 'main' | 'other' = 'main'
  private row = 0
  private column = 0
  private rest = ''
  isCursorShown = true
  /** Colours and other styles that were set. */
  styles = 0
  /** The widest column that was written to since the last `resize`, and the lowest row. */
  reach = { columns: 0, rows: 0 }

  get isOther(): boolean {
    return this.on === 'other'
  }

  write(text: string): void {
    this.rest += text
    while (this.rest !== '') {
      if (this.rest.startsWith('\u001b')) {
        const match = sequence.exec(this.rest)
        // The end of it has not come yet.
        if (match === null) return
        this.rest = this.rest.slice(match[0].length)
        this.control(match[1] ?? '', match[2] ?? '')
        continue
      }
      const character = String.fromCodePoint(this.rest.codePointAt(0) as number)
      this.rest = this.rest.slice(character.length)
      if (character === '\r') this.column = 0
      else if (character === '\n') this.row += 1
      else if (character === '\b') this.column = Math.max(0, this.column - 1)
      else if (character >= ' ') this.put(character)
      this.grid[this.row] ??= []
    }
  }

  lines(): string[] {
    return this.grid.map((row) => Array.from(row, (cell) => cell ?? ' ').join('').trimEnd())
  }

  text(): string {
    return this.lines().join('\n').trimEnd()
  }

  private get grid(): string[][] {
    return this.grids[this.on]
  }

  private put(character: string): void {
    const row = (this.grid[this.row] ??= [])
    row[this.column] = character
    this.column += 1
    // Han and the like: two columns.
    if (/[\u3040-\u9fff\uac00-\ud7a3]/.test(character)) {
      row[this.column] = ''
      this.column += 1
    }
    if (this.on === 'other') this.reach = { columns: Math.max(this.reach.columns, this.column), rows: Math.max(this.reach.rows, this.row + 1) }
  }

  private control(parameters: string, final: string): void {
    switch (final) {
      case 'H':
        this.row = 0
        this.column = 0
        break
      case 'K':
        this.grid[this.row]?.splice(this.column)
        break
      case 'J':
        if (parameters === '2') this.grids[this.on] = [[]]
        else {
          this.grid.splice(this.row + 1)
          this.grid[this.row]?.splice(this.column)
        }
        break
      case 'm':
        this.styles += 1
        break
      case 'h':
      case 'l':
        if (parameters === '?25') this.isCursorShown = final === 'h'
        if (parameters === '?1049') {
          this.on = final === 'h' ? 'other' : 'main'
          this.row = final === 'h' ? 0 : this.grids.main.length - 1
          this.column = 0
        }
    }
  }
}

/** A shell command on a pseudo-terminal. It ends with the test. */
export class Terminal {
  readonly screen = new ScreenText()
  /** All that was written. */
  raw = ''
  status: number | undefined
  private readonly child: ChildProcess

  constructor(command: string, { columns, rows }: Size, env: Record<string, string> = {}) {
    const { NO_COLOR: _, ...rest } = process.env
    this.child = spawn('script', ['--quiet', '--flush', '--return', '--command', `stty cols ${columns} rows ${rows}; ${command}`, '/dev/null'], {
      env: { ...rest, TERM: 'xterm-256color', LC_ALL: 'C.UTF-8', SHELL: '/bin/bash', ...env }, stdio: ['pipe', 'pipe', 'inherit'],
    })
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.raw += text
      this.screen.write(text)
    })
    this.child.on('close', (status) => (this.status = status ?? -1))
    onTestFinished(() => void this.child.kill('SIGKILL'))
  }

  type(keys: string): void {
    this.child.stdin?.write(keys)
  }

  /** As a window manager does it: the kernel sends SIGWINCH. */
  async resize({ columns, rows }: Size): Promise<void> {
    const terminal = readlinkSync(`/proc/${this.pidOf('')}/fd/1`)
    await mustRun('stty', ['-F', terminal, 'cols', String(columns), 'rows', String(rows)])
  }

  /** The first process below script(1) that is a node whose command line has this in it; empty: any process. */
  pidOf(part: string): number {
    const below = (parent: number): number[] => {
      const own = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => parentOf(pid) === parent)
      return own.flatMap((pid) => [pid, ...below(pid)])
    }
    const found = below(this.child.pid as number).find((pid) => part === '' || (read(`/proc/${pid}/cmdline`).startsWith(process.execPath) && read(`/proc/${pid}/cmdline`).includes(part)))
    if (found === undefined) throw new Error(`no process of the terminal has ${part}`)
    return found
  }

  /** Until the screen shows it. @returns the text of the screen */
  async shows(what: RegExp | string, timeoutMs = 30_000): Promise<string> {
    const shown = (): string | undefined => {
      const text = this.screen.text()
      return (typeof what === 'string' ? text.includes(what) : what.test(text)) ? text : undefined
    }
    return waitFor(`the screen shows ${String(what)}`, shown, { timeoutMs, everyMs: 20 }).catch((error: Error) => {
      throw new Error(`${error.message}\n${this.screen.text()}`)
    })
  }

  /** Until the command has ended. @returns its exit status */
  async end(timeoutMs = 20_000): Promise<number> {
    await waitFor('the command has ended', () => this.status !== undefined, { timeoutMs })
    return this.status as number
  }
}

const parentOf = (pid: number): number => Number(/^PPid:\s+(\d+)$/m.exec(read(`/proc/${pid}/status`))?.[1])

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
