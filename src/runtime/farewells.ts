import type { DrainingConnection } from './long-lived.js'
import { shuffle, spreadMoments, type SpreadLimits } from './spread.js'

/** Asks the connections of a draining instance to come back elsewhere: one after the other, each once. */
export class Farewells {
  readonly #say: (connection: DrainingConnection) => void
  readonly #known = new Set<object>()
  #waiting: DrainingConnection[] = []
  #moments: number[] = []
  #timer: NodeJS.Timeout | undefined
  #limits: SpreadLimits = { windowMs: 0, perSecond: 1, availableMs: 0 }
  #nextFreeAt = 0

  /** @param say what is done with each, at its moment */
  constructor(say: (connection: DrainingConnection) => void) {
    this.#say = say
  }

  /** Whether a connection is to be asked, or has been. */
  knows({ socket, response }: DrainingConnection): boolean {
    return this.#known.has(response ?? socket)
  }

  /** Spreads these over the window, together with those that still wait. */
  begin(connections: readonly DrainingConnection[], limits: SpreadLimits): void {
    this.#limits = limits
    for (const { socket, response } of connections) this.#known.add(response ?? socket)
    this.#waiting = shuffle([...this.#waiting, ...connections])
    const now = performance.now()
    this.#moments = spreadMoments(this.#waiting.length, limits).map((moment) => now + moment)
    this.#nextFreeAt = this.#moments.at(-1) ?? now
    this.#schedule()
  }

  /** One that came later: as soon as the rate allows. */
  add(connection: DrainingConnection): void {
    this.#known.add(connection.response ?? connection.socket)
    this.#nextFreeAt = Math.max(performance.now(), this.#nextFreeAt) + 1000 / this.#limits.perSecond
    this.#waiting.push(connection)
    this.#moments.push(this.#nextFreeAt)
    this.#schedule()
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#waiting = []
    this.#moments = []
  }

  #schedule(): void {
    clearTimeout(this.#timer)
    const [next] = this.#moments
    if (next !== undefined) this.#timer = setTimeout(() => this.#sayDue(), Math.max(0, next - performance.now()))
  }

  #sayDue(): void {
    const now = performance.now()
    while (this.#moments[0] !== undefined && this.#moments[0] <= now) {
      this.#moments.shift()
      const connection = this.#waiting.shift()
      if (connection && !connection.socket.destroyed) this.#say(connection)
    }
    this.#schedule()
  }
}
