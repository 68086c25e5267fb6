import type { Socket } from 'node:net'

/** A request line longer than this is no browser's. */
const longestLine = 16_384

/** For the first line to come, and then for the client to read the answer. */
const patienceMs = 5_000

/**
 * Ends a connection that leads nowhere. A client that begins as HTTP/1 does is told why with a 503; any other, such as one
 * that speaks TLS, could not read that, and is closed.
 */
export function refuseConnection(client: Socket, text: string): void {
  const timer = setTimeout(() => client.destroy(), patienceMs)
  client.once('close', () => clearTimeout(timer))
  // With half-open connections allowed, node answers the end of a client's bytes with none of its own.
  client.once('end', () => client.end())
  let begin = Buffer.alloc(0)
  const read = (chunk: Buffer): void => {
    begin = Buffer.concat([begin, chunk])
    const verdict = judgeBegin(begin)
    if (verdict === 'unknown') return
    client.off('data', read)
    if (verdict === 'other') {
      client.destroy()
      return
    }
    client.end(refusalOf(text, verdict === 'head'))
    // A body that is still coming is read and dropped: with bytes unread, the kernel would reset the connection, answer and all.
    client.resume()
  }
  client.on('data', read)
}

/** Judges the first bytes of a connection. Pure. @returns `head` for a request that takes no body in its answer */
export function judgeBegin(begin: Buffer): 'request' | 'head' | 'other' | 'unknown' {
  const end = begin.indexOf(10)
  const line = begin.subarray(0, end === -1 ? longestLine : end).toString('latin1')
  if (!/^[A-Z]{0,20}(?: |$)/.test(line)) return 'other'
  if (end === -1) return begin.length < longestLine ? 'unknown' : 'other'
  if (!/^[A-Z]{3,20} \S+ HTTP\/1\.[01]\r?$/.test(line)) return 'other'
  return line.startsWith('HEAD ') ? 'head' : 'request'
}

function refusalOf(text: string, isHead: boolean): string {
  const head = [
    'HTTP/1.1 503 Service Unavailable',
    'Content-Type: text/plain; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(text)}`,
    'Cache-Control: no-store',
    'Retry-After: 10',
    'Connection: close',
  ]
  return `${head.join('\r\n')}\r\n\r\n${isHead ? '' : text}`
}
