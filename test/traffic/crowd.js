// @ts-check
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/**
 * Times are milliseconds since the epoch.
 *
 * @typedef {{ kind: 'open', atMs: number, generation: string } | { kind: 'closed', atMs: number, code: number }
 *   | { kind: 'failed', atMs: number, message: string }} CrowdEvent
 */

/** A crowd of WebSockets in a process of its own, and when each of them was opened and closed. */
export class Crowd {
  /** @type {CrowdEvent[]} */
  events = []
  #child

  /**
   * @param {string} url
   * @param {number} count
   */
  constructor(url, count) {
    this.#child = fork(fileURLToPath(new URL('crowd-process.js', import.meta.url)), [], { execArgv: [] })
    this.#child.on('message', (events) => void this.events.push(.../** @type {CrowdEvent[]} */ (events)))
    this.#child.send({ url, count })
  }

  /** How many were answered by a generation. @param {number} generation */
  openedBy(generation) {
    return this.events.filter((event) => event.kind === 'open' && event.generation === String(generation)).length
  }

  /** The moments of the closes with a code, ascending. @param {number} code */
  closedWith(code) {
    return this.events.flatMap((event) => (event.kind === 'closed' && event.code === code ? event.atMs : [])).sort((a, b) => a - b)
  }

  /** Everything that should not happen: failed connections, and closes with any other code than 1001. */
  get faults() {
    return this.events.filter((event) => event.kind === 'failed' || (event.kind === 'closed' && event.code !== 1001))
  }

  leave() {
    this.#child.kill('SIGKILL')
  }
}

/**
 * The most moments within any stretch of a length: the sliding window of a rate.
 *
 * @param {number[]} moments ascending
 * @param {number} lengthMs
 */
export function peakWithin(moments, lengthMs) {
  let first = 0
  let peak = 0
  for (const [index, moment] of moments.entries()) {
    while (moment - /** @type {number} */ (moments[first]) >= lengthMs) first++
    peak = Math.max(peak, index - first + 1)
  }
  return peak
}
