/** A deploy that is killed at every step: something good serves on, and the next command finishes or undoes it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { stepNames, type StepName } from '../../src/deploy/operation/progress.js'
import { recorded } from './apps.js'
import { pack } from './archives.js'
import { eventsOf, expectTruth, historyOf, liveRelease, makeInstalledApp, said, visitApp, type DeployedApp } from './deploys.js'
import { startDownloads } from './downloads.js'
import { checkout, expectSuccess, holdfast, systemctl, units, waitFor } from './harness.js'

/** A deploy of the release `2`, whose events are read as they come. */
interface Running {
  app: DeployedApp
  output(): string
  ended: Promise<number>
}

interface Moment {
  step: StepName
  /** What is deployed, as arguments. */
  source(app: DeployedApp): Promise<string[]>
  /** Whether it is time to kill. Default: the step has begun. */
  isThere?(running: Running): Promise<boolean>
}

const begun = (step: StepName) => async ({ output }: Running): Promise<boolean> =>
  eventsOf(output().split('\n').slice(0, -1).join('\n')).some((event) => event.type === 'step' && event.step === step && event.state !== 'skipped')
const isUp = (unit: string, ...states: string[]) => async ({ app }: Running): Promise<boolean> => (await units(`${app.name}${unit}`, ...states)).length > 0

/** Takes a moment to unpack, to verify and to seal. */
const manyFiles = Object.fromEntries(Array.from({ length: 1_500 }, (_, index) => [`assets/${index % 10}/${index}.txt`, `asset ${index}\n`]))
const large = async (app: DeployedApp): Promise<string[]> => [await pack(await app.tree('2', { files: manyFiles }), 'tar.gz')]
const plain = async (app: DeployedApp): Promise<string[]> => [await app.tree('2')]
const withHook = (hook: string) => async (app: DeployedApp): Promise<string[]> => [await app.tree('2', { hooks: { [hook]: 'sleep 60' } })]

const moments: Record<string, Moment> = {
  'while it fetches from a slow server': {
    step: 'fetch',
    async source() {
      const downloads = await startDownloads((_, response) => void response.writeHead(200, { 'content-length': 1_000_000 }).write('begins'))
      await downloads.trust()
      return [`${downloads.url}/shop.tar.gz`, '--sha256', '0'.repeat(64)]
    },
  },
  'while it unpacks': { step: 'unpack', source: large },
  'while it verifies': { step: 'verify', source: large },
  'in the install hook': { step: 'install', source: withHook('install'), isThere: isUp('-hook.service', 'active', 'activating') },
  'in the migration': { step: 'migrate', source: withHook('migrate'), isThere: isUp('-hook.service', 'active', 'activating') },
  'while it seals the release': { step: 'seal', source: large },
  'while it records the release': { step: 'record', source: plain },
  'before the new generation is ready': {
    step: 'handover',
    source: async (app) => [await app.tree('2', { before: 'await new Promise((resolve) => setTimeout(resolve, 1_500))' })],
    isThere: isUp('@2.1.service', 'activating'),
  },
  'while the new generation settles': { step: 'handover', source: plain, isThere: isUp('@2.1.service', 'active') },
  'while it prunes': { step: 'prune', source: plain },
}

/** A reader in the middle of it is answered, too. */
async function expectStatus(app: DeployedApp): Promise<void> {
  const status = await holdfast('status', app.name)
  expect([0, 1], said(status)).toContain(status.status)
  expect(said(status)).not.toMatch(/\bat .*\.js:\d+/)
}

const cases = Object.entries(moments).flatMap(([when, moment], index) => [
  { when, moment, whom: 'all' as const, next: index % 2 === 0 ? ('apply' as const) : ('deploy' as const) },
  // What its other processes are left to is the same at most steps.
  ...(['fetch', 'install', 'migrate'].includes(moment.step) || index === 8 ? [{ when, moment, whom: 'main' as const, next: index % 2 === 0 ? ('deploy' as const) : ('apply' as const) }] : []),
])

it.each(cases)('killed ($whom) $when, then: holdfast $next', async ({ moment, whom, next }) => {
  const app = await makeInstalledApp('kill', { start: 'settle = "700ms"' })
  expectSuccess(await app.deploy(await app.tree('1')))
  const source = await moment.source(app)
  const traffic = visitApp(app)
  await traffic.until(50)

  const client = spawn(process.execPath, [join(checkout, 'dist/cli/main.js'), 'deploy', app.name, ...source, '--json'])
  onTestFinished(() => void client.kill('SIGKILL'))
  let output = ''
  let errors = ''
  client.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  client.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text))
  const running: Running = { app, output: () => output, ended: once(client, 'close').then(([status]) => status as number) }
  await waitFor(`the deploy is there: ${moment.step}`, () => (moment.isThere ?? begun(moment.step))(running), { everyMs: 5 }).catch((error: unknown) => {
    throw new Error(`${String(error)}\n${output}${errors}`)
  })
  await systemctl('kill', '--signal=SIGKILL', `--kill-whom=${whom}`, `${app.name}-deploy.service`)
  const status = await running.ended
  // The last step may have ended a moment before.
  if (moment.step !== 'prune') {
    expect(status, output + errors).toBe(1)
    expect(output + errors).toMatch(/killed|interrupted/)
  }
  await waitFor('its hook is gone', async () => (await units(`${app.name}-hook.service`, 'active', 'activating', 'deactivating')).length === 0)

  await expectStatus(app)
  if (next === 'apply') expectSuccess(await app.holdfast('apply'))
  else expectSuccess(await app.deploy(await app.tree('3')))
  await expectStatus(app)
  const ledger = await traffic.stop()
  expect(ledger.failures).toEqual([])
  // Never a release that was only half there.
  for (const release of Object.keys(ledger.byRelease())) expect(['1', '2', '3']).toContain(release)
  if (next === 'deploy') await expectTruth(app, '3')
  else await expectTruth(app)
  const entries = historyOf(app).filter(({ kind }) => kind === 'deploy')
  expect(entries.length, JSON.stringify(entries)).toBe(next === 'deploy' ? 3 : 2)
  expect(['live', 'interrupted']).toContain(entries[1]?.outcome)
  // A step that nothing holds may be over by the time that the signal arrives.
  const step = entries[1]?.step
  const isHeld = ['fetch', 'install', 'migrate'].includes(moment.step)
  if (isHeld) expect(step).toBe(moment.step)
  const isBeforeHandover = entries[1]?.outcome === 'interrupted' && stepNames.indexOf(step as StepName) < stepNames.indexOf('handover')
  if (isHeld || isBeforeHandover) expect(Object.keys(ledger.byRelease())).not.toContain('2')
  if (entries[1]?.outcome === 'interrupted') expect(stepNames.indexOf(step as StepName)).toBeGreaterThanOrEqual(stepNames.indexOf(moment.step))
})

it.each(['is killed', 'is overtaken by a restart'])('a handover that %s once its release is recorded as live comes to its end', async (how) => {
  const app = await makeInstalledApp('recorded')
  expectSuccess(await app.deploy(await app.tree('1')))
  const traffic = visitApp(app)
  const deploying = app.deploy(await app.tree('2'))
  await waitFor('generation 2 is recorded', async () => (await recorded(app)).live?.generation === 2, { everyMs: 1 })
  if (how === 'is killed') await systemctl('kill', '--signal=SIGKILL', `${app.name}.service`)
  else expectSuccess(await systemctl('restart', app.name))
  const result = await deploying
  expect(result.status, said(result)).toBe(0)
  await expectTruth(app, '2')
  expect((await liveRelease(app)).outcome).toBe('good')
  expect(historyOf(app).at(-1)).toMatchObject({ kind: 'deploy', outcome: 'live' })
  expect((await traffic.stop()).failures).toEqual([])
})
