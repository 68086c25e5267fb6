import { hostname, userInfo } from 'node:os'
import type { AddressInfo, Server } from 'node:net'
import { quote } from '../config/quote.js'
import { loadReleaseConfig } from '../config/release.js'
import { plainText } from '../deploy/foreign-text.js'
import { checkManager } from '../deploy/install/preflight.js'
import { PreviewRelay } from '../deploy/preview/preview-relay.js'
import { listenOn, servePreview } from '../deploy/preview/preview-server.js'
import { fateOf, requirePrivateSocket, routeTo, type HeldFate } from '../deploy/preview/preview-target.js'
import { requireSomethingHeld } from '../deploy/operation/promote.js'
import { HoldfastError } from '../errors.js'
import { holdfastCommand } from '../release/command-words.js'
import { readState, type Held } from '../release/state.js'
import { readRelease, releaseFolder } from '../release/store.js'
import type { InstalledApp } from '../deploy/app.js'
import { chooseApp } from './choose-app.js'
import { openApp, placesFor, type GlobalOptions } from './context.js'
import { jsonText, print } from './output.js'

/** How often the record is asked whether the generation is still held. */
const lookMs = 500

/** What is open when the generation is no longer held may still take so long. */
const graceMs = 5_000

/** What `holdfast preview --json` prints; documented in docs/cli.md, and stable. */
export interface PreviewJson {
  app: string
  generation: number
  release: string
  version: string | null
  url: string
  /** To be run on the machine that is to see it. */
  ssh: string
}

/** Opens a loopback address that reaches the generation which is held now, until it no longer is, or Ctrl-C. @returns the exit status */
export async function previewCommand(given: string | undefined, options: GlobalOptions & { port?: string; json?: boolean }): Promise<number> {
  const places = placesFor(options)
  const port = readPort(options.port)
  checkManager(places.scope)
  const app = openApp(chooseApp(given, places), options)
  const { paths } = app
  const held = requireSomethingHeld(paths, readState(paths))
  requirePrivateSocket(paths, held)

  // Pinned: what is held later is another release than the one that was to be looked at.
  const relay = new PreviewRelay(() => routeTo(paths, held))
  const servers = await listenOnLoopback(relay, port)
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {
    stop.abort()
    relay.cutAll()
  })
  const view = describePreview(app, held, portOf(servers[0]))
  print(options.json === true ? jsonText(view) : previewText(view, held))

  const timer = setInterval(() => {
    const fate = tryFate(app, held)
    if (fate === 'held') return
    clearInterval(timer)
    if (options.json !== true) print(fateText(app, held, fate))
    stop.abort()
  }, lookMs)
  await servePreview(relay, servers, { signal: stop.signal, graceMs })
  clearInterval(timer)
  return 0
}

/** 127.0.0.1, and ::1 as well where that has the port free: `localhost` is both. */
async function listenOnLoopback(relay: PreviewRelay, port: number): Promise<[Server, ...Server[]]> {
  const first = await listenOn(relay.makeServer(), { host: '127.0.0.1', port })
  const second = await listenOn(relay.makeServer(), { host: '::1', port: portOf(first) }).catch(() => undefined)
  return second === undefined ? [first] : [first, second]
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port

function describePreview({ paths, config }: InstalledApp, { generation, release: id }: Held, port: number): PreviewJson {
  let version: string | undefined
  let health = config.health
  try {
    const release = readRelease(paths, id)
    version = release.version
    health = loadReleaseConfig(config, releaseFolder(paths, release)).config.health
  } catch (error) {
    // It runs, whatever has become of its files.
    if (!(error instanceof HoldfastError)) throw error
  }
  const isTls = health?.probe.kind === 'http' && health.probe.tls
  return {
    app: paths.app, generation, release: id, version: version ?? null,
    url: `${isTls ? 'https' : 'http'}://127.0.0.1:${port}/`,
    ssh: `ssh -L ${port}:127.0.0.1:${port} ${process.env['SUDO_USER'] || userInfo().username}@${hostname()}`,
  }
}

/** For people. Pure. */
export function previewText({ generation, release, version, url, ssh }: PreviewJson, { processes, kind }: Pick<Held, 'processes' | 'kind'>): string {
  const which = `release ${release}${version === null ? '' : ` (${plainText(version)})`}`
  const several = processes === 1 ? '' : `, its ${processes} processes by turns`
  return [
    `Generation ${generation}, ${which}, is at ${url}${several}`,
    ...(kind === 'canary' ? ['It is a canary: clients reach it at the public addresses, too.'] : []),
    `From a laptop: ${ssh}`,
    'Whoever is logged in on this machine can open it. Ctrl-C closes it.',
  ].join('\n')
}

function fateText({ paths }: InstalledApp, { generation }: Held, fate: Exclude<HeldFate, 'held'>): string {
  if (fate === 'live') return `Generation ${generation} is live now: this preview of it is closed.`
  if (fate === 'closed') return `Generation ${generation} has no private socket any more, as after a stop of its instances: this preview of it is closed. ${holdfastCommand(paths)} status ${paths.app}`
  return `Generation ${generation} is no longer held: this preview of it is closed. What became of it: ${holdfastCommand(paths)} history ${paths.app}`
}

/** What cannot be read just now says nothing: looked at again in a moment. */
function tryFate({ paths }: InstalledApp, held: Held): HeldFate {
  try {
    return fateOf(paths, held)
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error
    return 'held'
  }
}

function readPort(text: string | undefined): number {
  if (text === undefined) return 0
  if (/^[1-9]\d{0,4}$/.test(text) && Number(text) <= 65535) return Number(text)
  throw new HoldfastError('usage', `--port ${quote(text)} is no port`, { hint: 'a whole number from 1 to 65535; leave it out for a free one' })
}
