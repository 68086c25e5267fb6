import type { StopReason } from './environment.js'
import type { Log } from './journal.js'
import type { ConnectionKind, DrainingConnection } from './long-lived.js'

/** What a drain hook is told. */
export interface DrainContext {
  /** Why this instance drains. */
  reason: StopReason
  /** Milliseconds until the hard end. */
  timeoutMs: number
  /** Aborted at the hard end, just before what is left is cut. */
  signal: AbortSignal
}

/** Runs when the drain begins; the process lives until its promise settles, or until the hard end. */
export type DrainHook = (context: DrainContext) => void | Promise<void>

/** Runs for each connection of a kind, at the moment at which it would be closed, and in place of that. */
export type ConnectionHook = (connection: DrainingConnection, context: DrainContext) => void | Promise<void>

/** The drain hooks of an app. */
export class DrainHooks {
  readonly #log: Log
  readonly #hooks: DrainHook[] = []
  readonly #connectionHooks = new Map<ConnectionKind, ConnectionHook[]>()
  readonly #started: Promise<void>[] = []
  #context: (() => DrainContext) | undefined
  #pending = 0

  constructor(log: Log) {
    this.#log = log
  }

  /** How many run that have not settled. */
  get pending(): number {
    return this.#pending
  }

  /** In a drain it runs at once. */
  add(hook: DrainHook): void {
    if (this.#context) this.#start(hook, this.#context)
    else this.#hooks.push(hook)
  }

  addForConnections(kind: ConnectionKind, hook: ConnectionHook): void {
    this.#connectionHooks.set(kind, [...(this.#connectionHooks.get(kind) ?? []), hook])
  }

  has(kind: ConnectionKind): boolean {
    return this.#connectionHooks.has(kind)
  }

  /** Runs those of the whole drain; an error is logged. */
  start(context: () => DrainContext): void {
    this.#context = context
    for (const hook of this.#hooks) this.#start(hook, context)
  }

  /** Settles when all of the whole drain have, also those that are added meanwhile. */
  async ended(): Promise<void> {
    for (const hook of this.#started) await hook
  }

  /** Runs those of a connection's kind. */
  runFor(connection: DrainingConnection, context: () => DrainContext): void {
    for (const hook of this.#connectionHooks.get(connection.kind) ?? []) void this.#run(() => hook(connection, context()))
  }

  #start(hook: DrainHook, context: () => DrainContext): void {
    this.#started.push(this.#run(() => hook(context())))
  }

  async #run(hook: () => void | Promise<void>): Promise<void> {
    this.#pending++
    try {
      await hook()
    } catch (error) {
      this.#log.error(error, { phase: 'drain-hook' })
    } finally {
      this.#pending--
    }
  }
}
