import type { EventEmitter } from 'node:events'
import { constants } from 'node:os'

type Emit = (this: NodeJS.Process, ...args: unknown[]) => boolean

/**
 * SIGTERM, which the drain gets first. The app's own handlers are kept waiting until it lets them have the signal: nearly all
 * of them close the server, cut connections or exit, and by then nothing is left to lose. node:events offers no way to stop an
 * event on its way, so `process.emit` is replaced; nothing but SIGTERM is treated differently.
 */
export class Sigterm {
  readonly #emit = process.emit as unknown as Emit
  /** Without a listener of its own node would not catch the signal, and the process would end at once. */
  readonly #keeper = (): void => {}
  #isHeld = true
  #hasPassed = false
  #hadHandlers = false

  /** @param onSigterm called at each SIGTERM until `release()` */
  hold(onSigterm: () => void): void {
    const emit = this.#emit
    const isHeld = (): boolean => this.#isHeld
    // node binds `process.emit` to a signal at its first listener: those that are there already are added anew.
    const earlier = process.rawListeners('SIGTERM') as NodeJS.SignalsListener[]
    process.removeAllListeners('SIGTERM')
    process.emit = function (this: NodeJS.Process, ...args: unknown[]): boolean {
      if (args[0] !== 'SIGTERM' || !isHeld()) return emit.apply(this, args)
      onSigterm()
      return true
    } as typeof process.emit
    process.on('SIGTERM', this.#keeper)
    // An app may remove all listeners. First in the row: node itself gives the signal up when it then finds none.
    const onRemoved = (_event: string, listener: unknown): void => {
      if (listener === this.#keeper && this.#isHeld) process.on('SIGTERM', this.#keeper)
    }
    // The types of `process` do not know this event, which every emitter has.
    ;(process as EventEmitter).prependListener('removeListener', onRemoved)
    for (const listener of earlier) process.on('SIGTERM', listener)
  }

  /** Whether the app has handlers of its own. */
  hasHandlers(): boolean {
    return process.listeners('SIGTERM').some((listener) => listener !== this.#keeper)
  }

  /** Whether it is for the app to end the process: it has handlers, or had some that the signal was passed to. */
  handledByApp(): boolean {
    return this.#hadHandlers || this.hasHandlers()
  }

  /** Lets the app's handlers have the signal, once and in a turn of the event loop of its own; further ones are held. */
  pass(): void {
    if (this.#hasPassed) return
    this.#hasPassed = true
    this.#hadHandlers = this.hasHandlers()
    setImmediate(() => this.#emit.call(process, 'SIGTERM', 'SIGTERM', constants.signals.SIGTERM))
  }

  /**
   * Nothing is left to protect: the app's handlers get the signal if they have not had it, and from then on it does what it
   * does without Holdfast. NestJS and signal-exit raise it again, when they are done, to end the process.
   */
  release(): void {
    this.#isHeld = false
    process.off('SIGTERM', this.#keeper)
    this.pass()
  }
}
