type Exit = typeof process.exit

/**
 * Holds back `process.exit()` while a drain goes on: most apps call it in their own SIGTERM handler, and it would cut what is in
 * flight. The last call decides the exit status. After an uncaught exception nothing is held back.
 */
export class ExitGate {
  readonly #exit: Exit = process.exit.bind(process)
  #ask: () => void = () => {}
  #asked = false
  #code: number | string | null | undefined
  #crashed = false

  /** Whether the app has asked to exit since `shut()`, or since `forget()`. */
  get asked(): boolean {
    return this.#asked
  }

  /** Settles when the app asks to exit; to be called once. */
  whenAsked(): Promise<void> {
    if (this.#asked) return Promise.resolve()
    return new Promise((resolve) => {
      this.#ask = resolve
    })
  }

  /** Takes an earlier request for nothing: the app turned out to have more to do. */
  forget(): void {
    this.#asked = false
  }

  /** From here on `process.exit()` only notes that it was called, and returns. */
  shut(): void {
    process.on('uncaughtExceptionMonitor', () => {
      this.#crashed = true
    })
    process.exit = ((code?: number | string | null) => {
      if (this.#crashed) return this.#exit(code)
      this.request(code)
      return undefined
    }) as Exit
  }

  /** Notes that the app is done. */
  request(code?: number | string | null): void {
    this.#asked = true
    this.#code = code
    this.#ask()
  }

  /** Ends the process with the status that the app asked for, else 0. */
  leave(): never {
    process.exit = this.#exit
    return this.#exit(this.#asked ? (this.#code ?? process.exitCode ?? 0) : 0)
  }
}
