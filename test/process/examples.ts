import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { root } from './built.js'
import type { Instance, SpawnOptions, Supervisor } from './supervisor.js'

const folder = join(root, 'examples/web')
const next = join(folder, 'next')

/** Over which clients of long-lived connections come back, in milliseconds. */
export const reconnectWindowMs = 1500

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
  readonly #supervisor: Supervisor
  readonly #program: string
  readonly #options: SpawnOptions
  #live: Instance | undefined

  private constructor(supervisor: Supervisor, program: string, options: SpawnOptions) {
    this.#supervisor = supervisor
    this.#program = program
    this.#options = options
  }

  /** @returns with the first generation ready; and the address of it all */
  static async begin(supervisor: Supervisor, example: string, options: SpawnOptions = {}): Promise<[Handovers, string]> {
    const handovers = new Handovers(supervisor, exampleProgram(example), options)
    const address = await supervisor.listen('http')
    handovers.#live = await handovers.start()
    return [handovers, address]
  }

  get live(): Instance {
    if (!this.#live) throw new Error('nothing was started')
    return this.#live
  }

  /**
   * The next generation, let in; until `retire()` both accept.
   * @param inStandby what is done with it before
   */
  async start(inStandby: (instance: Instance) => Promise<void> = async () => {}): Promise<Instance> {
    const stopFile = join(this.#supervisor.directory, 'stop')
    writeFileSync(stopFile, 'deploy\n')
    const env = {
      PORT: '3000', NODE_ENV: 'production', NO_COLOR: '1',
      HOLDFAST_STOP_FILE: stopFile, HOLDFAST_RECONNECT_WINDOW_MS: String(reconnectWindowMs),
    }
    const instance = await this.#supervisor.start(this.#program, {
      listeners: ['http'], privateListener: 'http', held: true, ...this.#options, env: { ...env, ...this.#options.env },
    })
    await instance.untilReady()
    await inStandby(instance)
    instance.letIn()
    while (!(await instance.report()).accepting);
    return instance
  }

  /** Asks the live generation to go, for the next one. */
  retire(next: Instance): void {
    this.live.kill('SIGTERM')
    this.retired.push(this.live)
    this.#live = next
  }

  /** Waits until all that were retired have ended. */
  async ended(): Promise<number[]> {
    return Promise.all(this.retired.map((instance) => instance.untilExit()))
  }
}
