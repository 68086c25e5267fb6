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
  readonly #running = new Set<Promise<void>>()
  #context: (() => DrainContext) | undefined

  constructor(log: Log) {
    this.#log = log
  }

  /** How many run that have not settled. */
  get pending(): number {
    return this.#running.size
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

  /** Settles when all have, also those that are added meanwhile. */
  async ended(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running)
  }

  /** Runs those of a connection's kind. One that fails has done nothing: then what is done without a hook is done. */
  runFor(connection: DrainingConnection, context: () => DrainContext): void {
    const { kind } = connection
    for (const hook of this.#connectionHooks.get(kind) ?? []) this.#run(`a drain hook for a ${kind}`, () => hook(connection, context()), () => connection.close())
  }

  #start(hook: DrainHook, context: () => DrainContext): void {
    this.#run('a drain hook', () => hook(context()))
  }

  #run(what: string, hook: () => void | Promise<void>, otherwise?: () => void): void {
    const running = this.#settle(what, hook, otherwise).finally(() => this.#running.delete(running))
    this.#running.add(running)
  }

  async #settle(what: string, hook: () => void | Promise<void>, otherwise?: () => void): Promise<void> {
    try {
      await hook()
    } catch (error) {
      this.#log.error(`${what} has failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`, { phase: 'drain-hook', error })
      otherwise?.()
    }
  }
}
