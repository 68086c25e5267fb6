/** The kinds of clients with a protocol or habits of their own: each must see its losses, once. */
import { once } from 'node:events'
import http from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import net from 'node:net'
import { describe, expect, test } from 'vitest'
import { WebSocketServer, type WebSocket } from 'ws'
import { makeCertificate } from '../traffic/certificate.js'
import { sha256 } from '../traffic/checksum.js'
import { digestOf, makeTarget } from '../traffic/target.js'
import { drive, good, listen, outcomes, serve, serveRaw, start, type Kind } from './stub-server.js'

const nowhere = async () => {
  const server = net.createServer()
  const address = await listen(server)
  server.close()
  await once(server, 'close')
  return address
}

test('refused, each kind', async () => {
  const address = await nowhere()
  for (const kind of ['curl', 'https', 'h2c', 'h2', 'webSocket', 'eventSource', 'idle', 'rude'] as Kind[]) {
    // An EventSource asks again after 3 s only.
    const ledger = await drive(address, kind, kind === 'eventSource' ? 2 : 4, { others: { https: address, h2c: address, h2: address } })
    expect([kind, ...outcomes(ledger)]).toEqual([kind, 'refused'])
  }
})

test('bad-status-503, each kind', async () => {
  const answer = (_: unknown, response: http.ServerResponse | http2.Http2ServerResponse) => void response.writeHead(503, { 'x-release': '2' }).end('no')
  const pem = makeCertificate()
  const address = await serve(answer)
  const others = {
    https: await listen(https.createServer({ key: pem, cert: pem }, answer)),
    h2c: await listen(http2.createServer(answer)),
    h2: await listen(http2.createSecureServer({ key: pem, cert: pem }, answer)),
    ca: pem,
  }
  for (const kind of ['curl', 'https', 'h2c', 'h2', 'webSocket', 'eventSource'] as Kind[]) {
    expect([kind, ...outcomes(await drive(address, kind, 4, { others }))]).toEqual([kind, 'bad-status-503'])
  }
})

describe('curl', () => {
  test('a reset in place of an answer', async () => {
    const { address } = await serveRaw((socket, nth) => (nth % 2 === 0 ? socket.resetAndDestroy() : socket.write(good)))
    expect((await drive(address, 'curl', 12)).failuresByOutcome()['reset']).toBeGreaterThan(0)
  })

  test('a connection closed under a request, which curl sends again by itself', async () => {
    let closed = 0
    const { address } = await serveRaw((socket, _, ofSocket) => {
      if (ofSocket === 1) return void socket.write(good)
      closed++
      socket.end()
    })
    const ledger = await drive(address, 'curl', 12)
    // Its uploads are no matter here: nobody says 100 Continue.
    const gets = ledger.failures.filter((failure) => failure.outcome !== 'bad-protocol' && failure.outcome !== 'bad-body')
    expect(closed).toBeGreaterThan(0)
    expect([...new Set(gets.map((failure) => failure.outcome))]).toEqual(['hang-up'])
    expect(gets[0]?.detail).toMatch(/Connection died, retrying/)
  })

  test('a connection that was kept and closed before the next request', async () => {
    const { address } = await serveRaw((socket) => socket.end(good))
    expect((await drive(address, 'curl', 12, { thinkMs: 50 })).failuresByOutcome()['early-close']).toBeGreaterThan(0)
  })

  test('an answer that ends early, and one that is wrong', async () => {
    const cut = await serveRaw((socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort'))
    expect((await drive(cut.address, 'curl', 6)).failuresByOutcome()['cut-body']).toBeGreaterThan(0)
    const wrong = await serve((request, response) => {
      request.resume()
      response.writeHead(200, { 'content-digest': digestOf(Buffer.from('right')) }).end('wrong')
    })
    expect(outcomes(await drive(wrong, 'curl', 6))).toEqual(['bad-body'])
  })

  test('an upload that was not told to continue', async () => {
    const target = makeTarget({ release: '1' })
    const server = http.createServer(target)
    const address = await listen(server)
    expect((await drive(address, 'curl', 12)).failures).toEqual([])
    server.on('checkContinue', (request: http.IncomingMessage, response: http.ServerResponse) => {
      response.writeHead(201, { connection: 'close' }).end(JSON.stringify({ bytes: 0, sha256: sha256(Buffer.of()) }))
      request.resume()
    })
    expect((await drive(address, 'curl', 12)).failuresByOutcome()).toMatchObject({ 'bad-protocol': expect.any(Number) })
  })
})

test('https: a reset in place of every third answer', async () => {
  const pem = makeCertificate()
  let nth = 0
  let resets = 0
  const address = await listen(
    https.createServer({ key: pem, cert: pem }, (request, response) => {
      if (++nth % 3 !== 0) return void response.end('hi')
      resets++
      request.socket.destroy()
    }),
  )
  const ledger = await drive(address, 'https', 30, { others: { https: address, ca: pem } })
  expect(Object.keys(ledger.failuresByOutcome()).filter((outcome) => !['reset', 'hang-up'].includes(outcome))).toEqual([])
  expect(ledger.failures.length).toBe(resets)
})

describe.each(['h2c', 'h2'] as const)('%s', (kind) => {
  const pem = makeCertificate()
  const target = makeTarget({ release: '1', exportMs: 50 }) as unknown as (request: http2.Http2ServerRequest, response: http2.Http2ServerResponse) => void

  const sockets = new Map<number | undefined, net.Socket>()
  /** Below HTTP/2, which does not let anybody do that. */
  const cutConnection = (response: http2.Http2ServerResponse) => sockets.get(response.stream.session?.socket.remotePort)?.destroy()

  /** Traffic of two sessions until n requests have ended, at a server that does something with each request first. */
  async function driveSessions(n: number, meddle: (session: http2.ServerHttp2Session, nth: number, response: http2.Http2ServerResponse) => boolean | void) {
    let nth = 0
    const answer = (request: http2.Http2ServerRequest, response: http2.Http2ServerResponse) => {
      if (meddle(request.stream.session as http2.ServerHttp2Session, ++nth, response) !== false) target(request, response)
    }
    const server = kind === 'h2' ? http2.createSecureServer({ key: pem, cert: pem }, answer) : http2.createServer(answer)
    server.on('sessionError', () => {})
    server.on('connection', (socket: net.Socket) => sockets.set(socket.remotePort, socket))
    const address = await listen(server)
    return drive(address, kind, n, { others: { [kind]: address, ca: pem } })
  }

  test('a session may go away after it has said so; what crossed that is sent again', async () => {
    const ledger = await driveSessions(60, (session, nth) => void (nth % 5 === 0 && session.close()))
    expect(ledger.failures).toEqual([])
    expect(ledger.repeatsOf(kind)).toBeGreaterThan(0)
  })

  test('a stream that is refused after a long time is a loss', async () => {
    const ledger = await driveSessions(8, (session, nth, response) => {
      if (nth % 4 !== 0) return
      session.goaway(0, 2 ** 31 - 1)
      setTimeout(() => response.stream.close(http2.constants.NGHTTP2_REFUSED_STREAM), 2_200)
      return false
    })
    expect(Object.keys(ledger.failuresByOutcome())).toEqual(['timeout'])
  })

  test('a stream that is reset', async () => {
    const ledger = await driveSessions(20, (_, nth, response) => (nth % 4 === 0 ? (response.stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR), false) : undefined))
    expect(ledger.failures.length).toBeGreaterThan(0)
    expect(Object.keys(ledger.failuresByOutcome())).toEqual(['reset'])
  })

  test('a session that is cut with requests on their way', async () => {
    const ledger = await driveSessions(20, (_, nth, response) => (nth % 4 === 0 ? (cutConnection(response), false) : undefined))
    expect(ledger.failures.length).toBeGreaterThan(0)
    expect(Object.keys(ledger.failuresByOutcome()).filter((outcome) => !['reset', 'hang-up', 'cut-body'].includes(outcome))).toEqual([])
  })

  test('a session that is cut while it is idle, counted once', async () => {
    let cut = 0
    const quick = makeTarget({ release: '1', exportMs: 0 }) as unknown as typeof target
    const sockets = new Set<net.Socket>()
    const server = kind === 'h2' ? http2.createSecureServer({ key: pem, cert: pem }, quick) : http2.createServer(quick)
    server.on('connection', (socket: net.Socket) => sockets.add(socket))
    const address = await listen(server)
    const traffic = start(address, { [kind]: 1 }, { thinkMs: 1_000, others: { [kind]: address, ca: pem } })
    await traffic.until((ledger) => ledger.requests >= 3)
    for (const socket of sockets) {
      cut++
      socket.destroy()
    }
    await traffic.until((ledger) => ledger.failures.length > 0)
    expect((await traffic.stop()).failuresByOutcome()).toEqual({ 'early-close': cut })
  })

  test('an answer cut short, a wrong one, and none', async () => {
    const short = await driveSessions(6, (_, __, response) => {
      response.writeHead(200)
      response.write('short')
      response.stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR)
      return false
    })
    expect(outcomes(short)).toEqual(['cut-body'])
    const wrong = await driveSessions(6, (_, __, response) => {
      response.writeHead(200, { 'content-digest': digestOf(Buffer.from('right')) }).end('wrong')
      return false
    })
    expect(outcomes(wrong)).toEqual(['bad-body'])
  })
})

describe('webSocket', () => {
  /** A server that echoes, after it was asked what else to do with the message. */
  async function serveSockets(meddle: (socket: WebSocket, nth: number) => boolean | void) {
    const server = http.createServer()
    let nth = 0
    new WebSocketServer({ server }).on('connection', (socket) => {
      socket.on('message', (data) => {
        if (meddle(socket, ++nth) !== false) socket.send(JSON.stringify({ release: '1', generation: '1', echo: String(data) }))
      })
    })
    return listen(server)
  }

  test('comes back after 1001, and nothing is lost', async () => {
    let closed = 0
    const address = await serveSockets((socket, nth) => {
      if (nth % 3 === 0) socket.close(1001, `${++closed}`)
      return nth % 6 !== 3 // said before or after the last echo
    })
    const ledger = await drive(address, 'webSocket', 30)
    expect(closed).toBeGreaterThan(5)
    expect(ledger.failures).toEqual([])
  })

  test('sees one that is cut, one that is closed for another reason, and one that is not closed to the end', async () => {
    const cut = await serveSockets((socket, nth) => (nth % 3 === 0 ? (socket.terminate(), false) : undefined))
    expect((await drive(cut, 'webSocket', 12)).failuresByOutcome()).toEqual({ 'bad-close-1006': expect.any(Number) })
    const sorry = await serveSockets((socket, nth) => (nth % 3 === 0 ? (socket.close(1011), false) : undefined))
    expect((await drive(sorry, 'webSocket', 12)).failuresByOutcome()).toEqual({ 'bad-close-1011': expect.any(Number) })
    const silent = await serveSockets(() => false)
    expect(outcomes(await drive(silent, 'webSocket', 4, { requestTimeoutMs: 60 }))).toEqual(['timeout'])
  })

  test('sees one that is cut while nothing was said, once', async () => {
    let cut = 0
    const address = await serveSockets((socket) => void (++cut <= 2 && setImmediate(() => socket.terminate())))
    const traffic = start(address, { webSocket: 2 }, { thinkMs: 100 })
    await traffic.until((ledger) => ledger.failures.length >= 2)
    await traffic.until(4)
    expect((await traffic.stop()).failuresByOutcome()).toEqual({ 'bad-close-1006': 2 })
  })

  test('sees a wrong echo', async () => {
    const address = await serveSockets((socket) => {
      socket.send(JSON.stringify({ release: '1', generation: '1', echo: 'something else' }))
      return false
    })
    expect(outcomes(await drive(address, 'webSocket', 4))).toEqual(['bad-body'])
  })
})

describe('eventSource', () => {
  /** A stream that is ended, or whatever, after each third event. */
  function serveEvents(meddle: (response: http.ServerResponse) => void, next = (id: number) => id + 1) {
    return serve((request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write('retry: 10\n\n')
      let id = Number(request.headers['last-event-id'] ?? 0)
      let left = 3
      const timer = setInterval(() => {
        if (left-- === 0) return void meddle(response)
        if (left < 0) return
        id = next(id)
        response.write(`id: ${id}\ndata: {"release":"1","generation":"1"}\n\n`)
      }, 5)
      response.on('close', () => clearInterval(timer))
    })
  }

  /** Of two sources that get three events each. */
  async function countWrong(address: string) {
    const traffic = start(address, { eventSource: 2 })
    await traffic.until((ledger) => (ledger.failuresByOutcome()['bad-body'] ?? 0) >= 2)
    return (await traffic.stop({ deadlineMs: 0 })).failuresByOutcome()['bad-body']
  }

  test('comes back after an end, and no event is missing', async () => {
    const ledger = await drive(await serveEvents((response) => void response.end()), 'eventSource', 20)
    expect(ledger.failures).toEqual([])
    expect(ledger.byRelease()).toEqual({ 1: ledger.requests })
  })

  test('sees a stream that is cut', async () => {
    const ledger = await drive(await serveEvents((response) => void response.socket?.resetAndDestroy()), 'eventSource', 12)
    expect(ledger.failuresByOutcome()).toEqual({ 'cut-body': expect.any(Number) })
  })

  test('sees an event that is missing, one that comes twice, and a stream that says nothing', async () => {
    const missing = await serveEvents(() => {}, (id) => (id === 2 ? 4 : id + 1))
    expect(await countWrong(missing)).toBe(2)
    const twice = await serveEvents(() => {}, (id) => Math.min(id + 1, 2))
    expect(await countWrong(twice)).toBe(2)
    const silent = await serve((_, response) => void response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders())
    expect(outcomes(await drive(silent, 'eventSource', 2, { requestTimeoutMs: 60 }))).toEqual(['timeout'])
  })
})

describe('idle', () => {
  const promise = 'HTTP/1.1 200 OK\r\nx-release: 1\r\nKeep-Alive: timeout=2\r\nContent-Length: 2\r\n\r\nhi'

  test('sees a connection that is closed before its promised time', async () => {
    for (const close of [(socket: net.Socket) => void socket.end(), (socket: net.Socket) => void socket.resetAndDestroy()]) {
      const { address } = await serveRaw((socket) => {
        socket.write(promise, () => close(socket))
      })
      const traffic = start(address, { idle: 5 })
      await traffic.until((ledger) => ledger.failures.length >= 5)
      expect(Object.keys((await traffic.stop()).failuresByOutcome())).toEqual(['early-close'])
    }
  })

  test('holds nobody to a promise that was not made, or was taken back', async () => {
    const { address } = await serveRaw((socket) => socket.end(promise.replace('\r\n', '\r\nConnection: close\r\n')))
    expect((await drive(address, 'idle', 6)).failures).toEqual([])
  })
})

describe('rude', () => {
  const detailsOf = (ledger: { failures: { outcome: string; detail?: string }[] }) =>
    [...new Set(ledger.failures.map(({ outcome, detail }) => `${outcome}, ${detail?.split(':')[0]}`))].sort()

  test('sees that a new connection is closed before it could ask', async () => {
    const address = await listen(net.createServer((socket) => socket.on('data', () => {}).end()))
    const traffic = start(address, { rude: 12 })
    await traffic.until(24)
    expect(detailsOf(await traffic.stop())).toEqual(['early-close, silent', 'hang-up, byteByByte', 'hang-up, halfSent'])
  })

  test('sees that a request that was begun is cut', async () => {
    const address = await listen(net.createServer((socket) => socket.once('data', () => socket.resetAndDestroy())))
    const traffic = start(address, { rude: 12 })
    await traffic.until(24)
    expect(detailsOf(await traffic.stop())).toEqual(['reset, byteByByte', 'reset, halfSent', 'reset, silent'])
  })
})
