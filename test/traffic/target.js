// @ts-check
/**
 * A server that answers the traffic as it should: the contract between the load generator and an app, in code.
 *
 * - `GET /` and `GET /products`: 2xx; `Content-Digest:` is checked where there is one
 * - `POST /orders`: 2xx and JSON with the body's `bytes` and `sha256`
 * - `GET /export`: 2xx, slow, chunked, with a `Content-Digest:`
 * - `GET /events`: an event stream without an end; ids count on from `Last-Event-ID:`, data is `{"release", "generation"}`
 * - every answer: `x-release:` and `x-generation:`
 */
import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { sha256 } from './checksum.js'

/**
 * @param {{ release: string, generation?: string, exportMs?: number }} options exportMs: default 5 s
 * @returns {import('node:http').RequestListener}
 */
export function makeTarget({ release, generation = '1', exportMs = 5_000 }) {
  const products = Buffer.from(JSON.stringify({ release, products: ['rope', 'anchor', 'cleat'] }))
  const parts = Array.from({ length: 10 }, (_, part) => Buffer.alloc(1_000, `part ${part} of release ${release} `))
  return async (request, response) => {
    response.setHeader('x-release', release)
    response.setHeader('x-generation', generation)
    const route = `${request.method} ${request.url}`
    if (route === 'POST /orders') {
      const body = await readAll(request)
      if (body === undefined) return
      response.writeHead(201, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ bytes: body.length, sha256: sha256(body) }))
    } else if (route === 'GET /export') {
      response.setHeader('content-digest', digestOf(Buffer.concat(parts)))
      for (const part of parts) {
        response.write(part)
        await delay(exportMs / parts.length)
      }
      response.end()
    } else if (route === 'GET /events') {
      response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
      response.write('retry: 100\n\n')
      let id = Number(request.headers['last-event-id'] ?? 0)
      const timer = setInterval(() => response.write(`id: ${++id}\ndata: ${JSON.stringify({ release, generation })}\n\n`), 50)
      response.on('close', () => clearInterval(timer))
    } else if (route === 'GET /' || route === 'GET /products') {
      response.setHeader('content-digest', digestOf(products))
      response.end(products)
    } else {
      response.writeHead(404).end()
    }
  }
}

/**
 * @param {import('node:http').IncomingMessage} request
 * @returns {Promise<Buffer | undefined>} undefined: the client left in the middle
 */
async function readAll(request) {
  const chunks = []
  try {
    for await (const chunk of request) chunks.push(chunk)
  } catch {
    return undefined
  }
  return Buffer.concat(chunks)
}

/** @param {Buffer} body @returns {string} as RFC 9530 writes it */
export function digestOf(body) {
  return `sha-256=:${createHash('sha256').update(body).digest('base64')}:`
}
