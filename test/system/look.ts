/** What tests share that break the phases in which a release is looked at. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { expect, onTestFinished } from 'vitest'
import type { State } from '../../src/release/state.js'
import { ask } from './apps.js'
import { makeInstalledApp, type DeployedApp, type DeployedAppOptions, type Tree } from './deploys.js'
import { activeState, expectSuccess, mustRun, systemctl, units, waitFor, type Result } from './harness.js'
import { intercept } from './intercept.js'

export interface App {
  name: string
  address: string
}

export const service = (app: App): string => `${app.name}.service`
export const instance = (app: App, name: string): string => `${app.name}@${name}.service`
export const stateOf = (app: App): State => JSON.parse(readFileSync(`/var/lib/holdfast/${app.name}/state.json`, 'utf8')) as State
export const heldGeneration = (app: App): number | undefined => stateOf(app).held?.generation

/** Names of instances, such as `2.1`. */
export const heldBack = (app: App): string[] => namesIn(`/run/holdfast/${app.name}`, '.hold')
export const privateSockets = (app: App): string[] => namesIn(`/run/holdfast/${app.name}/private`, '.sock')
export const upNames = async (app: App): Promise<string[]> =>
  (await units(`${app.name}@*.service`, 'active', 'activating', 'deactivating', 'reloading')).map((unit) => unit.slice(app.name.length + 1, -'.service'.length)).sort()

export function namesIn(folder: string, ending: string): string[] {
  return existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith(ending)).map((name) => name.slice(0, -ending.length)).sort() : []
}

/** Asks one instance and no other. */
export function askPrivately(app: App, name: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath: `/run/holdfast/${app.name}/private/${name}.sock`, path: '/', headers: { connection: 'close' } }, (response) => {
      response.resume().on('end', () => resolve(response.headers['x-release']))
    })
    asked.on('error', reject).end()
  })
}

/** What an instance says of itself. */
export async function accepts(app: App, name: string): Promise<boolean> {
  const { accepting, draining } = JSON.parse(await mustRun('curl', ['--silent', '--http0.9', '--max-time', '5', '--unix-socket', `/run/holdfast/${app.name}/private/${name}.report`, 'http://instance/'])) as { accepting: boolean; draining: boolean }
  return accepting && !draining
}

/**
 * One truth: every process of the recorded live generation accepts, what is held is there and does not, nothing else runs, and
 * nothing is left of what ended: no hold file, no private socket, no unit, no deploy.
 */
export async function expectWhole(app: App, release: string, held: string[] = []): Promise<void> {
  const whole = await waitFor(`nothing but what is recorded of ${app.name} is up`, async () => {
    const { live } = stateOf(app)
    const expected = Array.from({ length: live?.processes ?? 0 }, (_, n) => `${live?.generation}.${n + 1}`)
    const up = await upNames(app)
    return JSON.stringify(up) === JSON.stringify([...expected, ...held].sort()) ? expected : undefined
  }, { timeoutMs: 60_000 }).catch(async (error: unknown) => {
    throw new Error(`${String(error)}; up: ${(await upNames(app)).join(' ')}; recorded: ${JSON.stringify(stateOf(app))}`)
  })
  for (const name of whole) {
    await waitFor(`${name} accepts`, () => accepts(app, name))
    expect(await askPrivately(app, name)).toBe(release)
  }
  expect(await ask(app)).toMatchObject({ release, generation: String(stateOf(app).live?.generation) })
  await waitFor('the app is active', async () => (await activeState(service(app))) === 'active')
  await waitFor('no deploy is under way', async () => (await units(`${app.name}-deploy.service`)).length === 0)
  const state = stateOf(app)
  expect(state.wanted).toBe(state.live?.release)
  expect(heldBack(app)).toEqual(held)
  expect(privateSockets(app)).toEqual([...whole, ...held].sort())
  expect((await units(`${app.name}@*`, 'active', 'activating', 'deactivating', 'failed')).length).toBe(2 * (whole.length + held.length))
  expect(await units(`${app.name}-*`, 'failed')).toEqual([])
  expect(existsSync(`/run/holdfast/${app.name}/order.json`)).toBe(false)
  expect(existsSync(`/var/lib/holdfast/${app.name}/deploy.json`)).toBe(false)
}

export async function expectStopped(app: App): Promise<void> {
  expect(await units(`${app.name}@*`, 'active', 'activating', 'deactivating', 'failed')).toEqual([])
  expect(privateSockets(app)).toEqual([])
  await expect(ask(app)).rejects.toThrow()
}

/** Answers its health check, and leaves a note of each in its data folder. */
export const healthy: Tree = {
  before: `import { writeFileSync } from 'node:fs'\n${intercept("if (request.url === '/healthz') { writeFileSync(process.env.STATE_DIRECTORY + '/asked', ''); response.writeHead(200).end(); return true }")}`,
}
export const askedFile = (app: App): string => `/var/lib/holdfast/${app.name}/data/asked`

export const isBack = (app: App, name: string): (() => Promise<boolean>) => async () => (await activeState(instance(app, name))) === 'active'
export const isLetIn = (app: App, name: string): (() => Promise<boolean>) => async () => (await activeState(instance(app, name))) === 'active' && !heldBack(app).includes(name)
export const quick = { everyMs: 2, timeoutMs: 60_000 }

export const health = { tables: '[health]\npath = "/healthz"\ninterval = "100ms"\nsuccesses = 8' }
export const baking = (seconds: number): DeployedAppOptions => ({ tables: `[bake]\nfor = "${seconds}s"` })
export const rolling: DeployedAppOptions = { top: 'processes = 4\nstrategy = "rolling"' }

/** Release 1 is live. systemd tries again soon what was killed; or not before somebody has done so by hand. */
export async function makeLive(prefix: string, options: DeployedAppOptions = {}, { retry = '300ms' } = {}): Promise<DeployedApp> {
  const app = await makeInstalledApp(prefix, options)
  expectSuccess(await app.deploy(await app.tree('1', healthy)))
  const dropIn = `/etc/systemd/system/${service(app)}.d`
  onTestFinished(() => rm(dropIn, { recursive: true, force: true }))
  await mkdir(dropIn, { recursive: true })
  await writeFile(`${dropIn}/retry.conf`, `[Service]\nRestartSec=${retry}\n`)
  await mustRun('systemctl', ['daemon-reload'])
  return app
}

export const killHandover = (app: App): Promise<Result> => systemctl('kill', '--signal=SIGKILL', service(app))
export const killDeploy = (app: App): Promise<Result> => systemctl('kill', '--signal=SIGKILL', `${app.name}-deploy.service`)

/** Only what a killed process was answering, at most one for each client. */
export function expectCutAlone({ failures }: { failures: { outcome: string }[] }): void {
  expect(failures.filter(({ outcome }) => !['reset', 'hang-up', 'cut-body'].includes(outcome))).toEqual([])
  expect(failures.length).toBeLessThanOrEqual(16)
}

/** And generation 2 is held beside it, or answers as a canary. */
export async function makeHolding(prefix: string, options: DeployedAppOptions = {}, how: string[] = ['--hold']): Promise<DeployedApp> {
  const app = await makeLive(prefix, options)
  expectSuccess(await app.deploy([await app.tree('2', healthy), ...how]))
  await rm(askedFile(app), { force: true })
  return app
}

export const letIn = (name: string) => (app: DeployedApp): Promise<unknown> => waitFor(`${name} is let in`, isLetIn(app, name), quick)
