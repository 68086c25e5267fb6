/** HTTP/2: no stream is lost, whatever the client sends while the end is announced to it. */
import http2 from 'node:http2'
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { ensureBuilt } from './built.js'
import { Supervisor, type Instance } from './supervisor.js'

vi.setConfig({ testTimeout: 60_000 })
beforeAll(ensureBuilt)

interface Answer {
  status: number
  text: string
}

function connect(url: string): http2.ClientHttp2Session {
  const session = http2.connect(url, { rejectUnauthorized: false })
  session.on('error', () => {}) // each stream has its own
  return session
}

function ask(session: http2.ClientHttp2Session, path: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let status = 0
    let text = ''
    const stream = session.request({ ':path': path })
    stream.on('response', (headers) => (status = Number(headers[':status'])))
    stream.setEncoding('utf8').on('data', (piece: string) => (text += piece))
    stream.on('error', reject)
    stream.on('close', () => (status === 0 ? reject(new Error(`no answer; code ${stream.rstCode}`)) : resolve({ status, text })))
    stream.end()
  })
}

/** A client that keeps its session for as long as the server lets it: bursts of requests, and a pause between two. */
async function keepAsking(url: string, burst: number, isOver: () => boolean, seen: Set<string>): Promise<string[]> {
  const errors: string[] = []
  let session = connect(url)
  while (!isOver()) {
    if (session.closed || session.destroyed) session = connect(url)
    const requests = Array.from({ length: burst }, () => ask(session, `/slow?ms=${Math.round(Math.random() * 60)}`))
    for (const result of await Promise.allSettled(requests)) {
      if (result.status === 'rejected') errors.push((result.reason as Error).message)
      else seen.add(result.value.text)
    }
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 40))
  }
  session.close()
  return errors
}

async function start(supervisor: Supervisor, env: Record<string, string>): Promise<Instance> {
  const instance = await supervisor.start('http2.mjs', { listeners: ['http'], env })
  await instance.untilReady()
  return instance
}

describe.each([['cleartext', 'http', {}], ['TLS', 'https', { TLS: '1' }]])('over %s', (_, scheme, env) => {
  test('streams in flight finish after the GOAWAY, and the instance is gone right after them', async () => {
    await using supervisor = new Supervisor()
    const address = await supervisor.listen('http')
    const instance = await start(supervisor, env as Record<string, string>)
    const session = connect(`${scheme}://${address}`)
    const goaways: number[] = []
    session.on('goaway', (code) => goaways.push(code))
    expect((await ask(session, '/')).text).toMatch(/hello/)
    const slow = ask(session, '/slow?ms=1500')
    const events = ask(session, '/events')
    const idle = connect(`${scheme}://${address}`)
    await ask(idle, '/')
    await ask(session, '/') // what was sent before it has arrived
    instance.kill('SIGTERM')
    await instance.until('it does not drain', () => instance.notified.some((text) => text.includes('STOPPING=1')))
    expect(instance.notified.find((text) => text.includes('STOPPING=1'))).toMatch(/draining: \d requests?, 1 event stream/)
    expect((await slow).text).toMatch(/hello/)
    expect((await events).text).toMatch(/^(data: tick\n\n)+$/)
    expect(goaways[0]).toBe(0)
    expect((await ask(idle, '/slow?ms=10')).text).toMatch(/hello/)
    await new Promise<void>((resolve) => (idle.closed ? resolve() : idle.once('goaway', () => resolve())))
    expect(await instance.untilExit()).toBe(0)
    expect(instance.output).toMatch(/drained in 1\.\d s: 2 connections ended, 2 requests answered, 1 event stream moved; nothing was cut/)
  })

  test('an idle session is given up after the time of an idle connection, not at once and not at the hard end', async () => {
    await using supervisor = new Supervisor()
    const address = await supervisor.listen('http')
    const instance = await start(supervisor, env as Record<string, string>)
    const session = connect(`${scheme}://${address}`)
    expect((await ask(session, '/')).text).toMatch(/hello/)
    let closedAt = Infinity
    session.once('close', () => (closedAt = performance.now()))
    instance.kill('SIGTERM')
    await instance.until('it does not drain', () => instance.notified.some((text) => text.includes('STOPPING=1')))
    const drainedAt = performance.now()
    expect(instance.notified.find((text) => text.includes('STOPPING=1'))).toMatch(/draining: 1 idle connection$/)
    expect(await instance.untilExit()).toBe(0)
    expect(instance.output).toMatch(/1 connection ended, 0 requests answered; nothing was cut/)
    await vi.waitFor(() => expect(closedAt).toBeLessThan(Infinity))
    // 5 s and one to spare; it is looked at once a second.
    expect(closedAt - drainedAt).toBeGreaterThan(5_500)
    expect(closedAt - drainedAt).toBeLessThan(12_000)
  })

  test('six handovers under load lose no stream', async () => {
    await using supervisor = new Supervisor()
    const address = await supervisor.listen('http')
    let instance = await start(supervisor, env as Record<string, string>)
    let isOver = false
    const seen = new Set<string>()
    const clients = Array.from({ length: 12 }, (_, index) => keepAsking(`${scheme}://${address}`, index % 2 === 0 ? 1 : 5, () => isOver, seen))
    for (let handover = 0; handover < 6; handover++) {
      const next = await start(supervisor, env as Record<string, string>)
      instance.kill('SIGTERM')
      expect(await instance.untilExit()).toBe(0)
      expect(instance.output).toContain('nothing was cut')
      instance = next
    }
    isOver = true
    expect((await Promise.all(clients)).flat()).toEqual([])
    expect(seen.size).toBeGreaterThanOrEqual(6)
  })
})
