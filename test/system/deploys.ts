/** An app whose releases come by `holdfast deploy`, and what must hold of it after each one. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { expect, onTestFinished } from 'vitest'
import type { DeployEvent } from '../../src/deploy/operation/progress.js'
import type { HistoryEntry } from '../../src/release/history.js'
import type { Release } from '../../src/release/release.js'
import { startTraffic, defaultClients, type Traffic } from '../traffic/index.js'
import { ask, recorded, serverJs } from './apps.js'
import { checkout, freePort, makeApp, registerModule, run, uniqueApp, units, waitFor, type Result, type RunOptions } from './harness.js'

const program = [process.execPath, join(checkout, 'dist/cli/main.js')] as const

export interface Tree {
  /** Code around the server's listen(). */
  before?: string
  after?: string
  /** Of the release's own holdfast.toml: hooks by their name there. */
  hooks?: Record<string, string>
  /** More files. */
  files?: Record<string, string>
  /** What package.json calls it. Default `<release>.0.0`. */
  version?: string
}

export interface DeployedApp {
  name: string
  address: string
  port: number
  /** The folder that was installed from, with a holdfast.toml alone. */
  folder: string
  config: string
  /** /var/lib/holdfast/<name>. */
  state: string
  /** Writes a release that answers with this name, in a folder of its own. */
  tree(release: string, tree?: Tree): Promise<string>
  /** `holdfast deploy <name> SOURCE…`. */
  deploy(source: string | string[], options?: RunOptions): Promise<Result>
  /** `holdfast COMMAND <name> …`. */
  holdfast(command: string, ...args: string[]): Promise<Result>
}

export interface DeployedAppOptions {
  /** More of the installed configuration: keys, then tables. */
  top?: string
  tables?: string
  /** The keys of `[start]`. Default: it settles in 300 ms. */
  start?: string
}

/** Not installed yet. */
export async function makeDeployedApp(prefix: string, { top = '', tables = '', start = 'settle = "300ms"' }: DeployedAppOptions = {}): Promise<DeployedApp> {
  const [port, name] = [await freePort(), uniqueApp(prefix)]
  const address = `127.0.0.1:${port}`
  const text = (more = ''): string => `command = ["node", "--import", ${JSON.stringify(registerModule)}, "server.js"]
data = true
${top}
[listen]
http = "${address}"
[start]
${start}
${tables}
${more}`
  const app = await makeApp({ name, config: text(), releasesBy: 'deploy' })
  const cli = (args: string[], options?: RunOptions): Promise<Result> => run(program[0], [program[1], ...args], options)
  return {
    name, address, port,
    folder: app.folder,
    config: app.config,
    state: `/var/lib/holdfast/${name}`,
    async tree(release, { before = '', after = '', hooks = {}, files = {}, version = `${release}.0.0` } = {}) {
      const folder = await mkdtemp(`/srv/${name}-release-`)
      await chmod(folder, 0o755)
      onTestFinished(() => rm(folder, { recursive: true, force: true }))
      const table = Object.entries(hooks).map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`).join('')
      const all = {
        'server.js': serverJs(release, { before, after }),
        'package.json': JSON.stringify({ name: 'shop', version, type: 'module' }),
        'holdfast.toml': `app = "${name}"\n${text(table === '' ? '' : `[hooks]\n${table}`)}`,
        ...files,
      }
      for (const [path, content] of Object.entries(all)) {
        await mkdir(dirname(join(folder, path)), { recursive: true })
        await writeFile(join(folder, path), content)
      }
      return folder
    },
    deploy: (source, options) => cli(['deploy', name, ...(Array.isArray(source) ? source : [source])], options),
    holdfast: (command, ...args) => cli([command, name, ...args]),
  }
}

export async function makeInstalledApp(prefix: string, options: DeployedAppOptions = {}): Promise<DeployedApp> {
  const app = await makeDeployedApp(prefix, options)
  const { status, stdout, stderr } = await run(program[0], [program[1], 'install', app.config])
  expect(status, stdout + stderr).toBe(0)
  return app
}

/** What a `--json` deploy printed. */
export const eventsOf = (stdout: string): DeployEvent[] => stdout.split('\n').filter(Boolean).map((line) => JSON.parse(line) as DeployEvent)

/** What is on disk of an app's releases. */
export function releasesOf(app: DeployedApp): Release[] {
  const folder = join(app.state, 'releases')
  if (!existsSync(folder)) return []
  return readdirSync(folder).filter((name) => name.endsWith('.json')).sort().map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')) as Release)
}

/** Oldest first. */
export const historyOf = (app: DeployedApp): HistoryEntry[] =>
  readFileSync(join(app.state, 'history.jsonl'), 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line) as HistoryEntry)

export const liveRelease = async (app: DeployedApp): Promise<Release> => {
  const { live } = await recorded(app)
  const release = releasesOf(app).find(({ id }) => id === live?.release)
  if (!release) throw new Error(`there is no release of ${JSON.stringify(live)}`)
  return release
}

/**
 * What is recorded is what runs, and nothing is half done: one generation, wanted is live, no staging, no deploy
 * under way, every release whole.
 */
export async function expectTruth(app: DeployedApp, release?: string): Promise<void> {
  const one = await waitFor('one generation is up', async () => {
    const up = await units(`${app.name}@*.service`, 'active', 'activating', 'deactivating', 'reloading')
    return up.length === 1 ? up[0] : undefined
  }, { timeoutMs: 30_000 })
  const state = await recorded(app)
  expect(one).toBe(`${app.name}@${state.live?.generation}.1.service`)
  expect(state.wanted).toBe(state.live?.release)
  const answer = await ask(app)
  expect(answer.generation).toBe(String(state.live?.generation))
  expect(`${answer.release}.0.0`).toBe((await liveRelease(app)).version)
  if (release !== undefined) expect(answer.release).toBe(release)
  const staging = join(app.state, 'staging')
  expect(existsSync(staging) ? readdirSync(staging) : []).toEqual([])
  expect(existsSync(join(app.state, 'deploy.json'))).toBe(false)
  expect(await units(`${app.name}-deploy.service`, 'active', 'activating')).toEqual([])
  const names = readdirSync(join(app.state, 'releases'))
  const folders = names.filter((name) => !name.endsWith('.json')).sort()
  expect(folders).toEqual(names.filter((name) => name.endsWith('.json')).map((name) => name.slice(0, -5)).sort())
  for (const folder of folders) expect(folder).toMatch(/^\d{8}-\d{6}-[0-9a-f]{6}$/)
}

/** Steady mixed traffic, with short downloads; ends with the test at the latest. */
export function visitApp(app: { address: string }): Traffic {
  const traffic = startTraffic({ address: app.address, clients: defaultClients })
  onTestFinished(async () => void (await traffic.stop({ deadlineMs: 0 })))
  return traffic
}

/** What a person reads of a command. */
export const said = ({ stdout, stderr }: Result): string => stdout + stderr
