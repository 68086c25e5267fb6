/** The load generator must see every loss, once: a generator that cannot fail proves nothing. */
import { EventEmitter, once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { makeCertificate } from '../traffic/certificate.js'
import { digestOf, makeTarget } from '../traffic/target.js'
import { makeTargetServers } from '../traffic/target-servers.js'
import { startTraffic } from '../traffic/traffic.js'
import { drive, good, listen, open, outcomes, running, serve, serveAll, serveRaw, start, type Kind } from './stub-server.js'

const getters: Kind[] = ['keepAlive', 'fetch', 'connect', 'undici']
const plainKinds = { keepAlive: 2, fetch: 2, connect: 2, post: 2, download: 2, upload: 1, pipeline: 1, undici: 2, curl: 1, webSocket: 2, eventSource: 2, idle: 2, rude: 6 }
const everyKind = { ...plainKinds, https: 2, h2c: 2, h2: 2 }

describe('a good server', () => {
  for (const ownProcess of [true, false]) {
    test(`has no failure, ownProcess: ${ownProcess}`, async () => {
      const { address, others } = await serveAll({ exportMs: 200, keepAliveMs: 1_000 })
      const traffic = start(address, everyKind, { ownProcess, others, uploadMs: 200 })
      await traffic.until((ledger) => Object.keys(everyKind).every((kind) => (ledger.byKind()[kind]?.requests ?? 0) >= 3))
      const ledger = await traffic.stop()
      expect(ledger.failures).toEqual([])
      // Of some of the rude ones nobody reads the answer.
      expect(Object.keys(ledger.byRelease()).sort()).toEqual(['', '7'])
      for (const kind of Object.keys(everyKind)) expect([kind, ledger.generationsSeenBy(kind)]).toEqual([kind, ['3']])
      expect(ledger.records.filter((record) => record.release === '' && record.kind !== 'rude')).toEqual([])
      expect(ledger.byKind()['download']?.medianMs).toBeGreaterThan(150)
      expect(ledger.byKind()['upload']?.medianMs).toBeGreaterThan(150)
    })
  }

  test('on a unix path', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'traffic-'))
    open.push(() => rmSync(folder, { recursive: true }))
    const server = makeTargetServers({ release: '1', exportMs: 50, pem: makeCertificate() }).http
    server.keepAliveTimeout = 1_000
    const address = await listen(server, join(folder, 'socket'))
    const traffic = start(address, plainKinds, { uploadMs: 50 })
    await traffic.until((ledger) => Object.keys(plainKinds).every((kind) => (ledger.byKind()[kind]?.requests ?? 0) >= 2))
    expect((await traffic.stop()).failures).toEqual([])
  })

  test('may close a connection after it has said so', async () => {
    const { address } = await serveRaw((socket, _, ofSocket) => {
      if (ofSocket === 1) socket.write(good)
      else socket.end(good.replace('\r\n', '\r\nConnection: close\r\n'))
    })
    for (const kind of getters) expect((await drive(address, kind, 30)).failures).toEqual([])
  })

  test('is sent all of the mix at a steady rate', async () => {
    const address = await serve(makeTarget({ release: '1', exportMs: 500 }))
    const traffic = startTraffic({ address })
    running.push(traffic)
    await traffic.until(1_000, { timeoutMs: 10_000 })
    const ledger = await traffic.stop()
    const perSecond = ledger.requests / ((ledger.endMs ?? NaN) / 1_000)
    expect(ledger.failures).toEqual([])
    expect(Object.keys(ledger.byKind()).sort()).toEqual(['connect', 'download', 'fetch', 'keepAlive', 'post'])
    expect(perSecond).toBeGreaterThan(150)
    expect(perSecond).toBeLessThan(1_000)
  })
})

describe('each loss is counted once, and nothing is sent twice', () => {
  for (const kind of getters) {
    test(`a reset in place of every third answer, ${kind}`, async () => {
      let resets = 0
      const { address, seen } = await serveRaw((socket, nth) => {
        if (nth % 3 !== 0) return void socket.write(good)
        resets++
        socket.resetAndDestroy()
      })
      const ledger = await drive(address, kind, 60)
      expect(ledger.failuresByOutcome()).toEqual({ reset: resets })
      expect(ledger.requests).toBe(seen.requests)
    })

    test(`a connection closed under a request (the keep-alive race), ${kind}`, async () => {
      let closed = 0
      const { address, seen } = await serveRaw((socket, nth, ofSocket) => {
        // A new connection for each request knows no second one: take every second of all.
        if ((kind === 'connect' ? nth : ofSocket) % 2 === 1) return void socket.write(good)
        closed++
        socket.end()
      })
      const ledger = await drive(address, kind, 60)
      expect(closed).toBeGreaterThan(0)
      expect(ledger.failuresByOutcome()).toEqual({ 'hang-up': closed })
      expect(ledger.requests).toBe(seen.requests)
    })
  }

  test('the real race: idle connections closed while requests are on their way', async () => {
    const server = http.createServer(makeTarget({ release: '1' }))
    const address = await listen(server)
    const traffic = start(address, { keepAlive: 20, fetch: 10, post: 20 }, { thinkMs: 2, ownProcess: true })
    while (traffic.ledger.failures.length === 0) {
      await traffic.until(1)
      server.closeIdleConnections() // as close() does in a drain that is not soft
    }
    const ledger = await traffic.stop()
    expect(Object.keys(ledger.failuresByOutcome()).filter((outcome) => !['reset', 'hang-up'].includes(outcome))).toEqual([])
  })
})

describe('each kind of failure has its name', () => {
  test('refused', async () => {
    const server = net.createServer()
    const address = await listen(server)
    server.close()
    await once(server, 'close')
    for (const kind of [...getters, 'post', 'download', 'pipeline'] as Kind[]) {
      const ledger = await drive(address, kind, 6)
      expect([kind, ...outcomes(ledger)]).toEqual([kind, 'refused'])
      expect(ledger.byRelease()).toEqual({})
    }
  })

  test('refused, on a unix path that is not there', async () => {
    for (const kind of [...getters, 'pipeline'] as Kind[]) {
      expect(outcomes(await drive('/run/no-such-socket', kind, 6))).toEqual(['refused'])
    }
  })

  test('bad-status-503', async () => {
    const address = await serve((_, response) => void response.writeHead(503, { 'x-release': '2', 'content-length': 0 }).end())
    for (const kind of [...getters, 'post', 'download', 'pipeline'] as Kind[]) {
      const ledger = await drive(address, kind, 6)
      expect([kind, ...outcomes(ledger)]).toEqual([kind, 'bad-status-503'])
      expect(ledger.failures[0]?.release).toBe('2')
    }
  })

  test('bad-body: a digest that is not that of the body', async () => {
    const address = await serve((_, response) => {
      response.writeHead(200, { 'content-digest': digestOf(Buffer.from('right')), 'content-length': 5 }).end('wrong')
    })
    for (const kind of [...getters, 'download', 'pipeline'] as Kind[]) {
      expect([kind, ...outcomes(await drive(address, kind, 6))]).toEqual([kind, 'bad-body'])
    }
  })

  test('bad-body: a download without a digest cannot be believed', async () => {
    const address = await serve((_, response) => void response.end('something'))
    expect(outcomes(await drive(address, 'download', 3))).toEqual(['bad-body'])
  })

  test('bad-body: a receipt for another order', async () => {
    const address = await serve((_, response) => {
      response.writeHead(201).end(JSON.stringify({ bytes: 3, sha256: 'of something else' }))
    })
    expect(outcomes(await drive(address, 'post', 6))).toEqual(['bad-body'])
    expect(outcomes(await drive(address, 'upload', 3, { uploadMs: 20 }))).toEqual(['bad-body'])
  })

  test('bad-body: a receipt that is not JSON', async () => {
    const address = await serve((_, response) => void response.end('thank you'))
    expect(outcomes(await drive(address, 'post', 6))).toEqual(['bad-body'])
  })

  test('cut-body: an answer that ends early, of known length', async () => {
    const { address } = await serveRaw((socket) => socket.end('HTTP/1.1 200 OK\r\nx-release: 5\r\nContent-Length: 9\r\n\r\nshort'))
    for (const kind of [...getters, 'download', 'pipeline'] as Kind[]) {
      const ledger = await drive(address, kind, 6)
      expect([kind, ...outcomes(ledger).slice(0, 1)]).toEqual([kind, 'cut-body'])
      if (kind !== 'pipeline') expect(ledger.failures[0]?.release).toBe('5')
    }
  })

  test('cut-body: a chunked answer without its end', async () => {
    const { address } = await serveRaw((socket) => socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n'))
    for (const kind of [...getters, 'download'] as Kind[]) {
      expect([kind, ...outcomes(await drive(address, kind, 6))]).toEqual([kind, 'cut-body'])
    }
  })

  test('cut-body: a reset in the middle', async () => {
    const { address } = await serveRaw((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort', () => setTimeout(() => socket.resetAndDestroy(), 20))
    })
    for (const kind of [...getters, 'download'] as Kind[]) {
      expect([kind, ...outcomes(await drive(address, kind, 6))]).toEqual([kind, 'cut-body'])
    }
  })

  test('bad-protocol', async () => {
    const { address } = await serveRaw((socket) => socket.end('SMTP ready\r\n\r\n'))
    for (const kind of ['keepAlive', 'connect', 'pipeline'] as Kind[]) {
      expect([kind, outcomes(await drive(address, kind, 6))[0]]).toEqual([kind, 'bad-protocol'])
    }
  })

  test('timeout: no answer', async () => {
    const { address, seen } = await serveRaw(() => {})
    for (const kind of [...getters, 'pipeline'] as Kind[]) {
      const before = seen.requests
      const ledger = await drive(address, kind, 4, { requestTimeoutMs: 60 })
      expect([kind, ledger.failures[0]?.outcome]).toEqual([kind, 'timeout'])
      if (kind !== 'pipeline') expect([kind, ...outcomes(ledger)]).toEqual([kind, 'timeout'])
      expect(ledger.requests).toBe(seen.requests - before)
    }
  })

  test('timeout: an answer that stops', async () => {
    const { address } = await serveRaw((socket) => void socket.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort'))
    expect(outcomes(await drive(address, 'keepAlive', 4, { requestTimeoutMs: 60 }))).toEqual(['timeout'])
    expect(outcomes(await drive(address, 'download', 4, { slowTimeoutMs: 60 }))).toEqual(['timeout'])
  })

  for (const ownProcess of [true, false]) {
    test(`stuck: still in flight at the deadline of stop(), ownProcess: ${ownProcess}`, async () => {
      let asked = 0
      const arrivals = new EventEmitter()
      const address = await serve(() => void (++asked === 3 && arrivals.emit('all')))
      const traffic = start(address, { keepAlive: 1, fetch: 1, post: 1 }, { ownProcess })
      await once(arrivals, 'all')
      const ledger = await traffic.stop({ deadlineMs: 50 })
      expect(ledger.failuresByOutcome()).toEqual({ stuck: 3 })
    })
  }

  test('the answers that a pipelining client was not given', async () => {
    const { address } = await serveRaw((socket, _, ofSocket) => {
      if (ofSocket === 1) socket.end(good.replace('\r\n', '\r\nConnection: close\r\n'))
    })
    const ledger = await drive(address, 'pipeline', 9)
    const batches = ledger.requests / 3
    expect(ledger.byRelease()).toEqual({ 1: batches })
    expect(ledger.failuresByOutcome()).toEqual({ 'hang-up': 2 * batches })
  })

  test('a fault of the generator never passes for a success', async () => {
    const address = await serve(makeTarget({ release: '1' }))
    const ledger = await drive(address, 'connect', 4, { paths: { get: ['/not a path'], post: '/', download: '/' } })
    expect(outcomes(ledger)[0]).toMatch(/^other-/)
    expect(ledger.failures.length).toBe(ledger.requests)
  })
})

describe('bounds', () => {
  test('maxRequests', async () => {
    const address = await serve(makeTarget({ release: '1' }))
    const traffic = start(address, { connect: 1 }, { maxRequests: 7 })
    await traffic.until(7)
    await expect(traffic.until(1, { timeoutMs: 100 })).rejects.toThrow(/did not get there within 100 ms.*"requests":7/)
  })

  test('maxMs', async () => {
    const address = await serve(makeTarget({ release: '1' }))
    const ledger = await start(address, { connect: 2 }, { maxMs: 0 }).stop()
    expect(ledger.failures).toEqual([])
  })

  test('loopback only', () => {
    expect(() => startTraffic({ address: '192.0.2.1:80' })).toThrow(/loopback only/)
    expect(() => startTraffic({ address: 'nonsense' })).toThrow(/not an address/)
  })

  test('too many clients', async () => {
    const traffic = start('127.0.0.1:9', { connect: 501 }, { ownProcess: true })
    await expect(traffic.stop()).rejects.toThrow(/501 clients, at most 500/)
  })

  test('a dead process of the traffic is an error, not silence', async () => {
    const address = await serve(makeTarget({ release: '1' }))
    const traffic = start(address, { connect: 1 }, { ownProcess: true })
    await traffic.until(1)
    process.kill(traffic.pid as number, 'SIGKILL')
    await expect(traffic.until(1_000_000)).rejects.toThrow(/ended by itself \(SIGKILL\)/)
    await expect(traffic.stop()).rejects.toThrow(/ended by itself/)
  })

  test('during() notes a failed action too', async () => {
    const address = await serve(makeTarget({ release: '1' }))
    const traffic = start(address, { connect: 1 })
    await expect(traffic.during('deploy', () => Promise.reject(new Error('no')))).rejects.toThrow('no')
    const [span] = (await traffic.stop()).spans
    expect(span).toMatchObject({ label: 'deploy' })
    expect(span?.toMs).toBeGreaterThanOrEqual(span?.fromMs ?? NaN)
  })
})
