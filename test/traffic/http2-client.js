// @ts-check
import http2 from 'node:http2'
import { makeOrder, verifyDigest, verifyReceipt } from './checksum.js'
import { noteSighting } from './exchange.js'
import { classifyFailure, RequestFailure } from './failure.js'

/**
 * @typedef {object} Session
 * @property {http2.ClientHttp2Session} connection
 * @property {boolean} isGoingAway the server said GOAWAY
 * @property {boolean} hasFailed a request on it has
 * @property {RequestFailure | undefined} end how it ended
 */

/**
 * One long HTTP/2 session: a GET and a POST at once in each turn, and a download that runs beside them from the session's
 * beginning. After a GOAWAY it lets its streams finish and opens a new session; a session that ends without one is a loss.
 *
 * A stream that crosses a GOAWAY is refused, and opened again on the new session: that it was not processed is certain (RFC 9113
 * sections 6.8 and 8.7). node's own client refuses some itself, before they are sent. The ledger has the number as `repeats`.
 * A refusal that takes its time is a loss: somebody waited for nothing.
 */
export class Http2Client {
  #url
  #options
  #paths
  /** @type {Session | undefined} */
  #current
  /** @type {Set<Promise<void>>} */
  #downloads = new Set()

  /**
   * @param {string} url such as https://127.0.0.1:8443
   * @param {{ ca?: string | undefined, paths: import('./clients.js').Paths }} options
   */
  constructor(url, { ca, paths }) {
    this.#url = url
    this.#options = ca === undefined ? {} : { ca }
    this.#paths = paths
  }

  /** @param {import('./clients.js').Measure} measure */
  async turn(measure) {
    await this.#leaveEnded(measure)
    const isNew = this.#current === undefined
    const get = (/** @type {string} */ path, required = false) =>
      measure(async (signal, sighting) => {
        const { digest, body } = await this.#exchange({ method: 'GET', path, signal, sighting })
        verifyDigest(digest, body, { required })
      })
    if (isNew) {
      const download = get(this.#paths.download, true).finally(() => this.#downloads.delete(download))
      this.#downloads.add(download)
    }
    const post = measure(async (signal, sighting) => {
      const body = makeOrder()
      const answer = await this.#exchange({ method: 'POST', path: this.#paths.post, body, signal, sighting })
      verifyReceipt(body, answer.body)
    })
    await Promise.all([get(this.#paths.get[0] ?? '/'), post])
  }

  /** @param {import('./clients.js').Measure} measure */
  async close(measure) {
    await Promise.all(this.#downloads)
    await this.#leaveEnded(measure)
    this.#current?.connection.close()
    this.#current = undefined
  }

  /**
   * @param {import('./exchange.js').Exchange} exchange
   * @returns {Promise<import('./exchange.js').Answer>}
   */
  async #exchange(exchange) {
    for (;;) {
      const session = (this.#current ??= open(this.#url, this.#options))
      const startMs = performance.now()
      try {
        return await exchangeOverHttp2(session, exchange)
      } catch (error) {
        if (!(error instanceof StreamRefused) || !session.isGoingAway) throw error
        if (performance.now() - startMs > refusalMs) throw new RequestFailure('timeout', 'refused at last')
        exchange.sighting.repeats = (exchange.sighting.repeats ?? 0) + 1
        if (this.#current === session) this.#current = undefined
      }
    }
  }

  /**
   * Gives up a session that is going away, or gone. When no request tells of its loss, this does.
   *
   * @param {import('./clients.js').Measure} measure
   */
  async #leaveEnded(measure) {
    const session = this.#current
    if (!session || (!session.isGoingAway && !session.end)) return
    this.#current = undefined
    const { end } = session
    if (end && !session.isGoingAway && !session.hasFailed) await measure(() => Promise.reject(end))
  }
}

/** Milliseconds within which a stream that crosses a GOAWAY is to be refused. */
const refusalMs = 2_000

class StreamRefused extends RequestFailure {}

/**
 * @param {string} url
 * @param {http2.SecureClientSessionOptions} options
 * @returns {Session}
 */
function open(url, options) {
  const connection = http2.connect(url, options)
  const session = /** @type {Session} */ ({ connection, isGoingAway: false, hasFailed: false, end: undefined })
  connection.on('goaway', () => (session.isGoingAway = true))
  connection.on('error', (error) => (session.end ??= classifyFailure(error, 'answer')))
  connection.on('close', () => (session.end ??= new RequestFailure('early-close', 'a session ended without GOAWAY')))
  return session
}

/**
 * @param {Session} session
 * @param {import('./exchange.js').Exchange} exchange
 * @returns {Promise<import('./exchange.js').Answer>}
 */
function exchangeOverHttp2(session, { method, path, body, signal, sighting }) {
  return new Promise((resolve, rejectWith) => {
    const reject = (/** @type {RequestFailure} */ failure) => {
      session.hasFailed = true
      const isRefused = stream.rstCode === http2.constants.NGHTTP2_REFUSED_STREAM && awaited === 'answer'
      rejectWith(isRefused ? new StreamRefused(failure.kind, failure.detail) : failure)
    }
    /** @type {'answer' | 'body'} */
    let awaited = 'answer'
    /** @type {http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader} */
    let headers = {}
    let ended = false
    const chunks = /** @type {Buffer[]} */ ([])
    const stream = session.connection.request({ ':method': method, ':path': path }, { endStream: body === undefined })
    stream.on('response', (received) => {
      awaited = 'body'
      headers = received
      noteSighting(sighting, (name) => received[name])
    })
    stream.on('data', (chunk) => chunks.push(chunk))
    stream.on('end', () => (ended = true))
    stream.on('error', (error) => reject(classifyFailure(error, awaited)))
    stream.on('close', () => {
      const status = headers[':status'] ?? 0
      if (!ended || stream.aborted || stream.rstCode !== http2.constants.NGHTTP2_NO_ERROR || status === 0) {
        return reject(new RequestFailure(awaited === 'body' ? 'cut-body' : 'hang-up', `stream closed with code ${stream.rstCode}`))
      }
      if (status < 200 || status > 299) return reject(new RequestFailure(`bad-status-${status}`))
      const digest = headers['content-digest']
      resolve({ digest: Array.isArray(digest) ? digest[0] : digest, body: Buffer.concat(chunks) })
    })
    signal.addEventListener('abort', () => stream.close(http2.constants.NGHTTP2_CANCEL))
    if (body !== undefined) stream.end(body)
  })
}
