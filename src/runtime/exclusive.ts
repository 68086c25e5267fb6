import { dirname } from 'node:path'
import type { OriginalListen } from './bind.js'
import { aborted } from './deadline.js'
import type { Instance } from './instance.js'
import { readFunction, readName, type Jobs } from './jobs.js'
import type { Log } from './journal.js'
import { holdName, lockAddress, type HeldName } from './name-lock.js'

/** What exclusive work is given. */
export interface ExclusiveContext {
  /** Aborted when the drain begins: the work ends, and the next generation takes over. Never outside systemd. */
  readonly signal: AbortSignal
}

export type ExclusiveFunction = (context: ExclusiveContext) => void | PromiseLike<void>

/** Before it, node gives every abstract name the same address (20.0 to 20.3), or refuses them. */
const firstNode = { major: 20, minor: 9 }

/**
 * What an app's locks belong to: its folder below the manager's, which tells the system's apps from those of a user's own manager.
 * Not its user, which a new generation may change.
 */
export function lockScope(app: string, env: NodeJS.ProcessEnv = process.env): string {
  return env.HOLDFAST_STOP_FILE?.startsWith('/') ? dirname(env.HOLDFAST_STOP_FILE) : `/${process.getuid?.() ?? 0}/${app}`
}

/** Work that runs in one process of an app at a time, whatever generations there are. */
export class ExclusiveWork {
  readonly #owner: Instance | undefined
  readonly #jobs: Jobs
  readonly #log: Log
  readonly #draining: AbortSignal
  readonly #listen: OriginalListen
  readonly #letIn: () => Promise<void>
  readonly #names = new Set<string>()

  /**
   * @param options.owner the instance that this process is, or belongs to as its child or thread; without one nothing is locked
   * @param options.letIn settles when that instance is let in: one that is held back does not ask for a lock
   */
  constructor(options: {
    owner: Instance | undefined; jobs: Jobs; log: Log; draining: AbortSignal; listen: OriginalListen; letIn: () => Promise<void>
  }) {
    this.#owner = options.owner
    this.#jobs = options.jobs
    this.#log = options.log
    this.#draining = options.draining
    this.#listen = options.listen
    this.#letIn = options.letIn
  }

  /**
   * Runs a function once this process holds the lock of that name, until it settles by itself; then the lock is free for the
   * next one. A drain ends the wait for the lock.
   * @returns settles when the function has, or when the drain began before it was its turn; rejects with the function's error
   *   (which is logged, too), with a TypeError when an argument is none or the name is in use in this process, and with an Error
   *   when the operating system refuses the lock
   */
  async run(name: string, fn: ExclusiveFunction): Promise<void> {
    const shown = readName(name, 'exclusive work')
    const work = readFunction(fn, 'exclusive work')
    if (this.#names.has(name)) throw new TypeError(`exclusive work ${shown} is there already in this process`)
    this.#names.add(name)
    try {
      const held = await this.#hold(name, shown)
      if (held) await this.#work(shown, work, held)
    } finally {
      this.#names.delete(name)
    }
  }

  /** Undefined when the drain came first. */
  async #hold(name: string, shown: string): Promise<HeldName | undefined> {
    if (this.#draining.aborted) return undefined
    if (this.#owner === undefined) return { release: () => {} }
    await Promise.race([this.#letIn(), aborted(this.#draining)])
    if (this.#draining.aborted) return undefined
    const about = { exclusive: shown }
    let holder: string | undefined
    let isSilent = false
    const held = await this.#lock(name, shown, this.#owner, {
      onHolder: (instance) => {
        if (instance !== holder) this.#log.info(`exclusive work ${shown} waits until ${instance} has ended it`, about)
        holder = instance
      },
      onSilence: () => {
        if (!isSilent) {
          this.#log.warn(
            `exclusive work ${shown} waits for a process that does not answer: an instance whose event loop is blocked, or a ` +
              `stranger that took the lock's name (see: ss -xlp src '@holdfast/*')`, about,
          )
        }
        isSilent = true
      },
    })
    if (held && this.#draining.aborted) {
      held.release()
      return undefined
    }
    if (held) this.#log.info(`exclusive work ${shown} runs here now${holder === undefined ? '' : `, after ${holder}`}`, about)
    return held
  }

  #lock(name: string, shown: string, owner: Instance, listener: Parameters<typeof holdName>[2]['listener']): Promise<HeldName | undefined> {
    const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
    if (major === firstNode.major && minor < firstNode.minor) {
      throw new Error(`exclusive work ${shown} needs node ${firstNode.major}.${firstNode.minor} or later, and this is ${process.version}`)
    }
    return holdName(lockAddress(lockScope(owner.app), name), owner, { signal: this.#draining, listen: this.#listen, listener }).catch((error: unknown) => {
      throw new Error(`exclusive work ${shown} cannot have its lock, a unix socket: ${String(error)}`, { cause: error })
    })
  }

  async #work(shown: string, work: ExclusiveFunction, held: HeldName): Promise<void> {
    try {
      await this.#jobs.run(shown, () => work({ signal: this.#draining }))
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error)
      this.#log.error(`exclusive work ${shown} has failed: ${text}`, { exclusive: shown, error })
      throw error
    } finally {
      held.release()
      this.#log.info(`exclusive work ${shown} has ended here`, { exclusive: shown })
    }
  }
}
