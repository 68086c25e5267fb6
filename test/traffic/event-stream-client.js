// @ts-check
import { EventSource } from 'eventsource'
import { classifyFailure, RequestFailure } from './failure.js'

/** @typedef {{ id: number, release: string, generation: string }} Seen */

/**
 * One EventSource that is open all the time. A turn takes the events that have come since the last one, or waits for the next.
 * The source connects again by itself, with Last-Event-ID, when a stream has ended in order; a stream that is cut, a connection
 * that fails and an event that is missing or comes twice are losses.
 */
export class EventStreamClient {
  #open
  /** @type {EventSource | undefined} */
  #source
  /** @type {(Seen | RequestFailure)[]} */
  #arrived = []
  /** @type {number | undefined} */
  #lastId
  #wake = () => {}

  /**
   * @param {string} url
   * @param {object | undefined} dispatcher for fetch
   */
  constructor(url, dispatcher) {
    this.#open = () => {
      /** @type {'answer' | 'body'} */
      let awaited = 'answer'
      /** @type {RequestFailure | undefined} which the source would only describe */
      let unanswered
      const source = new EventSource(url, {
        async fetch(at, init) {
          awaited = 'answer'
          try {
            return await fetch(at, /** @type {RequestInit} */ ({ ...init, ...(dispatcher && { dispatcher }) }))
          } catch (error) {
            unanswered = classifyFailure(error, 'answer')
            throw error
          }
        },
      })
      source.addEventListener('open', () => (awaited = 'body'))
      source.addEventListener('message', (event) => this.#receive(event))
      source.addEventListener('error', ({ code, message }) => {
        if (code !== undefined) this.#arrive(new RequestFailure(`bad-status-${code}`, message))
        else if (awaited === 'body' && message !== undefined) this.#arrive(new RequestFailure('cut-body', message))
        else if (awaited === 'answer') this.#arrive(unanswered ?? new RequestFailure('other-event-source', message ?? ''))
        // One that answers with an error is not asked again by itself.
        if (source.readyState === source.CLOSED) this.#source = undefined
      })
      return source
    }
  }

  /** @param {import('./clients.js').Measure} measure */
  async turn(measure) {
    await measure(async (signal, sighting) => {
      this.#source ??= this.#open()
      if (this.#arrived.length === 0) {
        await new Promise((resolve) => {
          this.#wake = () => resolve(undefined)
          signal.addEventListener('abort', this.#wake)
        })
      }
      this.#take(sighting)
    })
    // A failure ended that turn before the rest was looked at.
    while (this.#arrived.some((each) => each instanceof RequestFailure)) await measure(async (_, sighting) => this.#take(sighting))
  }

  /** @param {import('./clients.js').Measure} measure */
  async close(measure) {
    this.#source?.close()
    while (this.#arrived.length > 0) await measure(async (_, sighting) => this.#take(sighting))
  }

  /** @param {import('./exchange.js').Sighting} sighting */
  #take(sighting) {
    for (let seen = this.#arrived.shift(); seen; seen = this.#arrived.shift()) {
      if (seen instanceof RequestFailure) throw seen
      Object.assign(sighting, { release: seen.release, generation: seen.generation })
      const expected = (this.#lastId ?? seen.id - 1) + 1
      this.#lastId = seen.id
      if (seen.id !== expected) throw new RequestFailure('bad-body', `event ${seen.id} came in place of ${expected}`)
    }
  }

  /** @param {{ lastEventId: string, data: string }} event */
  #receive({ lastEventId, data }) {
    try {
      this.#arrive({ id: Number(lastEventId), ...JSON.parse(data) })
    } catch {
      this.#arrive(new RequestFailure('bad-body', 'the event is not JSON'))
    }
  }

  /** @param {Seen | RequestFailure} what */
  #arrive(what) {
    this.#arrived.push(what)
    this.#wake()
  }
}
