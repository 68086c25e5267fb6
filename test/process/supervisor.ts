import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Report } from '../../src/runtime/report.js'
import { root } from './built.js'

const defaultDeadlineMs = 15_000

export interface SpawnOptions {
  /** Names of listeners to pass, in this order. */
  listeners?: string[]
  env?: Record<string, string>
  /** Preload `holdfast/register`. Default true. */
  register?: boolean
  nodeArguments?: string[]
  /** Give the process a NOTIFY_SOCKET. Default true. */
  notify?: boolean
  /** HOLDFAST_ variables as a deploy sets them. Default true. */
  holdfast?: boolean
  /** Start it in standby; `letIn()` ends that. Default false. */
  held?: boolean
  /** Pass sockets of its own, and name the listener whose server answers there. */
  privateListener?: string
  /** A shell text that starts "$@", in place of `exec "$@"`. */
  wrap?: string
}

/** A process under the supervisor, and all that is known of it. */
export class Instance {
  pid = 0
  output = ''
  readonly notified: string[] = []
  status: number | undefined

  readonly #supervisor: Supervisor
  readonly #name: string
  constructor(supervisor: Supervisor, name: string) {
    this.#supervisor = supervisor
    this.#name = name
  }

  /** As long as it is there, this instance is in standby if it was when it began. */
  get holdFile(): string {
    return join(this.#supervisor.directory, `${this.#name}.hold`)
  }

  /** Reaches this instance alone, with `privateListener`. */
  get privateSocket(): string {
    return join(this.#supervisor.directory, `${this.#name}.sock`)
  }

  get reportSocket(): string {
    return join(this.#supervisor.directory, `${this.#name}.report`)
  }

  /** The newest status. */
  get statusText(): string | undefined {
    return this.notified.flatMap((text) => /^STATUS=(.*)$/m.exec(text)?.[1] ?? []).at(-1)
  }

  letIn(): void {
    rmSync(this.holdFile)
  }

  async report(): Promise<Report> {
    let text = ''
    for await (const piece of net.connect(this.reportSocket).setEncoding('utf8')) text += piece
    return JSON.parse(text) as Report
  }

  get isReady(): boolean {
    return this.notified.some((text) => text.includes('READY=1'))
  }

  kill(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal)
  }

  /** Waits until something about this process holds, and fails with what is known of it. */
  async until(what: string, holds: () => boolean, deadlineMs?: number): Promise<void> {
    await this.#supervisor.until(() => holds(), deadlineMs, () => `${what}\nstatus ${this.status}, notified ${JSON.stringify(this.notified)}, output:\n${this.output}`)
  }

  async untilReady(): Promise<void> {
    await this.until('never became ready', () => this.isReady || this.status !== undefined)
    if (this.status !== undefined) throw new Error(`ended with ${this.status} before it was ready:\n${this.output}`)
  }

  async untilExit(deadlineMs?: number): Promise<number> {
    await this.until('did not end', () => this.status !== undefined, deadlineMs)
    return this.status ?? -1
  }
}

type Event =
  | { event: 'listening'; name: string; address: string }
  | { event: 'spawned'; id: string; pid: number }
  | { event: 'notify'; pid: number; data: string }
  | { event: 'output'; id: string; text: string }
  | { event: 'exit'; id: string; status: number }

/** Holds sockets, starts processes and receives their notifications, as systemd does; see supervisor.py. */
export class Supervisor implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'holdfast-process-'))
  readonly addresses = new Map<string, string>()
  readonly #backlogs = new Map<string, number>()
  readonly #instances = new Map<string, Instance>()
  readonly #waiters = new Set<() => void>()
  readonly #child: ChildProcessWithoutNullStreams
  #generation = 0
  #errors = ''

  constructor() {
    this.#child = spawn('python3', [fileURLToPath(new URL('supervisor.py', import.meta.url)), this.directory])
    let rest = ''
    this.#child.stdout.setEncoding('utf8').on('data', (piece: string) => {
      const lines = (rest + piece).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) this.#receive(JSON.parse(line) as Event)
      for (const check of this.#waiters) check()
    })
    this.#child.stderr.setEncoding('utf8').on('data', (piece: string) => (this.#errors += piece))
  }

  /** Makes a listening socket; `127.0.0.1:0` takes a free port. */
  async listen(name: string, address = '127.0.0.1:0', options: { backlog?: number; datagram?: boolean } = {}): Promise<string> {
    this.#backlogs.set(name, options.backlog ?? 4096)
    this.#send({ op: 'listen', name, address, ...options })
    await this.until(() => this.addresses.has(name))
    return this.addresses.get(name) ?? ''
  }

  /** Starts a scenario (a file of scenarios/, or any by its absolute path) as the next generation. */
  async start(scenario: string, options: SpawnOptions = {}): Promise<Instance> {
    const { listeners = [], register = true, nodeArguments = [], notify = true, holdfast = true } = options
    const generation = String(++this.#generation)
    const listen = listeners.map((name) => ({ name, address: this.addresses.get(name), backlog: this.#backlogs.get(name) }))
    const identity = {
      HOLDFAST_APP: 'scenario', HOLDFAST_RELEASE: `r${generation}`, HOLDFAST_GENERATION: generation,
      HOLDFAST_INSTANCE: `${generation}.1`, HOLDFAST_LISTEN: JSON.stringify(listen), HOLDFAST_DRAIN_TIMEOUT_MS: '20000',
    }
    const instance = new Instance(this, `${generation}.1`)
    const isPrivate = options.privateListener !== undefined
    const sockets = {
      HOLDFAST_HOLD_FILE: instance.holdFile,
      ...(isPrivate ? {
        HOLDFAST_PRIVATE_LISTENER: options.privateListener ?? '', HOLDFAST_PRIVATE_SOCKET: instance.privateSocket,
        HOLDFAST_REPORT_SOCKET: instance.reportSocket,
      } : {}),
    }
    if (options.held) writeFileSync(instance.holdFile, '')
    const own = isPrivate ? [instance.privateSocket, instance.reportSocket] : []
    for (const path of own) await this.listen(path, path)
    const env = { PATH: process.env.PATH ?? '', ...(holdfast ? { ...identity, ...sockets } : {}), ...options.env }
    const argv = [
      process.execPath, ...(register ? ['--import', 'holdfast/register'] : []), ...nodeArguments,
      resolve(fileURLToPath(new URL('scenarios', import.meta.url)), scenario),
    ]
    this.#instances.set(generation, instance)
    const wrap = options.wrap === undefined ? {} : { wrap: options.wrap }
    this.#send({ op: 'spawn', id: generation, argv, env, pass_listeners: [...own, ...listeners], names: [...own.map(() => 'private'), ...listeners], notify, ...wrap })
    await this.until(() => instance.pid > 0)
    return instance
  }

  /** Waits until something holds; looked at whenever the supervisor hears of something. */
  async until(holds: () => boolean, deadlineMs = defaultDeadlineMs, explain: () => string = () => 'not in time'): Promise<void> {
    if (holds()) return
    await new Promise<void>((resolve, reject) => {
      const end = (): void => {
        clearTimeout(timer)
        this.#waiters.delete(check)
      }
      const check = (): void => {
        if (!holds()) return
        end()
        resolve()
      }
      const timer = setTimeout(() => {
        end()
        reject(new Error(`after ${deadlineMs} ms: ${explain()}\n${this.#errors}`))
      }, deadlineMs)
      this.#waiters.add(check)
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve))
    this.#child.stdin.end()
    await ended
    rmSync(this.directory, { recursive: true, force: true })
  }

  #send(command: object): void {
    this.#child.stdin.write(`${JSON.stringify(command)}\n`)
  }

  #receive(event: Event): void {
    if (event.event === 'listening') {
      this.addresses.set(event.name, event.address)
      return
    }
    if (event.event === 'notify') {
      // systemd-notify sends from a pid of its own: with one process at a time it can only be the newest.
      const all = [...this.#instances.values()]
      const instance = all.find((each) => each.pid === event.pid) ?? all.at(-1)
      instance?.notified.push(event.data)
      return
    }
    const instance = this.#instances.get(event.id)
    if (!instance) return
    if (event.event === 'spawned') instance.pid = event.pid
    else if (event.event === 'output') instance.output += event.text
    else instance.status = event.status
  }
}

export { root }
