// @ts-check
import { createHash, randomBytes } from 'node:crypto'
import { RequestFailure } from './failure.js'

/**
 * @param {Uint8Array} body
 * @returns {string} sha-256 in hexadecimal
 */
export function sha256(body) {
  return createHash('sha256').update(body).digest('hex')
}

/**
 * Checks a body against the answer's `Content-Digest:` (RFC 9530), which the server computed from what it meant to send.
 *
 * @param {string | undefined} header
 * @param {Uint8Array} body
 * @param {{ required: boolean }} options
 */
export function verifyDigest(header, body, { required }) {
  if (header === undefined) {
    if (required) throw new RequestFailure('bad-body', 'no Content-Digest in the answer')
    return
  }
  const expected = /^sha-256=:([A-Za-z0-9+/=]+):$/.exec(header)?.[1]
  if (expected === undefined) throw new RequestFailure('bad-body', `unreadable Content-Digest: ${header}`)
  const observed = createHash('sha256').update(body).digest('base64')
  if (observed !== expected) {
    throw new RequestFailure('bad-body', `${body.length} bytes with digest ${observed}, expected ${expected}`)
  }
}

/**
 * The answer to a POST must prove that the server read this very body: `{"bytes": n, "sha256": "…"}`.
 *
 * @param {Uint8Array} sent
 * @param {Uint8Array} answer
 */
export function verifyReceipt(sent, answer) {
  let receipt
  try {
    receipt = JSON.parse(Buffer.from(answer).toString())
  } catch {
    throw new RequestFailure('bad-body', 'the receipt is not JSON')
  }
  if (receipt?.bytes !== sent.length || receipt?.sha256 !== sha256(sent)) {
    throw new RequestFailure('bad-body', `sent ${sent.length} bytes, the receipt is for ${receipt?.bytes} or other ones`)
  }
}

/** @returns {Buffer} an order of 20 bytes to 32 KiB, never the same twice */
export function makeOrder() {
  const size = Math.random() < 0.9 ? 20 + Math.floor(Math.random() * 500) : Math.floor(Math.random() * 32_768) + 20
  return randomBytes(size)
}
