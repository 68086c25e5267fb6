/** Requests that last longer than a handover. */
import { createHash, randomBytes } from 'node:crypto'
import http from 'node:http'
import { describe, expect, it } from 'vitest'
import { makeShop, recorded } from './apps.js'
import { expectSuccess, holdfast, journal, systemctl, waitFor } from './harness.js'

const megabyte = 1024 * 1024
const digestServer = `
import { createHash } from 'node:crypto'
import http from 'node:http'

http.createServer(async (request, response) => {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const piece of request) {
    hash.update(piece)
    bytes += piece.length
  }
  response.end(JSON.stringify({ bytes, sha256: hash.digest('hex'), generation: process.env.HOLDFAST_GENERATION }))
}).listen(process.env.PORT)
`

interface Digest {
  bytes: number
  sha256: string
  generation: string
}

/** Sends random pieces at a steady pace. */
function upload(address: string, options: { bytes: number; overMs: number }): { answer: Promise<Digest & { sent: string; connection: string | undefined }>; sentBytes: () => number } {
  const piece = randomBytes(megabyte)
  const pieces = options.bytes / piece.length
  const hash = createHash('sha256')
  let sentPieces = 0
  const answer = new Promise<Digest & { sent: string; connection: string | undefined }>((resolve, reject) => {
    const request = http.request(`http://${address}/`, { method: 'PUT', headers: { 'content-length': options.bytes } }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (part: string) => (text += part)).on('error', reject)
      response.on('end', () => resolve({ ...(JSON.parse(text) as Digest), sent: hash.digest('hex'), connection: response.headers.connection }))
    })
    request.on('error', reject)
    const pace = setInterval(() => {
      request.write(piece)
      hash.update(piece)
      if (++sentPieces < pieces) return
      clearInterval(pace)
      request.end()
    }, options.overMs / pieces)
  })
  return { answer, sentBytes: () => sentPieces * piece.length }
}

describe('a slow upload', () => {
  it('of 100 MB over 20 s outlasts two deploys', async () => {
    const shop = await makeShop('upload', { config: '[start]\nsettle = "500ms"' })
    await shop.write({ 'server.js': digestServer })
    expectSuccess(await holdfast('install', shop.config))
    const { answer, sentBytes } = upload(shop.address, { bytes: 100 * megabyte, overMs: 20_000 })
    await waitFor('the upload is under way', () => sentBytes() > 5 * megabyte)
    for (const comment of ['// 2\n', '// 3\n']) {
      await shop.write({ 'server.js': comment + digestServer })
      expectSuccess(await systemctl('restart', shop.name))
    }
    expect((await recorded(shop)).live?.generation).toBe(3)
    expect(sentBytes()).toBeLessThan(100 * megabyte)
    const { bytes, sha256, sent, generation, connection } = await answer
    expect({ bytes, sha256, generation, connection }).toEqual({ bytes: 100 * megabyte, sha256: sent, generation: '1', connection: 'close' })
    await waitFor('generation 1 has drained', async () => /1 request answered; nothing was cut/.test(await journal(shop.name)))
  })
})
