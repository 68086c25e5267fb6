// @ts-check
import http from 'node:http'
import https from 'node:https'
import { setTimeout as delay } from 'node:timers/promises'
import { classifyFailure, RequestFailure } from './failure.js'

/**
 * Who answered, filled in as soon as the answer's head is read, so that a body cut short still has a name to it.
 *
 * @typedef {{ release: string, generation: string, repeats?: number }} Sighting repeats: see RequestRecord
 */
/**
 * One exchange with the server, never repeated: a client that tries again hides the very loss that is being looked for.
 *
 * @typedef {object} Exchange
 * @property {string} method
 * @property {string} path
 * @property {Buffer} [body]
 * @property {number} [bodyMs] send the body in ten parts over this long
 * @property {AbortSignal} signal
 * @property {Sighting} sighting
 */
/** @typedef {{ digest: string | undefined, body: Buffer }} Answer */

/**
 * Over node:http (or node:https, if the agent is one of it), which never retries.
 *
 * @param {import('./address.js').Target} target
 * @param {http.Agent | https.Agent | false} agent false: a new connection for this request alone
 * @param {Exchange} exchange
 * @returns {Promise<Answer>}
 */
export function exchangeOverHttp(target, agent, exchange) {
  return new Promise((resolve, reject) => {
    const { method, path, body, bodyMs, signal, sighting } = exchange
    /** @type {'answer' | 'body'} */
    let awaited = 'answer'
    const headers = body === undefined ? {} : { 'content-type': 'application/octet-stream', 'content-length': body.length }
    const { request: begin } = agent instanceof https.Agent ? https : http
    const request = begin({ ...target, agent, method, path, headers, signal }, (response) => {
      awaited = 'body'
      noteSighting(sighting, (name) => response.headers[name])
      const chunks = /** @type {Buffer[]} */ ([])
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('error', (error) => reject(classifyFailure(error, 'body')))
      response.on('end', () => {
        if (!response.complete) return reject(new RequestFailure('cut-body', 'incomplete message'))
        const status = response.statusCode ?? 0
        if (status < 200 || status > 299) return reject(new RequestFailure(`bad-status-${status}`))
        const digest = response.headers['content-digest']
        resolve({ digest: Array.isArray(digest) ? digest[0] : digest, body: Buffer.concat(chunks) })
      })
    })
    request.on('error', (error) => reject(classifyFailure(error, awaited)))
    if (bodyMs === undefined || body === undefined) request.end(body)
    else sendSlowly(request, body, bodyMs, signal).catch(reject)
  })
}

/**
 * Over fetch and undici's pool. Undici repeats a request by itself only when no byte of it was sent (checked by
 * traffic.test.ts against a server that counts what it reads).
 *
 * @param {string} origin such as http://127.0.0.1:8080
 * @param {object | undefined} dispatcher undefined: node's global one
 * @param {Exchange} exchange
 * @returns {Promise<Answer>}
 */
export async function exchangeOverFetch(origin, dispatcher, { method, path, signal, sighting }) {
  /** @type {'answer' | 'body'} */
  let awaited = 'answer'
  try {
    const init = /** @type {RequestInit} */ ({ method, signal, redirect: 'manual', ...(dispatcher && { dispatcher }) })
    const response = await fetch(origin + path, init)
    awaited = 'body'
    noteSighting(sighting, (name) => response.headers.get(name))
    const body = Buffer.from(await response.arrayBuffer())
    if (!response.ok) throw new RequestFailure(`bad-status-${response.status}`)
    return { digest: response.headers.get('content-digest') ?? undefined, body }
  } catch (error) {
    throw classifyFailure(error, awaited)
  }
}

/**
 * Over undici itself, without fetch on top. Of repeating, the same holds.
 *
 * @param {import('undici').Dispatcher} pool
 * @param {Exchange} exchange
 * @returns {Promise<Answer>}
 */
export async function exchangeOverUndici(pool, { method, path, signal, sighting }) {
  /** @type {'answer' | 'body'} */
  let awaited = 'answer'
  try {
    const answer = await pool.request({ method: /** @type {'GET'} */ (method), path, signal })
    awaited = 'body'
    noteSighting(sighting, (name) => answer.headers[name])
    const bytes = Buffer.from(await answer.body.arrayBuffer())
    if (answer.statusCode < 200 || answer.statusCode > 299) throw new RequestFailure(`bad-status-${answer.statusCode}`)
    const digest = answer.headers['content-digest']
    return { digest: Array.isArray(digest) ? digest[0] : digest, body: bytes }
  } catch (error) {
    throw classifyFailure(error, awaited)
  }
}

/**
 * @param {Sighting} sighting
 * @param {(name: string) => string | string[] | null | undefined} header
 */
export function noteSighting(sighting, header) {
  sighting.release = String(header('x-release') ?? '')
  sighting.generation = String(header('x-generation') ?? '')
}

/**
 * @param {http.ClientRequest} request
 * @param {Buffer} body
 * @param {number} bodyMs
 * @param {AbortSignal} signal
 */
async function sendSlowly(request, body, bodyMs, signal) {
  const parts = 10
  for (let part = 0; part < parts; part++) {
    request.write(body.subarray((part * body.length) / parts, ((part + 1) * body.length) / parts))
    if (request.destroyed) return
    await delay(bodyMs / parts, undefined, { signal, ref: false }).catch(() => {})
  }
  request.end()
}
