import { existsSync } from 'node:fs'
import type net from 'node:net'
import { HeldHandles } from './held-handles.js'

/** Milliseconds between two looks at the hold file: some 40 stat(2) a second, as long as it is there. */
const pollMs = 25

/**
 * Whether this process is let in: not as long as the file is there that was there when it began. It may then do everything but
 * accept on the public listeners. Without that file nothing here does anything.
 */
export class Standby {
  readonly #file: string | undefined
  readonly #handles = new HeldHandles()
  readonly #onEnd: (() => void)[] = []
  #timer: NodeJS.Timeout | undefined
  #isHeld: boolean
  #isGivenUp = false

  /** @param file the hold file, HOLDFAST_HOLD_FILE */
  constructor(file: string | undefined) {
    this.#file = file
    this.#isHeld = Boolean(file) && existsSync(file as string)
  }

  get isHeld(): boolean {
    return this.#isHeld
  }

  /** Has a server listen as always, but accept nothing before it is let in. */
  listen(server: net.Server, listen: () => net.Server): net.Server {
    if (!this.#isHeld) return listen()
    this.#watch()
    const result = this.#handles.catch(server, listen)
    this.#keepAlive()
    return result
  }

  /** Settles when this process is let in; never in one that is stopped before. */
  over(): Promise<void> {
    if (!this.#isHeld) return Promise.resolve()
    return new Promise((resolve) => this.onEnd(resolve))
  }

  /** Calls back when this process is let in, and its listeners accept. */
  onEnd(callback: () => void): void {
    this.#onEnd.push(callback)
    this.#watch()
  }

  /** This process drains: it is never let in. */
  giveUp(): void {
    this.#isGivenUp = true
    clearInterval(this.#timer)
    this.#onEnd.length = 0
    this.#handles.forget()
  }

  #watch(): void {
    if (!this.#isGivenUp) this.#timer ??= setInterval(() => this.#look(), pollMs).unref()
  }

  #look(): void {
    if (existsSync(this.#file as string)) return this.#keepAlive()
    clearInterval(this.#timer)
    this.#isHeld = false
    this.#handles.letIn()
    for (const callback of this.#onEnd.splice(0)) callback()
  }

  /** To libuv a handle that does not listen is not active, and would let the process end. */
  #keepAlive(): void {
    if (this.#handles.areReferenced) this.#timer?.ref()
    else this.#timer?.unref()
  }
}
