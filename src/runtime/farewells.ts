import type { ConnectionKind, DrainingConnection } from './long-lived.js'
import { shuffle, spreadMoments, type SpreadLimits } from './spread.js'

/** Asks the connections of a draining instance to come back elsewhere: one after the other, each once. */
export class Farewells {
  readonly #say: (connection: DrainingConnection) => void
  /** By what they were when they were asked: a request may turn into an event stream. */
  readonly #known = new WeakMap<object, ConnectionKind>()
  #waiting: DrainingConnection[] = []
  #moments: number[] = []
  #timer: NodeJS.Timeout | undefined
  #limits: SpreadLimits = { windowMs: 0, perSecond: 1, availableMs: 0 }
  #nextFreeAt = 0
  #endsAt = 0

  /** @param say what is done with each, at its moment */
  constructor(say: (connection: DrainingConnection) => void) {
    this.#say = say
  }

  /** Whether a connection is to be asked, or has been. */
  knows({ kind, socket, response }: DrainingConnection): boolean {
    return this.#known.get(response ?? socket) === kind
  }

  /** How many wait for their moment. */
  get waiting(): number {
    return this.#waiting.length
  }

  /** Spreads these over the window, together with those that still wait. */
  begin(connections: readonly DrainingConnection[], limits: SpreadLimits): void {
    this.#limits = limits
    for (const { kind, socket, response } of connections) this.#known.set(response ?? socket, kind)
    this.#waiting = shuffle([...this.#waiting, ...connections])
    const now = performance.now()
    this.#endsAt = now + limits.availableMs
    this.#moments = spreadMoments(this.#waiting.length, limits).map((moment) => now + moment)
    this.#nextFreeAt = this.#moments.at(-1) ?? now
    this.#schedule()
  }

  /** One that came later: as soon as the rate allows. */
  add(connection: DrainingConnection): void {
    this.#known.set(connection.response ?? connection.socket, connection.kind)
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
    if (next !== undefined) this.#timer = setTimeout(() => this.#sayNext(), Math.max(0, next - performance.now()))
  }

  /** Whoever is late, as after a blocked event loop, still leaves the next one its distance. */
  #sayNext(): void {
    this.#moments.shift()
    const connection = this.#waiting.shift()
    if (connection && !connection.socket.destroyed) this.#say(connection)
    const now = performance.now()
    const gapMs = Math.min(1000 / this.#limits.perSecond, Math.max(0, this.#endsAt - now) / Math.max(1, this.#moments.length))
    if (this.#moments[0] !== undefined) this.#moments[0] = Math.max(this.#moments[0], now + gapMs)
    this.#schedule()
  }
}
