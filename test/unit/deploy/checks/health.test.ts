import { createServer as createTlsServer } from 'node:https'
import { createServer, type Socket } from 'node:net'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { describe, expect, it } from 'vitest'
import type { Health } from '../../../../src/config/model.js'
import { checkHealth, watchHealth, type HealthOrder } from '../../../../src/deploy/checks/health.js'
import type { Member } from '../../../../src/deploy/plan.js'
import { privateSocket } from '../../../../src/release/standby.js'
import { makeCertificate } from '../../../traffic/certificate.js'
import { addRelease, makeApp, type AppOnDisk } from '../app-on-disk.js'
import { listen, serveHttp } from '../private-servers.js'

const one: Member = { generation: 43, process: 1, unit: 'shop@43.1.service' }
const two: Member = { generation: 43, process: 2, unit: 'shop@43.2.service' }

const http = (over: Partial<Extract<Health['probe'], { kind: 'http' }>> = {}): Health['probe'] => ({ kind: 'http', path: '/healthz', host: 'localhost', tls: false, ...over })

/** Asks every 10 ms, for half a second. */
function order(on: AppOnDisk, health: Partial<Health>, over: Partial<HealthOrder> = {}): HealthOrder & { told: string[] } {
  const told: string[] = []
  return {
    health: { probe: http(), intervalMs: 10, timeoutMs: 5000, successes: 1, deadlineMs: 500, ...health },
    release: addRelease(on, 'r1'), config: on.app.config, instances: [one], signal: new AbortController().signal, tell: (text) => void told.push(text), told, ...over,
  }
}

/** What the instance answers to one probe after the other, the last one for ever. */
function answers(...each: ((response: ServerResponse, request: IncomingMessage) => void)[]): { listener: (request: IncomingMessage, response: ServerResponse) => void; asked: IncomingMessage[] } {
  const asked: IncomingMessage[] = []
  return {
    asked,
    listener: (request, response) => {
      asked.push(request)
      each[Math.min(asked.length, each.length) - 1]?.(response, request)
    },
  }
}
const status = (code: number, body = '') => (response: ServerResponse): void => void response.writeHead(code).end(body)

describe('a request', () => {
  it('reaches the instance as it is told to', async () => {
    const on = makeApp()
    const { listener, asked } = answers(status(204))
    await serveHttp(on.paths, one, listener)
    const asking = order(on, { probe: http({ path: '/healthz?deep=1', host: 'shop.example' }) })
    expect(await checkHealth(on.app, asking)).toEqual({ ok: true, durationMs: expect.any(Number) })
    expect(asking.told).toEqual([])
    expect(asked).toHaveLength(1)
    expect(asked[0]).toMatchObject({ method: 'GET', url: '/healthz?deep=1', headers: { host: 'shop.example', connection: 'close', 'user-agent': 'holdfast' } })
  })

  it('asks each instance, and every one has to pass', async () => {
    const on = makeApp()
    await serveHttp(on.paths, one, answers(status(200)).listener)
    await serveHttp(on.paths, two, answers(status(500, 'no database\nat x')).listener)
    const asking = order(on, { deadlineMs: 100 }, { instances: [one, two] })
    expect(await checkHealth(on.app, asking)).toEqual({
      ok: false, unit: two.unit, reason: expect.stringMatching(/^answered GET \/healthz with 500 "no database" \(expected 200 to 299\), \d+ times in 100ms$/),
    })
    expect(asking.told).toEqual(['shop@43.2.service answered GET /healthz with 500 "no database" (expected 200 to 299).'])
  })

  it('has to be answered well so many times in a row', async () => {
    const on = makeApp()
    const { listener, asked } = answers(status(503), status(200), status(503), status(200), status(200), status(200), status(503))
    await serveHttp(on.paths, one, listener)
    const asking = order(on, { successes: 3, deadlineMs: 5000 })
    expect((await checkHealth(on.app, asking)).ok).toBe(true)
    expect(asked).toHaveLength(6)
    const [bad, good] = ['shop@43.1.service answered GET /healthz with 503 (expected 200 to 299).', 'shop@43.1.service answered GET /healthz with 200.']
    expect(asking.told).toEqual([bad, good, bad, good])
  })

  it('tells what changes, and not each probe; at most so often', async () => {
    const on = makeApp()
    let asked = 0
    await serveHttp(on.paths, one, (_request, response) => void response.writeHead(500 + (asked++ % 2)).end(`at ${asked}`))
    const asking = order(on, { deadlineMs: 1000 })
    expect(await checkHealth(on.app, asking)).toMatchObject({ ok: false })
    expect(asked).toBeGreaterThan(12)
    expect(asking.told).toHaveLength(10)
  })

  it('counts what did not pass', async () => {
    const on = makeApp()
    let asked = 0
    await serveHttp(on.paths, one, (_request, response) => void response.writeHead(asked++ % 2 === 0 ? 200 : 500).end())
    expect(await checkHealth(on.app, order(on, { successes: 2, deadlineMs: 200 }))).toMatchObject({ ok: false, reason: expect.stringMatching(/answered GET \/healthz with 500 \(expected 200 to 299\), \d+ of \d+ times in 200ms$/) })
    const slow = makeApp()
    await serveHttp(slow.paths, one, (_request, response) => void response.end())
    expect(await checkHealth(slow.app, order(slow, { successes: 500, intervalMs: 300, deadlineMs: 1_000 }))).toMatchObject({
      ok: false, reason: expect.stringMatching(/^passed its health check (once|\d times) in 1s, and 500 in a row are needed \(health\.successes\)$/),
    })
  })

  it.each<[what: string, answer: (response: ServerResponse) => void, probe: Parameters<typeof http>[0], expected: string | RegExp | true]>([
    ['one of the statuses that are good', status(404), { status: [200, 404] }, true],
    ['another status', status(200), { status: [204, 404] }, 'answered GET /healthz with 200 (expected 204 or 404)'],
    ['a redirect', (response) => response.writeHead(302, { location: 'http://elsewhere/' }).end(), {}, 'answered GET /healthz with 302 to http://elsewhere/ (expected 200 to 299)'],
    ['a redirect that is good', (response) => response.writeHead(302, { location: '/' }).end(), { status: [302] }, true],
    ['control characters', status(500, '\u001b[2J\n\n  bad\tthing\u0007 \r\nmore'), {}, 'answered GET /healthz with 500 "[2J" (expected'],
    ['a long line', status(500, 'x'.repeat(500)), {}, `answered GET /healthz with 500 "${'x'.repeat(200)}…" (expected`],
    ['a body without end', (response) => void response.writeHead(500).write('y'.repeat(70_000)), {}, `answered GET /healthz with 500 "${'y'.repeat(200)}…"`],
    ['a good answer without end', (response) => void response.writeHead(200).write('z'), {}, /answered GET \/healthz with 200, and not to the end within 1\d\dms/],
    ['a good answer that is cut off', (response) => { response.writeHead(200, { 'content-length': 10 }).write('z'); setTimeout(() => response.destroy(), 5) }, {}, 'answered GET /healthz with 200, and cut off its answer'],
    ['no answer', () => {}, {}, /did not answer GET \/healthz within 1\d\dms/],
    ['no answer, and an end', (response) => response.destroy(), {}, /^closed the connection without an answer to GET \/healthz, .*: a server with TLS needs `tls = true` in \[health\]$/],
    ['no HTTP', (response) => void response.socket?.end('hello\r\n\r\n'), {}, 'answered GET /healthz with what is no HTTP'],
    ['an endless head', (response) => void response.socket?.write(`HTTP/1.1 200 OK\r\nx: ${'x'.repeat(100_000)}`), {}, 'answered GET /healthz with what is no HTTP'],
    ['a switch of protocols', (response) => void response.socket?.write('HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n'), {}, 'answered GET /healthz with 101 (expected'],
  ])('that gets %s', async (_what, answer, probe, expected) => {
    const on = makeApp()
    await serveHttp(on.paths, one, answers(answer).listener)
    const result = await checkHealth(on.app, order(on, { probe: http(probe), intervalMs: 100, deadlineMs: 150 }))
    if (expected === true) expect(result).toMatchObject({ ok: true })
    else expect(result).toMatchObject({ ok: false, reason: typeof expected === 'string' ? expect.stringContaining(expected) : expect.stringMatching(expected) })
    expect(JSON.stringify(result)).not.toContain('\\u')
  })

  it('goes by TLS without asking for a certificate that is anybody’s, and says where there is none', async () => {
    const on = makeApp()
    const pem = makeCertificate()
    await listen(createTlsServer({ key: pem, cert: pem }, (_request, response) => void response.end()), privateSocket(on.paths, one))
    expect(await checkHealth(on.app, order(on, { probe: http({ tls: true }) }))).toMatchObject({ ok: true })
    expect(await checkHealth(on.app, order(on, { deadlineMs: 100 }))).toMatchObject({ ok: false, reason: expect.stringMatching(/a server with TLS needs `tls = true`/) })
    const plain = makeApp()
    await serveHttp(plain.paths, one, answers(status(200)).listener)
    expect(await checkHealth(plain.app, order(plain, { probe: http({ tls: true }), deadlineMs: 100 }))).toMatchObject({ ok: false, reason: expect.stringContaining('answered GET /healthz without TLS, which `tls = true` asks for') })
  })
})

describe('what is missing', () => {
  it('is the socket, of units that are too old', async () => {
    const on = makeApp()
    const { deadlineMs } = order(on, {}).health
    expect(await checkHealth(on.app, order(on, {}))).toMatchObject({
      ok: false,
      reason: expect.stringMatching(new RegExp(`^could not be asked for GET /healthz: there is no private socket of it \\(${on.paths.run}/private/43\\.1\\.sock\\), \\d+ times in ${deadlineMs}ms: .*run \`holdfast install\`$`)),
    })
  })

  it('is a server on it, of an app without the preload', async () => {
    const silent = async (tables: string): Promise<string> => {
      const on = makeApp(tables)
      // Connected, as systemd listens, and never accepted by anybody.
      await listen(createServer((_socket: Socket) => {}), privateSocket(on.paths, one))
      const result = await checkHealth(on.app, order(on, { timeoutMs: 50, deadlineMs: 200 }))
      return result.ok ? '' : result.reason
    }
    expect(await silent('')).toMatch(/did not answer GET \/healthz within 50ms, \d+ times in 200ms: an app without the preload has to serve the inherited socket named `private`$/)
    expect(await silent('standby = true')).toMatch(/did not answer GET \/healthz within 50ms, \d+ times in 200ms$/)
  })
})

it('ends at once with the signal', async () => {
  const on = makeApp()
  const abort = new AbortController()
  await serveHttp(on.paths, one, () => abort.abort(new Error('the deploy was interrupted')))
  await expect(checkHealth(on.app, order(on, { deadlineMs: 60_000 }, { signal: abort.signal }))).rejects.toThrow('the deploy was interrupted')
  await expect(checkHealth(on.app, order(on, { deadlineMs: 60_000 }, { signal: abort.signal }))).rejects.toThrow('the deploy was interrupted')
  await expect(watchHealth(on.app, order(on, {}, { signal: abort.signal }))).rejects.toThrow('the deploy was interrupted')
})

describe('a watch', () => {
  it('ends with three failures in a row, and not before', async () => {
    const on = makeApp()
    const { listener, asked } = answers(status(200), status(500), status(500), status(200), status(500))
    await serveHttp(on.paths, one, listener)
    await serveHttp(on.paths, two, answers(status(200)).listener)
    expect(await watchHealth(on.app, order(on, {}, { instances: [one, two] }))).toEqual({
      ok: false, unit: one.unit, reason: 'answered GET /healthz with 500 (expected 200 to 299), 3 times in a row',
    })
    expect(asked).toHaveLength(7)
  })

  it('ends with the signal', async () => {
    const on = makeApp()
    const abort = new AbortController()
    const { listener } = answers(status(200), () => abort.abort(new Error('over')))
    await serveHttp(on.paths, one, listener)
    await expect(watchHealth(on.app, order(on, {}, { signal: abort.signal }))).rejects.toThrow('over')
  })
})
