// @ts-check
import net from 'node:net'
import { classifyFailure, RequestFailure } from './failure.js'
import { noteSighting } from './exchange.js'

/**
 * A raw connection that sends several requests at once, and reads the answers in order (RFC 9112 section 9.3.2).
 * Reads answers with Content-Length only: what pipelines in practice asks for small fixed things.
 */
export class PipelinedConnection {
  #socket
  #received = Buffer.alloc(0)
  /** @type {{ sighting: import('./exchange.js').Sighting, resolve: (answer: import('./exchange.js').Answer) => void, reject: (error: Error) => void }[]} */
  #awaited = []
  /** The server said `Connection: close`, or the connection is gone: no further batch on it. */
  closing = false
  /** How long the newest answer promised to keep the connection when it is idle (`Keep-Alive: timeout=`), ms. */
  promisedMs = 0
  /** Settles when the connection is gone, with the error if that was why. @type {Promise<Error | undefined>} */
  gone

  /** @param {import('./address.js').Target} target */
  constructor(target) {
    this.#socket = 'socketPath' in target ? net.connect(target.socketPath) : net.connect(target.port, target.host)
    this.#socket.setNoDelay(true)
    this.#socket.on('data', (chunk) => this.#read(chunk))
    this.gone = new Promise((resolve) => this.#socket.on('end', resolve).on('error', resolve).on('close', () => resolve(undefined)))
    this.#socket.on('error', (error) => this.#fail(classifyFailure(error, this.#begun())))
    this.#socket.on('close', () =>
      this.#fail(new RequestFailure(this.#begun() === 'body' ? 'cut-body' : 'hang-up', 'closed with requests unanswered')),
    )
  }

  /**
   * @param {string} path
   * @param {import('./exchange.js').Sighting[]} sightings one for each request to send
   * @returns {Promise<import('./exchange.js').Answer>[]}
   */
  send(path, sightings) {
    const answers = sightings.map((sighting) => this.expect(sighting))
    this.write(formatGet(path).repeat(sightings.length))
    return answers
  }

  /**
   * The answer to a request that write() sends, whole or in parts.
   *
   * @param {import('./exchange.js').Sighting} sighting
   * @returns {Promise<import('./exchange.js').Answer>}
   */
  expect(sighting) {
    return new Promise((resolve, reject) => this.#awaited.push({ sighting, resolve, reject }))
  }

  /** @param {string} text */
  write(text) {
    this.#socket.write(text)
  }

  destroy() {
    this.closing = true
    this.#socket.destroy()
  }

  #begun() {
    return this.#received.length > 0 ? 'body' : 'answer'
  }

  /** @param {Buffer} chunk */
  #read(chunk) {
    this.#received = Buffer.concat([this.#received, chunk])
    for (;;) {
      const headEnd = this.#received.indexOf('\r\n\r\n')
      if (headEnd < 0 || this.#awaited.length === 0) return
      const head = this.#received.subarray(0, headEnd).toString('latin1')
      const header = (/** @type {string} */ name) => new RegExp(`^${name}: *(.*)$`, 'im').exec(head)?.[1]
      const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1])
      const length = Number(header('content-length'))
      if (Number.isNaN(status) || Number.isNaN(length)) {
        this.#fail(new RequestFailure('bad-protocol', head.slice(0, 80)))
        return this.destroy()
      }
      const end = headEnd + 4 + length
      if (this.#received.length < end) return
      if (/^close$/i.test(header('connection') ?? '')) this.closing = true
      this.promisedMs = 1_000 * Number(/timeout=(\d+)/i.exec(header('keep-alive') ?? '')?.[1] ?? 0)
      const body = this.#received.subarray(headEnd + 4, end)
      this.#received = this.#received.subarray(end)
      const asked = this.#awaited.shift()
      if (asked === undefined) return
      noteSighting(asked.sighting, header)
      if (status < 200 || status > 299) asked.reject(new RequestFailure(`bad-status-${status}`))
      else asked.resolve({ digest: header('content-digest'), body })
    }
  }

  /** @param {RequestFailure} failure */
  #fail(failure) {
    this.closing = true
    for (const asked of this.#awaited.splice(0)) asked.reject(failure)
  }
}

/** @param {string} path */
export function formatGet(path) {
  return `GET ${path} HTTP/1.1\r\nHost: pipeline\r\n\r\n`
}
