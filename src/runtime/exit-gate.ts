import { syncBuiltinESMExports } from 'node:module'

type Exit = typeof process.exit

/**
 * Holds back `process.exit()` while a drain goes on: an app may call it in a handler or a timer of its own, and it would cut
 * what is in flight. The last call decides the exit status. After an uncaught exception nothing is held back.
 */
export class ExitGate {
  readonly #exit: Exit = process.exit.bind(process)
  #isShut = false
  #asked = false
  #code: number | string | null | undefined
  #crashed = false

  /**
   * Takes the place of `process.exit()`, before the app keeps it for itself (`const { exit } = process`, `import { exit } from
   * 'node:process'`) or puts something of its own around it. It exits as ever, until `shut()`.
   */
  install(): void {
    process.exit = ((code?: number | string | null) => {
      if (!this.#isShut || this.#crashed) return this.#exit(code)
      this.request(code)
      return undefined
    }) as Exit
    syncBuiltinESMExports()
  }

  /** From here on `process.exit()` only notes that it was called, and returns. */
  shut(): void {
    this.#isShut = true
    process.on('uncaughtExceptionMonitor', () => {
      this.#crashed = true
    })
  }

  /** Notes that the app is done. */
  request(code?: number | string | null): void {
    this.#asked = true
    this.#code = code
  }

  /** Exits if the app asked for it, with the status that it asked for; from here on it exits as it likes. */
  open(): void {
    this.#isShut = false
    if (this.#asked) this.leave()
  }

  /** Ends the process with the status that the app asked for, else 0. */
  leave(): never {
    this.#isShut = false
    return this.#exit(this.#asked ? (this.#code ?? process.exitCode ?? 0) : 0)
  }
}
