import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { WebSocket, WebSocketServer } from 'ws'
import { describe, expect, it, onTestFinished } from 'vitest'
import { PreviewRelay } from '../../src/deploy/preview/preview-relay.js'
import { servePreview } from '../../src/deploy/preview/preview-server.js'
import { fateOf, requirePrivateSocket, routeTo, routeToHeld, type PreviewRoute } from '../../src/deploy/preview/preview-target.js'
import { pathsOf, type AppPaths } from '../../src/release/paths.js'
import { privateSocket } from '../../src/release/standby.js'
import type { Held, State } from '../../src/release/state.js'
import { waitFor } from '../system/run.js'
import { makeCertificate } from '../traffic/index.js'

function makePaths(): AppPaths {
  const folder = mkdtempSync(join(tmpdir(), 'hf-preview-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const at = (name: string): string => join(folder, name)
  const paths = pathsOf({ scope: 'system', config: at('config'), units: at('units'), runtimeUnits: at('runtime'), state: at('state'), run: at('run') }, 'shop')
  mkdirSync(paths.state, { recursive: true })
  return paths
}

const heldOf = (generation: number, processes = 1): Held => ({ generation, release: `r${generation}`, processes, kind: 'hold', since: '2026-01-01T00:00:00.000Z', afterDrain: false })
const record = (paths: AppPaths, state: Partial<State>): void =>
  writeFileSync(join(paths.state, 'state.json'), JSON.stringify({ version: 1, generation: 99, ...state }))

/** Serves on the private socket of an instance. */
async function serve<S extends Server>(paths: AppPaths, generation: number, process: number, server: S): Promise<S> {
  const path = privateSocket(paths, { generation, process })
  mkdirSync(dirname(path), { recursive: true })
  await once(server.listen(path), 'listening')
  onTestFinished(() => void server.close())
  return server
}

const says = (text: string): Server => createServer((socket) => socket.on('error', () => {}).end(text))

interface Opened {
  relay: PreviewRelay
  port: number
  stop: AbortController
  ended: Promise<void>
}

async function open(route: () => PreviewRoute, { idleMs, graceMs = 0, limit }: { idleMs?: number; graceMs?: number; limit?: number } = {}): Promise<Opened> {
  const relay = new PreviewRelay(route, limit)
  const server = relay.makeServer()
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const stop = new AbortController()
  const ended = servePreview(relay, [server], { ...(idleMs === undefined ? {} : { idleMs }), signal: stop.signal, graceMs })
  onTestFinished(async () => {
    stop.abort()
    relay.cutAll()
    await ended
  })
  return { relay, port: (server.address() as AddressInfo).port, stop, ended }
}

function dial(port: number): Socket {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }).on('error', () => {})
  onTestFinished(() => void socket.destroy())
  return socket
}

/** All that comes until the other side has said all. Unlike a loop over the socket, it leaves that as it is. */
function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = []
  return new Promise((resolve, reject) => {
    socket.on('data', (chunk) => chunks.push(chunk)).once('end', () => resolve(Buffer.concat(chunks))).once('error', reject)
  })
}

/** Until the client cannot get rid of any more: what it still has no longer changes. */
async function waitUntilHeldUp(socket: Socket): Promise<void> {
  let before = -1
  await waitFor('the client is held up', () => {
    const now = socket.writableLength
    const isStill = now === before && now > 0
    before = now
    return isStill
  }, { everyMs: 200 })
}

async function sayTo(port: number, text: string | Buffer): Promise<string> {
  const socket = dial(port)
  socket.write(text)
  const answer = await readAll(socket)
  socket.end()
  return answer.toString('latin1')
}

describe('bytes', () => {
  it('pass as they are, both ways, and each side may end before the other', async () => {
    const paths = makePaths()
    record(paths, { held: heldOf(43) })
    // Answers only once it has heard all; then ends, and hears nothing more.
    await serve(paths, 43, 1, createServer({ allowHalfOpen: true }, (socket) => void readAll(socket).then((all) => socket.end(all.reverse()))))
    const { port, relay } = await open(() => routeToHeld(paths))
    const sent = randomBytes(3_000_000)
    const socket = dial(port)
    socket.end(sent)
    expect((await readAll(socket)).equals(Buffer.from(sent).reverse())).toBe(true)
    await waitFor('no connection is left', () => relay.open === 0)
  })

  it('may go on from the client once the app has ended its side', async () => {
    const paths = makePaths()
    let hear: (all: Buffer) => void = () => {}
    const heard = new Promise<Buffer>((resolve) => (hear = resolve))
    await serve(paths, 1, 1, createServer({ allowHalfOpen: true }, (socket) => {
      socket.end('that is all')
      void readAll(socket).then(hear)
    }))
    const { port } = await open(() => routeTo(paths, heldOf(1)))
    const socket = dial(port)
    expect(String(await readAll(socket))).toBe('that is all')
    socket.end('one word more')
    expect(String(await heard)).toBe('one word more')
  })

  it('wait where nobody reads them, instead of piling up', async () => {
    const paths = makePaths()
    const server = await serve(paths, 1, 1, createServer({ pauseOnConnect: true }))
    const taken = once(server, 'connection') as Promise<[Socket]>
    const { port } = await open(() => routeTo(paths, heldOf(1)))
    const socket = dial(port)
    const sent = randomBytes(64 << 20)
    socket.end(sent)
    const [reader] = await taken
    await waitUntilHeldUp(socket)
    expect(socket.writableLength).toBeGreaterThan(32 << 20)
    reader.resume()
    let length = 0
    for await (const chunk of reader) length += (chunk as Buffer).length
    expect(length).toBe(sent.length)
  })

  it('of TLS and of a WebSocket pass as well', async () => {
    const paths = makePaths()
    const pem = makeCertificate()
    await serve(paths, 1, 1, https.createServer({ key: pem, cert: pem }, (_, response) => response.end('secret')))
    const web = await serve(paths, 2, 1, http.createServer())
    new WebSocketServer({ server: web }).on('connection', (socket) => socket.on('message', (data) => socket.send(data.toString().toUpperCase())))
    const tls = await open(() => routeTo(paths, heldOf(1)))
    const sockets = await open(() => routeTo(paths, heldOf(2)))
    const answer = await new Promise<http.IncomingMessage>((resolve, reject) => https.get({ port: tls.port, rejectUnauthorized: false, agent: false }, resolve).on('error', reject))
    expect(await answer.toArray().then((chunks) => Buffer.concat(chunks).toString())).toBe('secret')

    const client = new WebSocket(`ws://127.0.0.1:${sockets.port}`)
    onTestFinished(() => client.terminate())
    await once(client, 'open')
    client.send('hello')
    const [reply] = (await once(client, 'message')) as [Buffer]
    expect(reply.toString()).toBe('HELLO')
  })

  it('that are cut off at the app are cut off at the client, and do not pass for all', async () => {
    const paths = makePaths()
    const server = await serve(paths, 1, 1, createServer({ pauseOnConnect: true }))
    const taken = once(server, 'connection') as Promise<[Socket]>
    const { port } = await open(() => routeTo(paths, heldOf(1)))
    const socket = dial(port)
    socket.write(Buffer.alloc(32 << 20))
    const [upstream] = await taken
    upstream.write('HTTP/1.1 200 OK\r\n\r\nhalf of it')
    await once(socket, 'data')
    await waitUntilHeldUp(socket)
    // With bytes unread, the kernel tells the other side of a reset: unix(7).
    upstream.destroy()
    await expect(readAll(socket)).rejects.toMatchObject({ code: 'ECONNRESET' })
  })

  it('that the app has said are brought, however slowly the client reads', async () => {
    const paths = makePaths()
    const answer = randomBytes(8 << 20)
    const server = await serve(paths, 1, 1, createServer({ allowHalfOpen: true }))
    const taken = once(server, 'connection') as Promise<[Socket]>
    const { port, relay } = await open(() => routeTo(paths, heldOf(1)))
    const socket = dial(port).pause()
    socket.end()
    const [upstream] = await taken
    upstream.on('error', () => {}).resume().end(answer)
    await waitUntilHeldUp(upstream)
    socket.on('data', () => {
      socket.pause()
      setImmediate(() => setImmediate(() => socket.resume()))
    })
    const all = readAll(socket)
    socket.resume()
    expect((await all).equals(answer)).toBe(true)
    await waitFor('no connection is left', () => relay.open === 0)
  })

  it('of a client that never ends, where the app has, are cut with all others', async () => {
    const paths = makePaths()
    await serve(paths, 1, 1, says('that is all'))
    const { port, relay, stop, ended } = await open(() => routeTo(paths, heldOf(1)), { graceMs: 50 })
    expect(String(await readAll(dial(port)))).toBe('that is all')
    expect(relay.open).toBe(1)
    stop.abort()
    await ended
    await waitFor('no connection is left', () => relay.open === 0)
  })

  it.each(['the client goes', 'all are cut'])('that nobody reads leave no connection behind when %s', async (what) => {
    const paths = makePaths()
    const gone: Promise<unknown>[] = []
    await serve(paths, 1, 1, createServer((socket) => {
      gone.push(new Promise((resolve) => socket.once('close', resolve)))
      socket.on('error', () => {}).end(randomBytes(16 << 20))
    }))
    const { port, relay, stop, ended } = await open(() => routeTo(paths, heldOf(1)), { graceMs: 50 })
    const sockets = Array.from({ length: 20 }, () => dial(port).pause())
    await waitFor('all are answered', () => gone.length === 20)
    // Some have heard all of the app, which waits in the relay; of others it waits in the app.
    for (const socket of sockets) socket.write(Buffer.alloc(4 << 20))
    await waitFor('all are held up', () => sockets.every((socket) => socket.writableLength > 0))
    if (what === 'the client goes') for (const socket of sockets) socket.destroy()
    else stop.abort()
    await waitFor('no connection is left', () => relay.open === 0)
    await Promise.all(gone)
    stop.abort()
    await ended
  })

  it('end at the app when the client breaks off, and the next client is served', async () => {
    const paths = makePaths()
    const closed: Promise<unknown>[] = []
    await serve(paths, 1, 1, createServer((socket) => {
      socket.on('error', () => {})
      closed.push(new Promise((resolve) => socket.once('close', resolve)))
      socket.write('x'.repeat(10_000_000))
    }))
    const { port, relay } = await open(() => routeTo(paths, heldOf(1)))
    for (let i = 0; i < 20; i += 1) {
      const socket = dial(port)
      await once(socket, 'data')
      socket.resetAndDestroy()
    }
    await waitFor('all are closed', () => relay.open === 0 && closed.length === 20)
    await Promise.all(closed)
    const [first] = (await once(dial(port), 'data')) as [Buffer]
    expect(String(first)).toMatch(/^x/)
  })
})

describe('a connection', () => {
  it('goes to the processes by turns', async () => {
    const paths = makePaths()
    record(paths, { held: heldOf(43, 3) })
    for (const process of [1, 2, 3]) await serve(paths, 43, process, says(`${process}`))
    const { port } = await open(() => routeToHeld(paths))
    const answers: string[] = []
    for (let i = 0; i < 6; i += 1) answers.push(await sayTo(port, 'x'))
    expect(answers.sort()).toEqual(['1', '1', '2', '2', '3', '3'])
  })

  it('goes to another process where one does not answer', async () => {
    const paths = makePaths()
    await serve(paths, 43, 2, says('2'))
    const { port } = await open(() => routeTo(paths, heldOf(43, 3)))
    for (let i = 0; i < 4; i += 1) expect(await sayTo(port, 'x')).toBe('2')
  })

  it('goes to what is held when it comes, and stays there', async () => {
    const paths = makePaths()
    record(paths, { held: heldOf(43) })
    const echo = (mark: string): Server => createServer((socket) => socket.on('error', () => {}).on('data', (data) => socket.write(`${mark}${data}`)))
    await serve(paths, 43, 1, echo('old '))
    await serve(paths, 44, 1, echo('new '))
    const { port } = await open(() => routeToHeld(paths))
    const tell = async (socket: Socket, word: string): Promise<string> => {
      socket.write(word)
      const [data] = (await once(socket, 'data')) as [Buffer]
      return String(data)
    }
    const first = dial(port)
    expect(await tell(first, 'a')).toBe('old a')
    record(paths, { held: heldOf(44) })
    const second = dial(port)
    expect(await tell(second, 'b')).toBe('new b')
    record(paths, {})
    expect(await sayTo(port, 'GET / HTTP/1.1\r\n\r\n')).toMatch(/^HTTP\/1\.1 503 /)
    expect(await tell(first, 'c')).toBe('old c')
    expect(await tell(second, 'd')).toBe('new d')
  })
})

it('takes no more connections than its limit at a time', async () => {
  const paths = makePaths()
  await serve(paths, 1, 1, createServer((socket) => socket.on('error', () => {}).pipe(socket)))
  const { port, relay } = await open(() => routeTo(paths, heldOf(1)), { limit: 2 })
  const isServed = async (socket: Socket): Promise<boolean> => {
    socket.write('x')
    return Promise.race([once(socket, 'data').then(() => true, () => false), once(socket, 'end').then(() => false, () => false)])
  }
  const sockets = [dial(port), dial(port), dial(port)]
  // A look at each before any of them is over: an end that has come already comes no more.
  expect((await Promise.all(sockets.map(isServed))).filter(Boolean)).toHaveLength(2)
  for (const socket of sockets) socket.end()
  await waitFor('they are over', () => relay.open === 0)
  expect(await isServed(dial(port))).toBe(true)
})

describe('with nothing held', () => {
  const nothing = (): PreviewRoute => ({ kind: 'none', text: 'No release of shop is held.\n' })

  it('a request is answered with 503 and what would hold one', async () => {
    const paths = makePaths()
    const { port, relay } = await open(() => routeToHeld(paths))
    const answer = await fetch(`http://127.0.0.1:${port}/cart`)
    expect(answer.status).toBe(503)
    expect(Object.fromEntries(answer.headers)).toMatchObject({ 'connection': 'close', 'retry-after': '10', 'cache-control': 'no-store', 'content-type': 'text/plain; charset=utf-8' })
    expect(await answer.text()).toBe('No release of shop is held.\nholdfast deploy shop --hold holds one.\n')
    expect((await fetch(`http://127.0.0.1:${port}/`, { method: 'HEAD' })).status).toBe(503)
    writeFileSync(join(paths.state, 'state.json'), '{')
    expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toContain('cannot be read')
    await waitFor('no connection is left', () => relay.open === 0)
  })

  it('one that comes byte by byte is, too, and one with a long body hears it whole', async () => {
    const { port } = await open(nothing)
    const slow = dial(port)
    slow.setNoDelay(true)
    for (const byte of 'POST /a HTTP/1.0\r\n') {
      slow.write(byte)
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(String(await readAll(slow))).toMatch(/^HTTP\/1\.1 503 .*\r\n\r\nNo release of shop is held\.\n$/s)

    const upload = http.request({ port, method: 'PUT', agent: false, headers: { 'content-length': 20_000_000 } })
    upload.on('error', () => {})
    const [answer] = await Promise.all([once(upload, 'response') as Promise<[http.IncomingMessage]>, upload.end(Buffer.alloc(20_000_000))])
    expect(Buffer.concat(await answer[0].toArray()).toString()).toBe('No release of shop is held.\n')
  })

  it.each([
    ['TLS', Buffer.from([0x16, 3, 1, 0, 200, 1])],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['another protocol', 'HELO mail.example\r\n'],
    ['a line without an end', 'A'.repeat(30)],
    ['a request line without an end', `GET /${'a'.repeat(20_000)}`],
  ])('%s is closed without a word', async (_, begin) => {
    const { port, relay } = await open(nothing)
    const heard = await sayTo(port, begin).catch((error: NodeJS.ErrnoException) => error.code)
    expect(['', 'ECONNRESET']).toContain(heard)
    await waitFor('it is closed', () => relay.open === 0)
  })

  it('a held generation that does not answer is said so', async () => {
    const paths = makePaths()
    record(paths, { held: heldOf(43, 2) })
    const { port } = await open(() => routeToHeld(paths))
    expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe('Generation 43 is held, but does not answer just now.\n')
  })
})

describe('the end', () => {
  it('comes by itself without connections, and not before', async () => {
    const paths = makePaths()
    await serve(paths, 1, 1, createServer((socket) => socket.on('error', () => {}).pipe(socket)))
    const { port, ended } = await open(() => routeTo(paths, heldOf(1)), { idleMs: 100 })
    let hasEnded = false
    void ended.then(() => (hasEnded = true))
    const socket = dial(port)
    for (const end = Date.now() + 300; Date.now() < end;) {
      socket.write('x')
      await once(socket, 'data')
    }
    expect(hasEnded).toBe(false)
    socket.end()
    await ended
    await expect(once(connect(port, '127.0.0.1'), 'connect')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  })

  it('leaves what is open its time, and takes nothing new', async () => {
    const paths = makePaths()
    await serve(paths, 1, 1, createServer((socket) => socket.on('error', () => {}).pipe(socket)))
    const { port, ended, stop } = await open(() => routeTo(paths, heldOf(1)), { graceMs: 20_000 })
    const socket = dial(port)
    socket.write('a')
    await once(socket, 'data')
    stop.abort()
    await waitFor('it takes nothing new', () => once(connect(port, '127.0.0.1'), 'connect').then(() => false, () => true))
    socket.write('b')
    expect(String((await once(socket, 'data'))[0])).toBe('b')
    socket.end()
    await ended
  })

  it('cuts what is open after that', async () => {
    const paths = makePaths()
    await serve(paths, 1, 1, createServer((socket) => socket.on('error', () => {}).pipe(socket)))
    const { port, ended, stop } = await open(() => routeTo(paths, heldOf(1)), { graceMs: 50 })
    const socket = dial(port)
    socket.write('a')
    await once(socket, 'data')
    const closed = new Promise((resolve) => socket.once('close', resolve))
    stop.abort()
    await ended
    await closed
  })

  it('is known of a generation by the record and by its sockets', async () => {
    const paths = makePaths()
    record(paths, { held: heldOf(43, 2) })
    expect(fateOf(paths, heldOf(43, 2))).toBe('closed')
    expect(() => requirePrivateSocket(paths, heldOf(43, 2))).toThrow(/^generation 43 of .*, which is held, has no private socket: /)
    expect(() => requirePrivateSocket(paths, { ...heldOf(43, 2), kind: 'canary' })).toThrow(/, a canary, has no private socket: /)
    const server = await serve(paths, 43, 2, says(''))
    requirePrivateSocket(paths, heldOf(43, 2))
    expect(fateOf(paths, heldOf(43, 2))).toBe('held')
    record(paths, { held: heldOf(44) })
    expect(fateOf(paths, heldOf(43, 2))).toBe('gone')
    record(paths, { live: { generation: 43, release: 'r43', processes: 2, since: '' } })
    expect(fateOf(paths, heldOf(43, 2))).toBe('live')
    server.close()
  })
})
