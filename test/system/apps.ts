/**
 * The apps that system tests deploy: one file, `server.js`, that answers the traffic of test/traffic.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { defaultClients, startTraffic, type Traffic } from '../traffic/index.js'
import { checkout, freePort, makeApp, registerModule, uniqueApp, type TestApp } from './harness.js'

const target = join(checkout, 'test/traffic/target.js')

/** A server of a release; `before` and `after` are code around its listen(). */
export function serverJs(release: string, { before = '', after = '' }: { before?: string; after?: string } = {}): string {
  return `
import http from 'node:http'
import { makeTarget } from ${JSON.stringify(target)}
${before}
http.createServer(makeTarget({ release: ${JSON.stringify(release)}, generation: process.env.HOLDFAST_GENERATION, exportMs: 1_500 })).listen(process.env.PORT)
${after}
`
}

/** Ways in which a release can be broken, each the code that makes it so. */
export const broken = {
  'crashes at its start': { before: "throw new Error('no such module: stripe')" },
  'exits with 0 before it is ready': { before: 'process.exit(0)' },
  'never becomes ready and heeds no SIGTERM': { before: "process.on('SIGTERM', () => {})\nawait new Promise(() => setInterval(() => {}, 1000))" },
  'dies just after it was ready': { after: 'setTimeout(() => { throw new Error("the licence has expired") }, 700)' },
  'is killed while it starts': { before: "process.kill(process.pid, 'SIGSEGV')" },
} as const

export interface Shop extends TestApp {
  port: number
  address: string
  /** `shop.service`. */
  service: string
  /** Sets what the next restart takes. */
  release(release: string, how?: { before?: string; after?: string }): Promise<void>
}

/** An app with the preload and one listener, not installed yet. */
export async function makeShop(prefix: string, { config = '', release = '1' }: { config?: string; release?: string } = {}): Promise<Shop> {
  const port = await freePort()
  const address = `127.0.0.1:${port}`
  const name = uniqueApp(prefix)
  const app = await makeApp({
    name,
    files: { 'server.js': serverJs(release), 'package.json': '{"type":"module"}' },
    config: `command = ["node", "--import", ${JSON.stringify(registerModule)}, "server.js"]\n${config}\n${config.includes('[start]') ? '' : '[start]\nsettle = "1s"\n'}[listen]\nhttp = "${address}"\n`,
  })
  return {
    ...app,
    port,
    address,
    service: `${name}.service`,
    release: (id, how) => app.write({ 'server.js': serverJs(id, how) }),
  }
}

/** Steady mixed traffic at a shop, with short downloads. */
export function visit(shop: Shop, clients: Partial<typeof defaultClients> = {}): Traffic {
  return startTraffic({ address: shop.address, clients: { ...defaultClients, ...clients } })
}

/** The number of the live generation and its release's name, as they are recorded. */
export async function recorded(shop: { name: string }): Promise<{ generation: number; live: { generation: number; release: string } | undefined; wanted: string | undefined }> {
  return JSON.parse(await readFile(`/var/lib/holdfast/${shop.name}/state.json`, 'utf8'))
}

/** What one request sees. */
export async function ask(shop: { address: string }, path = '/'): Promise<{ release: string | null; generation: string | null; status: number }> {
  const response = await fetch(`http://${shop.address}${path}`, { headers: { connection: 'close' } })
  await response.text()
  return { status: response.status, release: response.headers.get('x-release'), generation: response.headers.get('x-generation') }
}
