// @ts-check
import { randomUUID } from 'node:crypto'
import { WebSocket } from 'ws'
import { classifyFailure, RequestFailure } from './failure.js'

/** The close code of a server that goes away (RFC 6455 section 7.4.1): come back, to whoever is there then. */
const goingAway = 1001

/**
 * One WebSocket that says something in each turn and waits for its echo. Closed by 1001 it connects again and says what was not
 * echoed once more: a server that sent its close frame answers nothing that comes after. Any other end is a loss.
 */
export class WebSocketClient {
  #url
  /** @type {WebSocket | undefined} */
  #socket
  /** @type {RequestFailure | undefined} how a socket was lost while nothing was asked */
  #loss

  /** @param {string} url */
  constructor(url) {
    this.#url = url
  }

  /** @param {import('./clients.js').Measure} measure */
  turn(measure) {
    return measure(async (signal, sighting) => {
      this.#throwLoss()
      const text = randomUUID()
      let answer
      while (answer === undefined) {
        const socket = (this.#socket ??= await this.#connect(signal))
        answer = await ask(socket, text, signal)
        if (answer === undefined) sighting.repeats = (sighting.repeats ?? 0) + 1
      }
      sighting.release = answer.release
      sighting.generation = answer.generation
      if (answer.echo !== text) throw new RequestFailure('bad-body', `said ${text}, heard ${answer.echo}`)
    })
  }

  /** @param {import('./clients.js').Measure} measure */
  async close(measure) {
    if (this.#loss) await measure(async () => this.#throwLoss())
    const socket = this.#socket
    this.#socket = undefined
    socket?.close()
  }

  #throwLoss() {
    const loss = this.#loss
    this.#loss = undefined
    if (loss) throw loss
  }

  /**
   * @param {AbortSignal} signal
   * @returns {Promise<WebSocket>}
   */
  #connect(signal) {
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(this.#url, { perMessageDeflate: false })
      signal.addEventListener('abort', () => socket.terminate(), { once: true })
      socket.on('unexpected-response', (request, { statusCode }) => {
        request.destroy()
        reject(new RequestFailure(`bad-status-${statusCode}`))
      })
      socket.on('error', (error) => reject(classifyFailure(error, 'answer')))
      socket.on('close', (code) => {
        if (this.#socket !== socket) return
        this.#socket = undefined
        // Somebody who waits for an echo tells of it.
        if (code !== goingAway && socket.listenerCount('message') === 0) this.#loss = explainClose(code)
      })
      socket.on('open', () => resolve(socket))
    })
  }
}

/**
 * @param {WebSocket} socket
 * @param {string} text
 * @param {AbortSignal} signal
 * @returns {Promise<{ release: string, generation: string, echo: string } | undefined>} undefined: the server went away first
 */
function ask(socket, text, signal) {
  return new Promise((resolve, reject) => {
    const onMessage = (/** @type {import('ws').RawData} */ data) => {
      socket.off('close', onClose)
      try {
        resolve(JSON.parse(String(data)))
      } catch {
        reject(new RequestFailure('bad-body', 'the echo is not JSON'))
      }
    }
    const onClose = (/** @type {number} */ code) => {
      if (code === goingAway) resolve(undefined)
      else reject(explainClose(code))
    }
    socket.once('message', onMessage).once('close', onClose)
    signal.addEventListener('abort', () => socket.terminate(), { once: true })
    socket.send(text, () => {}) // what fails here closes the socket, or it is closing already
  })
}

/** @param {number} code */
function explainClose(code) {
  // 1006 is no frame: the connection was cut.
  return new RequestFailure(`bad-close-${code}`, code === 1006 ? 'cut without a close frame' : '')
}
