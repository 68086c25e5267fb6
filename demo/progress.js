// @ts-check
import { formatCount, width } from './render.js'

/** How often the one line on a terminal is drawn anew, and how often a plain line is printed elsewhere. */
const drawMs = 200
const plainMs = 5_000

/**
 * Shows that the traffic flows: one updating line on a terminal, a plain line now and then elsewhere. Sentences of the
 * story are printed above it.
 */
export class Progress {
  #out
  #traffic
  /** @type {NodeJS.Timeout | undefined} */
  #timer
  #drawn = false

  /**
   * @param {NodeJS.WriteStream} out
   * @param {import('../test/traffic/traffic.js').Traffic} traffic
   */
  constructor(out, traffic) {
    this.#out = out
    this.#traffic = traffic
  }

  start() {
    this.#timer = setInterval(() => this.#draw(), this.#out.isTTY ? drawMs : plainMs)
  }

  /** @param {string} sentence */
  say(sentence) {
    this.#clear()
    this.#out.write(`${formatClock(this.#traffic.nowMs)}  ${sentence}\n`)
  }

  stop() {
    clearInterval(this.#timer)
    this.#clear()
  }

  #draw() {
    const { ledger, nowMs } = this.#traffic
    const line = `${formatClock(nowMs)}  ${describeTraffic(ledger, nowMs)}`
    if (!this.#out.isTTY) return void this.#out.write(`${line}\n`)
    this.#clear()
    this.#out.write(line.slice(0, Math.min(width, this.#out.columns || width) - 1))
    this.#drawn = true
  }

  #clear() {
    if (this.#drawn) this.#out.write('\r\u001B[K')
    this.#drawn = false
  }
}

/**
 * `9 210 requests, 0 failed; now 480/s from 2.0.0`: who answered in the last second.
 *
 * @param {import('../test/traffic/ledger.js').Ledger} ledger
 * @param {number} nowMs
 */
export function describeTraffic({ records, requests, failures }, nowMs) {
  /** @type {Map<string, number>} */
  const recent = new Map()
  for (let index = records.length - 1; index >= 0; index--) {
    const record = records[index]
    if (record === undefined || record.startMs + record.durationMs < nowMs - 1_000) break
    if (record.outcome === 'ok') recent.set(record.release, (recent.get(record.release) ?? 0) + 1)
  }
  const rates = [...recent].sort(([a], [b]) => (a < b ? -1 : 1)).map(([release, count]) => `${count}/s from ${release}`)
  const now = rates.length === 0 ? 'no answer now' : `now ${rates.join(', ')}`
  return `${formatCount(requests)} requests, ${formatCount(failures.length)} failed; ${now}`
}

/** @param {number} ms @returns {string} seconds since the traffic began, of a constant width */
export function formatClock(ms) {
  return `${(ms / 1_000).toFixed(1).padStart(5)} s`
}
