/** Kills and stops in the phases of a handover that looks before it switches: the live generation is whole afterwards. */
import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { expect, it } from 'vitest'
import type { Traffic } from '../traffic/index.js'
import { historyOf, liveRelease, said, visitApp, type DeployedApp, type DeployedAppOptions, type Tree } from './deploys.js'
import { activeState, expectSuccess, journal, show, systemctl, units, waitFor } from './harness.js'
import { service, instance, stateOf, heldGeneration, askPrivately, accepts, expectWhole, expectStopped, healthy, askedFile, isBack, quick, health, baking, rolling, makeLive, killHandover, killDeploy, makeHolding, letIn } from './look.js'

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
