import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { root } from './built.js'
import type { Instance, Supervisor } from './supervisor.js'

const folder = join(root, 'examples/web')
const next = join(folder, 'next')

/** Loads a client library out of the examples' own packages. */
export const requireClient = createRequire(join(folder, 'package.json'))

/** The program of an example, to be started by a Supervisor. */
export function exampleProgram(name: string): string {
  return name === 'next' ? join(next, '.next/standalone/next/server.js') : join(folder, `${name}.js`)
}

/** Fails with what to do where scripts/setup has not run. */
export function requireExamples(): void {
  if (!existsSync(join(folder, 'node_modules/next'))) throw new Error('the packages of examples/web are missing: run scripts/setup')
}

/** `next build`, which takes some seconds, unless it was done for these sources and packages already. */
export function ensureNextBuilt(): void {
  const stamp = join(next, '.next/holdfast-built')
  const files = [...listSources(next), join(folder, 'package-lock.json')]
  const wanted = createHash('sha256').update(files.map((file) => `${file}\n${readFileSync(file, 'utf8')}`).join('\n')).digest('hex')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return
  rmSync(join(next, '.next'), { recursive: true, force: true })
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(folder, 'node_modules/next/dist/bin/next'), 'build'], {
    cwd: next, encoding: 'utf8', env: { PATH: process.env.PATH, HOME: process.env.HOME, NEXT_TELEMETRY_DISABLED: '1' },
  })
  if (status !== 0) throw new Error(`next build failed:\n${stdout}\n${stderr}`)
  mkdirSync(join(next, '.next'), { recursive: true })
  writeFileSync(stamp, wanted)
}

function listSources(path: string): string[] {
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.name !== '.next' && entry.name !== 'next-env.d.ts')
    .flatMap((entry) => (entry.isDirectory() ? listSources(join(path, entry.name)) : [join(path, entry.name)]))
    .toSorted()
}

/** An example's generations on one socket; each handover is one as a deploy does it. */
export class Handovers {
  readonly retired: Instance[] = []
  live!: Instance
  readonly #supervisor: Supervisor
  readonly #name: string

  private constructor(supervisor: Supervisor, name: string) {
    this.#supervisor = supervisor
    this.#name = name
  }

  static async begin(supervisor: Supervisor, name: string): Promise<[Handovers, string]> {
    const handovers = new Handovers(supervisor, name)
    const address = await supervisor.listen('http')
    handovers.live = await handovers.start()
    return [handovers, address]
  }

  async start(): Promise<Instance> {
    const env = { PORT: '3000', NODE_ENV: 'production', NO_COLOR: '1', HOLDFAST_RECONNECT_WINDOW_MS: '1500' }
    const instance = await this.#supervisor.start(exampleProgram(this.#name), { listeners: ['http'], env })
    await instance.untilReady()
    return instance
  }

  retire(next: Instance): Instance {
    const old = this.live
    old.kill('SIGTERM')
    this.retired.push(old)
    this.live = next
    return old
  }
}
