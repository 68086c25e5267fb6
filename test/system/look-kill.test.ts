/** Kills, stops and full disks in the phases of a handover that looks before it switches: the live generation is whole afterwards. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { expect, it, onTestFinished } from 'vitest'
import type { State } from '../../src/release/state.js'
import type { Traffic } from '../traffic/index.js'
import { ask, makeShop, visit, type Shop } from './apps.js'
import { historyOf, liveRelease, makeInstalledApp, said, visitApp, type DeployedApp, type DeployedAppOptions, type Tree } from './deploys.js'
import { activeState, expectSuccess, holdfast, journal, mustRun, run, show, systemctl, units, waitFor, type Result } from './harness.js'
import { intercept } from './intercept.js'

interface App {
  name: string
  address: string
}

const service = (app: App): string => `${app.name}.service`
const instance = (app: App, name: string): string => `${app.name}@${name}.service`
const stateOf = (app: App): State => JSON.parse(readFileSync(`/var/lib/holdfast/${app.name}/state.json`, 'utf8')) as State
const heldGeneration = (app: App): number | undefined => stateOf(app).held?.generation

/** Names of instances, such as `2.1`. */
const heldBack = (app: App): string[] => namesIn(`/run/holdfast/${app.name}`, '.hold')
const privateSockets = (app: App): string[] => namesIn(`/run/holdfast/${app.name}/private`, '.sock')
const upNames = async (app: App): Promise<string[]> =>
  (await units(`${app.name}@*.service`, 'active', 'activating', 'deactivating', 'reloading')).map((unit) => unit.slice(app.name.length + 1, -'.service'.length)).sort()

function namesIn(folder: string, ending: string): string[] {
  return existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith(ending)).map((name) => name.slice(0, -ending.length)).sort() : []
}

/** Asks one instance and no other. */
function askPrivately(app: App, name: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath: `/run/holdfast/${app.name}/private/${name}.sock`, path: '/', headers: { connection: 'close' } }, (response) => {
      response.resume().on('end', () => resolve(response.headers['x-release']))
    })
    asked.on('error', reject).end()
  })
}

/** What an instance says of itself. */
async function accepts(app: App, name: string): Promise<boolean> {
  const { accepting, draining } = JSON.parse(await mustRun('curl', ['--silent', '--http0.9', '--max-time', '5', '--unix-socket', `/run/holdfast/${app.name}/private/${name}.report`, 'http://instance/'])) as { accepting: boolean; draining: boolean }
  return accepting && !draining
}

/**
 * One truth: every process of the recorded live generation accepts, what is held is there and does not, nothing else runs, and
 * nothing is left of what ended: no hold file, no private socket, no unit, no deploy.
 */
async function expectWhole(app: App, release: string, held: string[] = []): Promise<void> {
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

async function expectStopped(app: App): Promise<void> {
  expect(await units(`${app.name}@*`, 'active', 'activating', 'deactivating', 'failed')).toEqual([])
  expect(privateSockets(app)).toEqual([])
  await expect(ask(app)).rejects.toThrow()
}

/** Answers its health check, and leaves a note of each in its data folder. */
const healthy: Tree = {
  before: `import { writeFileSync } from 'node:fs'\n${intercept("if (request.url === '/healthz') { writeFileSync(process.env.STATE_DIRECTORY + '/asked', ''); response.writeHead(200).end(); return true }")}`,
}
const askedFile = (app: App): string => `/var/lib/holdfast/${app.name}/data/asked`

const isBack = (app: App, name: string): (() => Promise<boolean>) => async () => (await activeState(instance(app, name))) === 'active'
const isLetIn = (app: App, name: string): (() => Promise<boolean>) => async () => (await activeState(instance(app, name))) === 'active' && !heldBack(app).includes(name)
const quick = { everyMs: 2, timeoutMs: 60_000 }

const health = { tables: '[health]\npath = "/healthz"\ninterval = "100ms"\nsuccesses = 8' }
const baking = (seconds: number): DeployedAppOptions => ({ tables: `[bake]\nfor = "${seconds}s"` })
const rolling: DeployedAppOptions = { top: 'processes = 4\nstrategy = "rolling"' }

/** Release 1 is live. systemd tries again soon what was killed; or not before somebody has done so by hand. */
async function makeLive(prefix: string, options: DeployedAppOptions = {}, { retry = '300ms' } = {}): Promise<DeployedApp> {
  const app = await makeInstalledApp(prefix, options)
  expectSuccess(await app.deploy(await app.tree('1', healthy)))
  const dropIn = `/etc/systemd/system/${service(app)}.d`
  onTestFinished(() => rm(dropIn, { recursive: true, force: true }))
  await mkdir(dropIn, { recursive: true })
  await writeFile(`${dropIn}/retry.conf`, `[Service]\nRestartSec=${retry}\n`)
  await mustRun('systemctl', ['daemon-reload'])
  return app
}

const killHandover = (app: App): Promise<Result> => systemctl('kill', '--signal=SIGKILL', service(app))
const killDeploy = (app: App): Promise<Result> => systemctl('kill', '--signal=SIGKILL', `${app.name}-deploy.service`)

/** Only what a killed process was answering, at most one for each client. */
function expectCutAlone({ failures }: { failures: { outcome: string }[] }): void {
  expect(failures.filter(({ outcome }) => !['reset', 'hang-up', 'cut-body'].includes(outcome))).toEqual([])
  expect(failures.length).toBeLessThanOrEqual(16)
}

interface Moment {
  options?: DeployedAppOptions
  release?: Tree
  /** Settles when it is time to kill. */
  comes(app: DeployedApp, traffic: Traffic): Promise<unknown>
  /** `retry`: systemd's own. `apply`: the deploy is killed along with its handover. */
  next: 'retry' | 'restart' | 'apply'
  /** What is live in the end. Default 2, with `apply` 1. */
  ends?: string
}

const letIn = (name: string) => (app: DeployedApp): Promise<unknown> => waitFor(`${name} is let in`, isLetIn(app, name), quick)

const moments: Record<string, Moment> = {
  'in standby': { options: { start: 'settle = "2s"' }, comes: (app) => waitFor('it is ready', isBack(app, '2.1'), quick), next: 'apply' },
  'while its health is asked': { options: health, comes: (app) => waitFor('it is asked', () => existsSync(askedFile(app)), quick), next: 'retry' },
  'just after it was let in': { comes: letIn('2.1'), next: 'restart' },
  'in its bake': { options: baking(4), comes: (_, traffic) => traffic.until((ledger) => ledger.answeredBy('2') > 50), next: 'retry' },
  'in its bake along with its deploy': { options: baking(4), comes: (_, traffic) => traffic.until((ledger) => ledger.answeredBy('2') > 50), next: 'apply' },
  'after one of four was replaced': { options: rolling, comes: letIn('2.2'), next: 'retry' },
  'after three of four were replaced': { options: rolling, comes: (app) => waitFor('the last is started', async () => (await activeState(instance(app, '2.4'))) !== 'inactive', quick), next: 'apply' },
  'while the older processes come back': {
    options: rolling, ends: '1', next: 'restart',
    release: { before: `${healthy.before}\nif (process.env.HOLDFAST_INSTANCE.endsWith('.4')) throw new Error('no room')` },
    async comes(app) {
      await waitFor('the first older one has left', async () => (await activeState(instance(app, '1.1'))) === 'inactive', quick)
      await waitFor('it is started again', async () => (await activeState(instance(app, '1.1'))) !== 'inactive', quick)
    },
  },
}

it.each(Object.entries(moments))('a handover that is killed %s', { timeout: 150_000 }, async (_, { options, release = healthy, comes, next, ends = next === 'apply' ? '1' : '2' }) => {
  const app = await makeLive('cut', options, { retry: next === 'apply' ? '60s' : '300ms' })
  const [first, source] = [stateOf(app).live?.release, await app.tree('2', release)]
  await rm(askedFile(app), { force: true })
  const traffic = visitApp(app)
  await traffic.until(50)
  const deploying = app.deploy(source, { timeoutMs: 120_000 })
  await comes(app, traffic)
  await Promise.all([killHandover(app), ...(next === 'apply' ? [killDeploy(app)] : [])])
  if (next === 'restart') await systemctl('restart', app.name)
  const result = await deploying
  expect(result.status, said(result)).toBe(ends === '2' ? 0 : 1)
  if (next === 'apply') expectSuccess(await app.holdfast('apply'))
  await waitFor('the handover has ended', async () => (await activeState(service(app))) !== 'activating', { timeoutMs: 60_000 })
  // A deploy that failed leaves the unit failed.
  if (ends === '1' && next !== 'apply') expectSuccess(await systemctl('start', app.name))
  await expectWhole(app, ends)
  if (ends === '1') expect(stateOf(app).live?.release).toBe(first)
  expect((await liveRelease(app)).outcome).toBe('good')
  expect((await traffic.stop()).failures).toEqual([])
})

/** And generation 2 is held beside it, or answers as a canary. */
async function makeHolding(prefix: string, options: DeployedAppOptions = {}, how: string[] = ['--hold']): Promise<DeployedApp> {
  const app = await makeLive(prefix, options)
  expectSuccess(await app.deploy([await app.tree('2', healthy), ...how]))
  await rm(askedFile(app), { force: true })
  return app
}

it.each(['once it is ready', 'once it is recorded'])('a handover that is killed %s holds one generation in the end', { timeout: 120_000 }, async (when) => {
  const app = await makeHolding('holds')
  const traffic = visitApp(app)
  const deploying = app.deploy([await app.tree('3', healthy), '--hold'], { timeoutMs: 60_000 })
  await waitFor(when, when === 'once it is ready' ? isBack(app, '3.1') : () => heldGeneration(app) === 3, quick)
  await killHandover(app)
  const result = await deploying
  expect(result.status, said(result)).toBe(0)
  await waitFor('the handover has ended', async () => (await activeState(service(app))) === 'active', { timeoutMs: 30_000 })
  const name = `${heldGeneration(app)}.1`
  await expectWhole(app, '1', [name])
  expect(await accepts(app, name)).toBe(false)
  expect(await askPrivately(app, name)).toBe('3')
  expectSuccess(await app.holdfast('promote'))
  await expectWhole(app, '3')
  expect((await traffic.stop()).failures).toEqual([])
})

it.each([
  { when: 'before the let-in', options: health, comes: (app: DeployedApp) => waitFor('it is asked', () => existsSync(askedFile(app)), quick), by: 'systemd' },
  { when: 'in its bake', options: baking(2), comes: letIn('2.1'), by: 'a restart' },
])('a promotion that is killed $when is finished by $by', { timeout: 120_000 }, async ({ options, comes, by }) => {
  const app = await makeHolding('promo', options)
  const before = await show(instance(app, '2.1'), 'MainPID')
  const traffic = visitApp(app)
  await traffic.until(50)
  const promoting = app.holdfast('promote')
  await comes(app)
  await killHandover(app)
  if (by === 'a restart') expectSuccess(await systemctl('restart', app.name))
  const result = await promoting
  expect(result.status, said(result)).toBe(0)
  await expectWhole(app, '2')
  expect(await show(instance(app, '2.1'), 'MainPID')).toEqual(before)
  expect((await traffic.stop()).failures).toEqual([])
})

it('a second restart in the bake wins, and the first leaves nothing', { timeout: 120_000 }, async () => {
  const app = await makeLive('twice', baking(2))
  const traffic = visitApp(app)
  const deploying = app.deploy(await app.tree('2', healthy), { timeoutMs: 60_000 })
  await letIn('2.1')(app)
  expectSuccess(await systemctl('restart', app.name))
  expect((await deploying).status).toBe(0)
  await expectWhole(app, '2')
  expect(stateOf(app).live?.generation).toBe(3)
  expect((await traffic.stop()).failures).toEqual([])
})

const stops: Record<string, { options: DeployedAppOptions; how: string[]; comes(app: DeployedApp): Promise<unknown> }> = {
  'in a bake': { options: baking(4), how: [], comes: letIn('2.1') },
  'in a rolling handover': { options: rolling, how: [], comes: letIn('2.2') },
  'while one is held': { options: {}, how: ['--hold'], comes: async () => {} },
  'while a canary answers': { options: { top: 'processes = 2' }, how: ['--canary', '1'], comes: async () => {} },
}

it.each(Object.entries(stops))('a stop %s ends everything, and a start brings back what was live', { timeout: 120_000 }, async (_, { options, how, comes }) => {
  const app = await makeLive('stops', options)
  const deploying = app.deploy([await app.tree('2', healthy), ...how], { timeoutMs: 60_000 })
  if (how.length > 0) expectSuccess(await deploying)
  await comes(app)
  expectSuccess(await systemctl('stop', app.name, `${app.name}-drain`))
  if (how.length === 0) expect((await deploying).status).toBe(1)
  await expectStopped(app)
  expectSuccess(await systemctl('start', app.name))
  await expectWhole(app, '1')
  expect(heldGeneration(app)).toBeUndefined()
})

it('a deploy that is killed holds its release all the same, and so does its promotion', { timeout: 120_000 }, async () => {
  const app = await makeLive('client', baking(6))
  const traffic = visitApp(app)
  const deploying = app.deploy([await app.tree('2', healthy), '--hold'], { timeoutMs: 60_000 })
  await waitFor('it is ready', isBack(app, '2.1'), quick)
  await killDeploy(app)
  expect((await deploying).status).toBe(1)
  await waitFor('generation 2 is held', () => heldGeneration(app) === 2)
  await waitFor('the handover has ended', async () => (await activeState(service(app))) === 'active')
  const promoting = app.holdfast('promote')
  await letIn('2.1')(app)
  const [again, abort] = await Promise.all([app.holdfast('promote'), app.holdfast('abort')])
  for (const refused of [again, abort]) {
    expect(refused.status).not.toBe(0)
    expect(said(refused)).toMatch(/promotes generation 2/)
  }
  await killDeploy(app)
  expect((await promoting).status).toBe(1)
  await waitFor('generation 2 is live', () => stateOf(app).live?.generation === 2)
  await waitFor('the handover has ended', async () => (await activeState(service(app))) === 'active')
  expectSuccess(await app.holdfast('apply'))
  await expectWhole(app, '2')
  expect(historyOf(app).slice(1)).toMatchObject([{ kind: 'deploy', outcome: 'held', generation: 2 }, { kind: 'promote', outcome: 'live', generation: 2 }])
  expect((await traffic.stop()).failures).toEqual([])
})

it('an expiry in the middle of a promotion does nothing', { timeout: 120_000 }, async () => {
  const app = await makeHolding('expiry', baking(6), ['--hold', '--expires', '3s'])
  const promoting = app.holdfast('promote')
  await letIn('2.1')(app)
  await waitFor('its time is over', async () => (await journal(app.name, '--output=cat')).includes('waiting: '), { timeoutMs: 30_000 })
  const result = await promoting
  expect(result.status, said(result)).toBe(0)
  await waitFor('the expiry has ended', async () => (await units(`${app.name}-expiry*`)).length === 0)
  await expectWhole(app, '2')
  expect(historyOf(app).at(-1)).toMatchObject({ kind: 'promote', outcome: 'live' })
})

it('a candidate that is killed in its bake is rolled back', { timeout: 120_000 }, async () => {
  const app = await makeLive('candidate', baking(4))
  const before = await show(instance(app, '1.1'), 'MainPID', 'InvocationID')
  const traffic = visitApp(app)
  const deploying = app.deploy(await app.tree('2', healthy), { timeoutMs: 60_000 })
  await letIn('2.1')(app)
  await systemctl('kill', '--signal=SIGKILL', instance(app, '2.1'))
  expect((await deploying).status).toBe(1)
  expect(historyOf(app).at(-1)).toMatchObject({ generation: 2, outcome: 'rolled-back', reason: expect.stringContaining('SIGKILL') as string })
  expect(await show(instance(app, '1.1'), 'MainPID', 'InvocationID')).toEqual(before)
  expectSuccess(await systemctl('start', app.name))
  await expectWhole(app, '1')
  expectCutAlone(await traffic.stop())
})

it.each(['is killed', 'is stopped by hand'])('a live generation that %s in the bake of the next does not disturb it', { timeout: 120_000 }, async (how) => {
  const app = await makeLive('older', baking(3))
  const traffic = visitApp(app)
  const deploying = app.deploy(await app.tree('2', healthy), { timeoutMs: 60_000 })
  await letIn('2.1')(app)
  if (how === 'is killed') await systemctl('kill', '--signal=SIGKILL', instance(app, '1.1'))
  else expectSuccess(await systemctl('stop', instance(app, '1.1')))
  const result = await deploying
  expect(result.status, said(result)).toBe(0)
  await expectWhole(app, '2')
  const ledger = await traffic.stop()
  if (how === 'is killed') expectCutAlone(ledger)
  else expect(ledger.failures).toEqual([])
})

it('a live generation that is stopped by hand while a canary answers comes back', { timeout: 120_000 }, async () => {
  const app = await makeHolding('beside', { top: 'processes = 2' }, ['--canary', '1'])
  const traffic = visitApp(app)
  await traffic.until(50)
  expectSuccess(await systemctl('stop', instance(app, '1.1'), instance(app, '1.2')))
  await waitFor('generation 1 is back', async () => (await isBack(app, '1.1')()) && (await isBack(app, '1.2')()))
  expectSuccess(await app.holdfast('abort'))
  await expectWhole(app, '1')
  expect((await traffic.stop()).failures).toEqual([])
})

it.each(['daemon-reexec', 'daemon-reload'])('a %s disturbs neither a bake nor what is held', { timeout: 120_000 }, async (verb) => {
  const app = await makeHolding('manager', baking(2))
  const traffic = visitApp(app)
  await systemctl(verb)
  await expectWhole(app, '1', ['2.1'])
  const promoting = app.holdfast('promote')
  await letIn('2.1')(app)
  await systemctl(verb)
  const result = await promoting
  expect(result.status, said(result)).toBe(0)
  await expectWhole(app, '2')
  expect((await traffic.stop()).failures).toEqual([])
})

/** Fills a small file system that is mounted at a folder. */
async function fill(folder: string): Promise<() => Promise<void>> {
  await run('dd', ['if=/dev/zero', `of=${folder}/ballast`, 'bs=4k'])
  return () => rm(`${folder}/ballast`)
}

/** An app some of whose folder can be filled. */
async function makeBounded(prefix: string, top: '/var/lib/holdfast' | '/run/holdfast', how: string, config: string): Promise<{ app: Shop; folder: string }> {
  const app = await makeShop(prefix, { config: `[start]\nsettle = "300ms"\n${config}` })
  const folder = `${top}/${app.name}`
  await mkdir(folder, { recursive: true })
  await mustRun('mount', ['-t', 'tmpfs', '-o', `mode=755,${how}`, 'tmpfs', folder])
  onTestFinished(async () => {
    await systemctl('stop', app.service, `${app.name}-drain`)
    await holdfast('uninstall', app.name) // all but the mount point
    await mustRun('umount', ['--lazy', folder])
  })
  expectSuccess(await holdfast('install', app.config))
  return { app, folder }
}

it.each(['after the bake', 'at the hold'])('a disk that is full %s leaves what is live', { timeout: 120_000 }, async (when) => {
  const { app, folder } = await makeBounded('disk', '/var/lib/holdfast', 'size=1M', '[bake]\nfor = "2s"\n')
  const traffic = visit(app)
  await app.release('2')
  const isHold = when === 'at the hold'
  const working = isHold ? holdfast('deploy', app.name, app.folder, '--hold') : systemctl('restart', app.name)
  await waitFor('it is there', isHold ? isBack(app, '2.1') : isLetIn(app, '2.1'), quick)
  const makeRoom = await fill(folder)
  const result = await working
  expect(result.status, said(result)).not.toBe(0)
  expect(await journal(app.name)).toMatch(/No handover: .*(the disk is full|no space left)/)
  expect(stateOf(app)).toMatchObject({ live: { generation: 1 } })
  expect(heldGeneration(app)).toBeUndefined()
  await waitFor('generation 1 alone is up', async () => (await upNames(app)).join() === '1.1', { timeoutMs: 30_000 })
  expect((await ask(app)).release).toBe('1')
  await makeRoom()
  expectSuccess(await systemctl('restart', app.name))
  await expectWhole(app, '2')
  expect((await traffic.stop()).failures).toEqual([])
})

it.each([['data', 'size=200k'], ['files', 'size=1M,nr_inodes=60']])('a /run without room for %s is a clear failure, and what is live serves on', { timeout: 120_000 }, async (of, how) => {
  const { app, folder } = await makeBounded('run', '/run/holdfast', how, '')
  const traffic = visit(app)
  await app.release('2')
  const ballast = `${folder}/ballast`
  if (of === 'data') await fill(folder)
  else {
    await mkdir(ballast)
    for (let n = 0, isFull = false; !isFull; n += 1) isFull = await writeFile(`${ballast}/${n}`, '').then(() => false, () => true)
  }
  expect((await systemctl('restart', app.name)).status).toBe(1)
  expect(await journal(app.name)).toMatch(/No handover: .*(the disk is full|no space left)/)
  await waitFor('generation 1 alone is up', async () => (await upNames(app)).join() === '1.1', { timeoutMs: 30_000 })
  expect((await ask(app)).release).toBe('1')
  // As at a boot: what is recorded comes up without a note of anything.
  const ledger = await traffic.stop()
  expect(ledger.failures).toEqual([])
  if (of === 'data') {
    expectSuccess(await systemctl('stop', app.service, `${app.name}-drain`))
    expect((await systemctl('start', app.name)).status).toBe(1)
    expect((await ask(app)).release).toBe('1')
  }
  await rm(ballast, { recursive: true })
  expectSuccess(await systemctl('restart', app.name))
  await expectWhole(app, '2')
})
