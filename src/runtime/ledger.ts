import type http from 'node:http'
import type { ServerHttp2Stream } from 'node:http2'
import type { DrainingConnection } from './long-lived.js'
import { number } from './waiting.js'

/** What became of jobs in a drain; see jobs.ts. */
export interface JobLedger {
  finished: number
  failed: number
  /** Silent for longer than their own limit. */
  letGo: number
  /** Alive at the hard end. */
  cut: number
}

/** The numbers at the end of a drain, as they stand in the journal unless they are 0: `REQUESTS_ANSWERED` and so on. */
export interface LedgerCounts {
  /** Open when the drain began. */
  connections: number
  /** Responses written to their end. */
  requestsAnswered: number
  /** Responses that ended before that: the client went away, or the app destroyed the connection. */
  requestsAborted: number
  /** WebSockets and event streams that were asked to come back elsewhere, and ended. */
  webSocketsMoved: number
  eventStreamsMoved: number
  jobsFinished: number
  jobsFailed: number
  jobsLetGo: number
  connectionsCut: number
  requestsCut: number
  webSocketsCut: number
  eventStreamsCut: number
  tunnelsCut: number
  jobsCut: number
  hooksCut: number
}

/** What became of the work that a drain found or still got. */
export class Ledger {
  readonly counts: LedgerCounts = {
    connections: 0, requestsAnswered: 0, requestsAborted: 0, webSocketsMoved: 0, eventStreamsMoved: 0,
    jobsFinished: 0, jobsFailed: 0, jobsLetGo: 0,
    connectionsCut: 0, requestsCut: 0, webSocketsCut: 0, eventStreamsCut: 0, tunnelsCut: 0, jobsCut: 0, hooksCut: 0,
  }
  readonly #watched = new WeakSet<object>()
  readonly #asked = new WeakSet<object>()
  #isOver = false

  /** What ends from now on was cut. */
  close(): void {
    this.#isOver = true
  }

  /** Counts how a response ends. */
  watch(response: http.ServerResponse): void {
    this.#once(response, () => {
      if (this.#asked.has(response)) this.counts.eventStreamsMoved++
      else if (response.writableFinished) this.counts.requestsAnswered++
      else this.counts.requestsAborted++
    })
  }

  /** The same of HTTP/2. */
  watchStream(stream: ServerHttp2Stream): void {
    this.#once(stream, () => {
      if (this.#asked.has(stream)) this.counts.eventStreamsMoved++
      else if (stream.rstCode === 0) this.counts.requestsAnswered++
      else this.counts.requestsAborted++
    })
  }

  /** Notes that the client of a connection was asked to come back elsewhere. */
  ask({ kind, socket, response }: DrainingConnection): void {
    if (kind === 'event-stream') this.#asked.add(response ?? socket)
    if (kind === 'websocket') this.#once(socket, () => this.counts.webSocketsMoved++)
  }

  addJobs({ finished, failed, letGo, cut }: JobLedger): void {
    Object.assign(this.counts, { jobsFinished: finished, jobsFailed: failed, jobsLetGo: letGo, jobsCut: cut })
  }

  #once(ending: http.ServerResponse | ServerHttp2Stream | DrainingConnection['socket'], count: () => void): void {
    if (this.#watched.has(ending)) return
    this.#watched.add(ending)
    ;(ending as NodeJS.EventEmitter).once('close', () => {
      if (!this.#isOver) count()
    })
  }
}

/** The sum of what became of the work of two processes. */
export function addCounts(counts: LedgerCounts, more: Partial<LedgerCounts>): LedgerCounts {
  const sum = { ...counts }
  for (const [name, count] of Object.entries(more)) sum[name as keyof LedgerCounts] += count
  return sum
}

/** One sentence for the end of a drain. */
export function formatLedger(counts: LedgerCounts, durationMs: number): string {
  const ended = Math.max(0, counts.connections - counts.connectionsCut)
  const done = [
    `${number(ended, 'connection')} ended`,
    `${number(counts.requestsAnswered, 'request')} answered`,
    ...some(counts.webSocketsMoved, 'WebSocket', ' moved'),
    ...some(counts.eventStreamsMoved, 'event stream', ' moved'),
    ...some(counts.jobsFinished, 'job', ' finished'),
    ...some(counts.jobsFailed, 'job', ' failed'),
    ...some(counts.requestsAborted, 'request', ' ended early, by the client or by the app itself'),
  ]
  const cut = formatCut(counts)
  return `drained in ${(durationMs / 1000).toFixed(1)} s: ${done.join(', ')}; ${cut === '' ? 'nothing was cut' : `cut: ${cut}`}`
}

/** The fields of the entry: those that count nothing would crowd out the others where fields are text. */
export function ledgerFields(counts: LedgerCounts): Partial<LedgerCounts> {
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0))
}

/** What was cut, such as `2 connections, 1 request`; empty when nothing was. */
export function formatCut(counts: LedgerCounts): string {
  return [
    ...some(counts.connectionsCut, 'connection'),
    ...some(counts.requestsCut, 'request'),
    ...some(counts.webSocketsCut, 'WebSocket'),
    ...some(counts.eventStreamsCut, 'event stream'),
    ...some(counts.tunnelsCut, 'tunnel'),
    ...some(counts.jobsCut, 'job'),
    ...some(counts.jobsLetGo, 'silent job'),
    ...some(counts.hooksCut, 'drain hook'),
  ].join(', ')
}

function some(count: number, noun: string, what = ''): string[] {
  return count === 0 ? [] : [`${number(count, noun)}${what}`]
}
