// @ts-check
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeOrder, verifyDigest, verifyReceipt } from './checksum.js'
import { RequestFailure } from './failure.js'

/** @typedef {{ method: 'GET' | 'POST', path: string, order?: Buffer }} Transfer */

/** What curl exits with, as its manual lists it: the outcomes, before and after the answer's head. */
const outcomes = /** @type {Record<string, [string, string]>} */ ({
  1: ['bad-protocol', 'bad-protocol'],
  7: ['refused', 'refused'],
  8: ['bad-protocol', 'bad-protocol'],
  18: ['cut-body', 'cut-body'],
  52: ['hang-up', 'hang-up'],
  55: ['reset', 'reset'],
  56: ['reset', 'cut-body'],
  92: ['reset', 'cut-body'],
})

/**
 * A curl process in each turn, with several transfers one after the other on one connection, and pauses between them. The last one
 * is an upload that waits for `100 Continue`. curl sends a request again by itself when a kept connection turns out to be dead;
 * it says so with --verbose, and that is what counts here: the connection was within its promise.
 */
export class CurlClient {
  #target
  #paths
  #thinkMs
  #folder = mkdtempSync(join(tmpdir(), 'traffic-curl-'))

  /**
   * @param {import('./address.js').Target} target
   * @param {{ paths: import('./clients.js').Paths, thinkMs: number }} options
   */
  constructor(target, { paths, thinkMs }) {
    this.#target = target
    this.#paths = paths
    this.#thinkMs = thinkMs
  }

  /** @param {import('./clients.js').Measure} measure */
  async turn(measure) {
    /** @type {Transfer[]} */
    const transfers = [0, 1, 2, 3, 4].map((nth) => ({ method: 'GET', path: this.#paths.get[nth % this.#paths.get.length] ?? '/' }))
    transfers.push({ method: 'POST', path: this.#paths.post, order: makeOrder() })
    const run = new CurlRun(this.#configure(transfers), transfers.length)
    for (const [index, transfer] of transfers.entries()) {
      await measure(async (signal, sighting) => {
        signal.addEventListener('abort', () => run.kill())
        this.#verify(transfer, await run.done(index), this.#file('answer', index), sighting)
      })
    }
    run.kill()
  }

  close() {
    rmSync(this.#folder, { recursive: true, force: true })
  }

  /** @param {string} what @param {number} index */
  #file(what, index) {
    return join(this.#folder, `${what}-${index}`)
  }

  /** @param {Transfer[]} transfers */
  #configure(transfers) {
    const at = 'socketPath' in this.#target
      ? { origin: 'http://localhost', lines: [`unix-socket = "${this.#target.socketPath}"`] }
      : { origin: `http://${this.#target.host.includes(':') ? `[${this.#target.host}]` : this.#target.host}:${this.#target.port}`, lines: [] }
    const blocks = transfers.map(({ path, order }, index) => {
      const lines = [`url = "${at.origin}${path}"`, `output = "${this.#file('answer', index)}"`, `write-out = "${writeOut}"`, ...at.lines]
      if (order) {
        writeFileSync(this.#file('order', index), order)
        lines.push(`data-binary = "@${this.#file('order', index)}"`, 'header = "Expect: 100-continue"', 'header = "Content-Type: application/octet-stream"', 'expect100-timeout = 5')
      }
      return lines.join('\n')
    })
    return [`rate = "${Math.max(1, Math.round(60_000 / this.#thinkMs))}/m"`, blocks.join('\nnext\n')].join('\n')
  }

  /**
   * @param {Transfer} transfer
   * @param {Done} done
   * @param {string} file
   * @param {import('./exchange.js').Sighting} sighting
   */
  #verify({ order }, done, file, sighting) {
    Object.assign(sighting, { release: done.release, generation: done.generation })
    if (done.exit !== 0) {
      const [before, after] = outcomes[done.exit] ?? [`other-curl-${done.exit}`, `other-curl-${done.exit}`]
      throw new RequestFailure(done.status === 0 ? before : after, done.message)
    }
    if (done.dead !== '') throw new RequestFailure(done.dead.includes('died') ? 'hang-up' : 'early-close', done.dead)
    if (done.status < 200 || done.status > 299) throw new RequestFailure(`bad-status-${done.status}`)
    const body = readFileSync(file)
    if (!order) return verifyDigest(done.digest === '' ? undefined : done.digest, body, { required: false })
    if (!done.continued) throw new RequestFailure('bad-protocol', 'no 100 Continue before the final answer')
    verifyReceipt(order, body)
  }
}

const writeOut = 'done|%{exitcode}|%{http_code}|%header{x-release}|%header{x-generation}|%header{content-digest}|%{errormsg}\\n'

/**
 * @typedef {{ exit: number, status: number, release: string, generation: string, digest: string, message: string,
 *   continued: boolean, dead: string }} Done
 */

/** One curl process, and what its --verbose and --write-out say, in order. */
class CurlRun {
  #child
  /** @type {{ resolve: (done: Done) => void, reject: (error: Error) => void, promise: Promise<Done> }[]} */
  #awaited

  /**
   * @param {string} config
   * @param {number} transfers
   */
  constructor(config, transfers) {
    this.#awaited = Array.from({ length: transfers }, () => {
      /** @type {any} */
      const awaited = {}
      awaited.promise = new Promise((resolve, reject) => Object.assign(awaited, { resolve, reject }))
      awaited.promise.catch(() => {}) // looked at when its turn comes
      return awaited
    })
    // --disable: nobody's ~/.curlrc. --stderr -: one stream, so that what is said is said of the transfer that ends next.
    this.#child = spawn('curl', ['--disable', '--silent', '--verbose', '--stderr', '-', '--config', '-'], { stdio: ['pipe', 'pipe', 'ignore'] })
    let rest = ''
    let ended = 0
    let said = /** @type {string[]} */ ([])
    this.#child.stdout?.setEncoding('latin1').on('data', (/** @type {string} */ piece) => {
      const lines = (rest + piece).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        if (!line.startsWith('done|')) {
          said.push(line.trim())
          continue
        }
        this.#awaited[ended++]?.resolve(parseDone(line, said))
        said = []
      }
    })
    const fail = (/** @type {string} */ why) => {
      for (const { reject } of this.#awaited) reject(new RequestFailure('other-curl', why))
    }
    this.#child.on('error', (error) => fail(error.message))
    this.#child.on('close', (code, signal) => fail(`curl ended (${signal ?? `status ${code}`}) before this transfer did`))
    this.#child.stdin?.on('error', () => {})
    this.#child.stdin?.end(config)
  }

  /** @param {number} index of the transfer */
  done(index) {
    return /** @type {Promise<Done>} */ (this.#awaited[index]?.promise)
  }

  kill() {
    this.#child.kill('SIGKILL')
  }
}

/**
 * @param {string} line
 * @param {string[]} said
 * @returns {Done}
 */
function parseDone(line, said) {
  const [, exit, status, release = '', generation = '', digest = '', ...message] = line.split('|')
  return {
    exit: Number(exit), status: Number(status), release, generation, digest,
    message: message.join('|'),
    continued: said.some((text) => text.startsWith('< HTTP/1.1 100')),
    dead: said.find((text) => /connection died|seems to be dead/i.test(text)) ?? '',
  }
}
