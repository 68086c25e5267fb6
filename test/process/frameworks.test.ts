import http from 'node:http'
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { ensureBuilt } from './built.js'
import { ensureNextBuilt, Handovers, requireExamples } from './examples.js'
import { Supervisor, type Instance } from './supervisor.js'
import { Traffic, type TrafficOptions } from './traffic.js'

vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000, maxConcurrency: 3 })
beforeAll(async () => {
  requireExamples()
  await ensureBuilt()
  ensureNextBuilt()
})

/** One request over the private socket. */
const askPrivately = (instance: Instance, path = '/', headers = {}): Promise<string> =>
  new Promise((resolve, reject) => {
    http.get({ socketPath: instance.privateSocket, path, headers, agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (piece: string) => (text += piece))
      response.on('end', () => resolve(text)).on('error', reject)
    }).on('error', reject)
  })

/** One kept connection, so that a slow request goes to the generation that the first one went to. */
function keptConnection(address: string): (path: string, headers?: Record<string, string>) => Promise<string> {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  return (path, headers = {}) =>
    new Promise((resolve, reject) => {
      http.get(`http://${address}${path}`, { agent, headers }, (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (piece: string) => (text += piece))
        response.on('end', () => resolve(text)).on('error', reject)
      }).on('error', reject)
    })
}

/** NestJS and Apollo raise the signal again when they are done: an end in order, for systemd too. */
const bySigterm = -15
/** Next.js exits like a shell that saw its child end by the signal; see docs/frameworks.md. */
const likeSigterm = 143

interface Example {
  name: string
  /** How the process ends. Default 0. */
  status?: number
  /** What the app's own shutdown prints. */
  shutdown: RegExp
  /** Where the default routes do not fit. */
  get?: TrafficOptions['get']
  post?: TrafficOptions['post']
  slow?: string
}

const preflight = { 'apollo-require-preflight': 'yes' }

const examples: Example[] = [
  // First those that take longest.
  { name: 'next', status: likeSigterm, shutdown: /after: slow page counted/, post: { path: '/orders' } },
  { name: 'nest', status: bySigterm, shutdown: /beforeApplicationShutdown: SIGTERM\n[^]*onApplicationShutdown/ },
  {
    name: 'apollo',
    status: bySigterm,
    shutdown: /drainServer: closing subscriptions/,
    get: { path: '/graphql?query={hello}', headers: preflight },
    post: {
      path: '/graphql',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ query: 'mutation ($text: String!) { count(text: $text) }', variables: { text: 'x'.repeat(65_536) } }),
    },
    slow: '/graphql?query={slow}',
  },
  { name: 'node-http', shutdown: /SIGTERM: closing the server\n[^]*server closed/ },
  { name: 'express', shutdown: /terminus: shutting down\n[^]*closing the database\n[^]*terminus: done/ },
  { name: 'fastify', shutdown: /(?=[^]*SIGTERM received, closing)[^]*onClose: closing the database/ },
  { name: 'koa', shutdown: /SIGTERM: terminating\n[^]*terminated/ },
  { name: 'hono', shutdown: /SIGTERM: closing\n[^]*server closed/ },
]

describe.concurrent('requests', () => {
  test.each(examples)('$name: 3 overlapping handovers fail none, and the shutdown of its own runs', async ({ name, status = 0, shutdown, get = {}, post = {}, slow = '/slow' }) => {
    await using supervisor = new Supervisor()
    const [handovers, address] = await Handovers.begin(supervisor, name)
    const traffic = new Traffic(address, { keepAlive: 4, fetch: 2, newConnections: 1, posts: 1, thinkMs: 20, get, post })
    const slowAnswers: Promise<string>[] = []
    const expected: string[] = []
    for (let handover = 0; handover < 3; handover++) {
      await traffic.untilAnswered(20)
      const ask = keptConnection(address)
      expect(await ask(get.path ?? '/', get.headers)).toContain(`from ${handovers.live.pid}`)
      // Lest it is idle for longer than the server keeps it.
      const kept = setInterval(() => void ask(get.path ?? '/', get.headers), 1000)
      const next = await handovers.start(async (held) => {
        expect(await askPrivately(held, get.path, get.headers)).toContain(`from ${held.pid}`)
        expect(traffic.answeredBy.has(String(held.pid))).toBe(false)
      })
      await traffic.untilAnswered(40)
      clearInterval(kept)
      slowAnswers.push(ask(slow, get.headers).catch((error: Error) => `failed: ${error.message}`))
      expected.push(`from ${handovers.live.pid}`)
      await traffic.untilAnswered(20)
      handovers.retire(next)
    }
    await traffic.untilAnswered(60)
    const statuses = await handovers.ended()
    await traffic.untilAnswered(20)
    await traffic.stop()
    expect(traffic.errors).toEqual([])
    const answers = await Promise.all(slowAnswers)
    for (const [index, text] of expected.entries()) expect(answers[index]).toContain(text)
    expect(traffic.answeredBy.size).toBe(4)
    expect(statuses).toEqual([status, status, status])
    for (const instance of handovers.retired) {
      expect(instance.output).toMatch(shutdown)
      expect(instance.output).toMatch(/drained in .*; nothing was cut/)
    }
  })
})

test('Fastify without a host: a second address of localhost is bound by node, with a warning, and a handover works all the same', async () => {
  await using supervisor = new Supervisor()
  // What localhost is differs from machine to machine: here it is both 127.0.0.1 and 127.0.0.2.
  const twoAddresses = `
    import dns from 'node:dns'
    const { lookup } = dns
    dns.lookup = (host, options, callback) =>
      host === 'localhost' && options.all ? callback(null, ['127.0.0.1', '127.0.0.2'].map((address) => ({ address, family: 4 }))) : lookup(host, options, callback)`
  const [handovers, address] = await Handovers.begin(supervisor, 'fastify', {
    nodeArguments: ['--import', `data:text/javascript,${encodeURIComponent(twoAddresses)}`],
    env: { HOST: 'localhost' },
  })
  handovers.retire(await handovers.start())
  expect(await handovers.ended()).toEqual([0])
  expect(await keptConnection(address)('/')).toContain(`from ${handovers.live.pid}`)
  for (const instance of [...handovers.retired, handovers.live]) {
    expect(instance.output).toMatch(/listen\(\d+, "127.0.0.2"\): http \(.*\) is in use by another server of this process already/)
  }
})
