/** One app on four listeners, and every kind of client at it: what the matrix of clients and the longer run of it share. */
import { join } from 'node:path'
import { listFailures, makePaint, renderFailures } from '../../demo/render.js'
import { makeCertificate, startTraffic, type Ledger, type Traffic } from '../traffic/index.js'
import { checkout, freePort, makeApp, registerModule, uniqueApp, type TestApp } from './harness.js'

/** Several of each kind, so that at any instant some are at every stage. */
export const everyKind = {
  keepAlive: 4, fetch: 3, connect: 2, post: 3, download: 3, upload: 4, pipeline: 3, undici: 3, curl: 2,
  https: 3, h2c: 3, h2: 3, webSocket: 6, eventSource: 6, idle: 12, rude: 6,
}

export type Kind = keyof typeof everyKind

export interface Harbour extends TestApp {
  address: string
  others: { https: string; h2c: string; h2: string; ca: string }
  /** Sets what the next restart takes. */
  release(release: string): Promise<void>
}

/** An app that serves the whole target with the preload, not installed yet. */
export async function makeHarbour(prefix: string, config: string): Promise<Harbour> {
  const ca = makeCertificate()
  const [http, https, h2c, h2] = (await Promise.all([freePort(), freePort(), freePort(), freePort()])) as [number, number, number, number]
  const serverJs = (release: string) => `
import { readFileSync } from 'node:fs'
import { makeTargetServers } from ${JSON.stringify(join(checkout, 'test/traffic/target-servers.js'))}
const pem = readFileSync(new URL('key.pem', import.meta.url))
const servers = makeTargetServers({ release: ${JSON.stringify(release)}, generation: process.env.HOLDFAST_GENERATION, exportMs: 1_500, pem })
servers.http.listen(${http})
servers.https.listen(${https})
servers.h2c.listen(${h2c})
servers.h2.listen(${h2})
`
  const address = (port: number) => `127.0.0.1:${port}`
  const app = await makeApp({
    name: uniqueApp(prefix),
    files: { 'server.js': serverJs('1'), 'package.json': '{"type":"module"}', 'key.pem': ca },
    config: `command = ["node", "--import", ${JSON.stringify(registerModule)}, "server.js"]
${config}
[listen]
http = "${address(http)}"
https = "${address(https)}"
h2c = "${address(h2c)}"
h2 = "${address(h2)}"
`,
  })
  return {
    ...app,
    address: address(http),
    others: { https: address(https), h2c: address(h2c), h2: address(h2), ca },
    release: (release) => app.write({ 'server.js': serverJs(release) }),
  }
}

/** The whole matrix, with think time: without it a connection is never idle, and the keep-alive race cannot happen. */
export function visitAll(harbour: Harbour, limits: { maxMs: number; maxRequests: number }): Traffic {
  return startTraffic({ address: harbour.address, others: harbour.others, clients: everyKind, thinkMs: 60, uploadMs: 1_200, ...limits })
}

/** Which generation answered which kind; keeps up with a ledger that grows to hundreds of thousands of records. */
export class Sightings {
  readonly #ledger: Ledger
  readonly #seen = new Set<string>()
  #read = 0

  constructor(ledger: Ledger) {
    this.#ledger = ledger
  }

  /** Those kinds that a generation has not answered yet. */
  kindsWithout(generation: number): string[] {
    for (; this.#read < this.#ledger.records.length; this.#read += 1) {
      const record = this.#ledger.records[this.#read]
      if (record?.outcome === 'ok') this.#seen.add(`${record.kind} ${record.generation}`)
    }
    return Object.keys(everyKind).filter((kind) => !this.#seen.has(`${kind} ${generation}`))
  }
}

/** For people: requests and failures by kind, and how many generations each kind was answered by. */
export function describe(ledger: Ledger): string {
  const paint = makePaint(false)
  const generations = Object.keys(everyKind).map((kind) => `${kind} ${ledger.generationsSeenBy(kind).length}`)
  const { medianMs, p99Ms, maxMs } = ledger.latency()
  const slowest = ledger.records.filter((record) => record.durationMs === maxMs).map((record) => record.kind)
  return [
    `${Object.keys(ledger.byGeneration()).filter((each) => each !== '').length} generations, ${ledger.requests} requests in ${Math.round((ledger.endMs ?? 0) / 1_000)} s, ${ledger.failures.length} failed`,
    '',
    ...renderFailures(ledger.byKind(), ledger.failures, paint),
    '',
    `latency: median ${medianMs.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms, maximum ${maxMs.toFixed(0)} ms (${slowest.join(', ')})`,
    `sent again after GOAWAY or 1001: ${['h2c', 'h2', 'webSocket'].map((kind) => `${kind} ${ledger.repeatsOf(kind)}`).join(', ')}`,
    `generations seen: ${generations.join(', ')}`,
    ...(ledger.failures.length > 0 ? ['', ...listFailures(ledger.failures)] : []),
  ].join('\n')
}
