/** A release that is looked at before the switch: held, promoted, aborted, and what may happen to it meanwhile. */
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { ask, recorded, serverJs } from './apps.js'
import { eventsOf, expectTruth, historyOf, makeInstalledApp, said, visitApp, type DeployedApp } from './deploys.js'
import { activeState, expectSuccess, freePort, journal, makeApp, holdfast, show, systemctl, uniqueApp, units, waitFor } from './harness.js'

const instance = (app: DeployedApp, generation: number, process = 1): string => `${app.name}@${generation}.${process}.service`

const held = async (app: { name: string }): Promise<{ generation: number; kind: string; expires?: string } | undefined> =>
  (JSON.parse(readFileSync(`/var/lib/holdfast/${app.name}/state.json`, 'utf8')) as { held?: { generation: number; kind: string } }).held

/** Asks one instance and no other. */
function askPrivately(app: DeployedApp, name: string): Promise<{ status: number | undefined; release: unknown }> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath: `/run/holdfast/${app.name}/private/${name}.sock`, path: '/', headers: { connection: 'close' } }, (response) => {
      response.resume().on('end', () => resolve({ status: response.statusCode, release: response.headers['x-release'] }))
    })
    asked.on('error', reject).end()
  })
}

const status = async (app: DeployedApp): Promise<{ state: string; held: { generation: number } | null; problems: unknown[]; instances: { generation: number; phase: string }[] }> =>
  JSON.parse((await app.holdfast('status', '--json')).stdout)

/** Release 1 is live, and 2 is held beside it. */
async function makeHolding(prefix: string, options: Parameters<typeof makeInstalledApp>[1] = {}, ...more: string[]): Promise<DeployedApp> {
  const app = await makeInstalledApp(prefix, options)
  expectSuccess(await app.deploy(await app.tree('1')))
  const result = await app.deploy([await app.tree('2'), '--hold', ...more])
  expectSuccess(result)
  expect(said(result)).toMatch(/generation 2 waits for a promotion, release .*\n.*holdfast preview .*\n.*holdfast promote .* or holdfast abort/)
  return app
}

it('is held, asked in private, and promoted under load without a failure', async () => {
  const app = await makeInstalledApp('hold')
  expectSuccess(await app.deploy(await app.tree('1')))
  const traffic = visitApp(app)
  await traffic.until(100)
  const end = eventsOf((await app.deploy([await app.tree('2'), '--hold', '--json'])).stdout).at(-1)
  expect(end).toMatchObject({ type: 'end', outcome: 'held', status: 0, generation: 2 })
  const before = await show(instance(app, 2), 'MainPID')
  expect(await askPrivately(app, '2.1')).toEqual({ status: 200, release: '2' })
  await traffic.until((ledger) => ledger.requests > 400)
  expect(await recorded(app)).toMatchObject({ live: { generation: 1 } })
  expect(await status(app)).toMatchObject({ state: 'live', held: { generation: 2 }, problems: [], instances: [{ generation: 2, phase: 'held' }, { generation: 1, phase: 'live' }] })

  expect(eventsOf((await app.holdfast('promote', '--json')).stdout).at(-1)).toMatchObject({ type: 'end', outcome: 'live', generation: 2 })
  await traffic.until((ledger) => ledger.byRelease()['2'] !== undefined)
  const ledger = await traffic.stop()
  expect(ledger.failures).toEqual([])
  // The very process that was looked at.
  expect(await show(instance(app, 2), 'MainPID')).toEqual(before)
  await expectTruth(app, '2')
  expect(await held(app)).toBeUndefined()
  expect(historyOf(app).slice(-2)).toMatchObject([{ kind: 'deploy', outcome: 'held', generation: 2 }, { kind: 'promote', outcome: 'live', generation: 2 }])
})

it('answers nothing public as long as it is held, and is gone after an abort', async () => {
  const app = await makeHolding('abort')
  const traffic = visitApp(app)
  await traffic.until(200)
  expectSuccess(await app.holdfast('abort'))
  await traffic.until((ledger) => ledger.requests > 300)
  const ledger = await traffic.stop()
  expect(ledger.failures).toEqual([])
  expect(Object.keys(ledger.byRelease())).toEqual(['1'])
  await waitFor('nothing of generation 2 is left', async () => (await units(`${app.name}@2.*`)).length === 0)
  await expectTruth(app, '1')
  expect(historyOf(app).at(-1)).toMatchObject({ kind: 'abort', outcome: 'aborted', generation: 2 })
  const again = await app.holdfast('abort')
  expect(again.status).toBe(2)
  expect(said(again)).toContain(`no release of ${app.name} is held`)
  expect((await app.holdfast('promote')).status).toBe(2)
})

it('is held back also where systemd has made the run folder, on the way to the sockets of an instance started by hand', async () => {
  const app = await makeInstalledApp('closed')
  expectSuccess(await app.deploy(await app.tree('1')))
  await systemctl('stop', app.name, `${app.name}-drain.service`)
  // As after a reboot.
  rmSync('/run/holdfast', { recursive: true })
  await systemctl('start', instance(app, 1))
  expect(statSync(`/run/holdfast/${app.name}`).mode & 0o777).toBe(0o700)
  const traffic = visitApp(app)
  await traffic.until(100)
  expectSuccess(await app.deploy([await app.tree('2'), '--hold']))
  await traffic.until((ledger) => ledger.requests > 300)
  const ledger = await traffic.stop()
  expect([ledger.failures, Object.keys(ledger.byRelease())]).toEqual([[], ['1']])
})

it('refuses a release that accepts though it is to be held back', async () => {
  const app = await makeInstalledApp('old')
  expectSuccess(await app.deploy(await app.tree('1')))
  // As a runtime does that knows of no standby.
  const server = await app.tree('2')
  const text = readFileSync(join(server, 'holdfast.toml'), 'utf8')
  writeFileSync(join(server, 'holdfast.toml'), text.replace('command = ["node", ', 'env = { NODE_OPTIONS = "--import=./old.js" }\ncommand = ["node", '))
  writeFileSync(join(server, 'old.js'), 'delete process.env.HOLDFAST_HOLD_FILE\n')
  const result = await app.deploy([server, '--hold'])
  expect(result.status).toBe(1)
  expect(said(result)).toContain(`${instance(app, 2)} accepts connections, although it is to be held back`)
  await expectTruth(app, '1')
  expect(await held(app)).toBeUndefined()
})

it('stays held when it crashes or is restarted by hand', async () => {
  const app = await makeHolding('crash')
  const before = await show(instance(app, 2), 'MainPID')
  await systemctl('kill', '--signal=SIGKILL', instance(app, 2))
  await waitFor('it is back', async () => (await activeState(instance(app, 2))) === 'active' && (await show(instance(app, 2), 'MainPID')).MainPID !== before.MainPID)
  expectSuccess(await systemctl('restart', instance(app, 2)))
  for (let n = 0; n < 40; n += 1) expect((await ask(app)).release).toBe('1')
  expect(await askPrivately(app, '2.1')).toEqual({ status: 200, release: '2' })
  expectSuccess(await app.holdfast('promote'))
  await expectTruth(app, '2')
})

it('does not keep the live one from coming back when that ends for good', async () => {
  const app = await makeHolding('gone')
  expectSuccess(await systemctl('stop', instance(app, 1)))
  await waitFor('generation 1 is back', async () => (await activeState(instance(app, 1))) === 'active')
  expect((await ask(app)).release).toBe('1')
  expect(await journal(app.name)).toContain('Generation 1, which is live, has ended while generation 2 is held: starting it again.')
  expect(await held(app)).toMatchObject({ generation: 2 })
  expectSuccess(await systemctl('stop', app.name, `${app.name}-drain`))
  await waitFor('all has ended', async () => (await units(`${app.name}@*`, 'active', 'activating', 'deactivating')).length === 0)
  expectSuccess(await systemctl('start', app.name))
  await expectTruth(app, '1')
  expect(historyOf(app).find(({ outcome }) => outcome === 'aborted')).toMatchObject({ generation: 2, reason: expect.stringContaining('nothing of it runs any more') as string })
})

it('goes when another release is live, or when its time is over', async () => {
  const app = await makeHolding('other')
  expectSuccess(await systemctl('restart', app.name)) // of what is live
  expect(await held(app)).toBeUndefined()
  await expectTruth(app, '1')
  expect(historyOf(app).find(({ outcome }) => outcome === 'aborted')).toMatchObject({ generation: 2, reason: 'generation 3 is live by now' })

  expectSuccess(await app.deploy([await app.tree('4'), '--hold', '--expires', '2s']))
  expect((await held(app))?.expires).toMatch(/^\d{4}-/)
  await waitFor('its time is over', () => historyOf(app).at(-1)?.kind === 'abort', { timeoutMs: 20_000 })
  expect(await held(app)).toBeUndefined()
  await waitFor('its abort is over', async () => (await units(`${app.name}-deploy.service`, 'active', 'activating', 'deactivating')).length === 0)
  expect(historyOf(app).at(-1)).toMatchObject({ kind: 'abort', by: 'its expiry', reason: 'its time was over' })
  await expectTruth(app, '1')
})

it('is replaced by the next one that is held', async () => {
  const app = await makeHolding('next')
  expectSuccess(await app.deploy([await app.tree('3'), '--hold']))
  expect(await held(app)).toMatchObject({ generation: 3 })
  await waitFor('generation 2 is gone', async () => (await units(`${app.name}@2.*`)).length === 0)
  expectSuccess(await app.holdfast('promote'))
  await expectTruth(app, '3')
})

it('is refused for an app that accepts as soon as it runs', async () => {
  const [port, name] = [await freePort(), uniqueApp('level0')]
  const app = await makeApp({ name, releasesBy: 'deploy', config: `command = ["node", "server.mjs"]\n[listen]\nhttp = "127.0.0.1:${port}"\n`, files: { 'server.mjs': serverJs('1') } })
  expectSuccess(await holdfast('install', app.config))
  const result = await holdfast('deploy', name, app.folder, '--hold')
  expect(result.status).toBe(1)
  expect(said(result)).toContain(`a release of ${name} cannot be held: its command does not preload holdfast/register`)
})

it('lets canaries in, and waits for somebody’s word', async () => {
  const app = await makeInstalledApp('canary', { top: 'processes = 3' })
  expectSuccess(await app.deploy(await app.tree('1')))
  const traffic = visitApp(app)
  expectSuccess(await app.deploy([await app.tree('2'), '--canary', '2']))
  await traffic.until((ledger) => ledger.byRelease()['2'] !== undefined)
  expect((await units(`${app.name}@*.service`, 'active')).sort()).toEqual([...[1, 2, 3].map((n) => instance(app, 1, n)), ...[1, 2].map((n) => instance(app, 2, n))])
  expect((await status(app)).instances.map(({ phase }) => phase)).toEqual(['canary', 'canary', 'live', 'live', 'live'])
  expectSuccess(await app.holdfast('promote'))
  await waitFor('generation 1 has gone', async () => (await units(`${app.name}@*.service`, 'active', 'deactivating')).length === 3, { timeoutMs: 30_000 })
  expect(await units(`${app.name}@2.*.service`, 'active')).toHaveLength(3)
  expectSuccess(await app.deploy([await app.tree('3'), '--canary', '1', '--auto']))
  expect(await recorded(app)).toMatchObject({ live: { generation: 3, processes: 3 } })
  expectSuccess(await app.deploy([await app.tree('4'), '--canary', '1']))
  expectSuccess(await app.holdfast('abort'))
  expect(await recorded(app)).toMatchObject({ live: { generation: 3 } })
  expect((await traffic.stop()).failures).toEqual([])
  const tooMany = await app.deploy([await app.tree('5'), '--canary', '4'])
  expect(said(tooMany)).toContain('--canary 4: a generation of this release has 3 processes')
})

it('replaces processes one by one', async () => {
  const app = await makeInstalledApp('rolling', { top: 'processes = 4\nstrategy = "rolling"' })
  expectSuccess(await app.deploy(await app.tree('1')))
  const traffic = visitApp(app)
  await traffic.until(100)
  let most = 0
  let least = 99
  let isDone = false
  const watching = waitFor('the deploy is over', async () => {
    const up = (await units(`${app.name}@*.service`, 'active', 'activating')).length
    most = Math.max(most, up)
    least = Math.min(least, (await units(`${app.name}@*.service`, 'active')).length)
    return isDone
  }, { timeoutMs: 120_000, everyMs: 50 })
  expectSuccess(await app.deploy(await app.tree('2')))
  isDone = true
  await watching
  expect(most).toBe(5)
  expect(least).toBe(4)
  // The third of the new ones is bad: those of the old one that had left come back.
  const bad = await app.deploy(await app.tree('bad', { before: "if (process.env.HOLDFAST_INSTANCE.endsWith('.3')) throw new Error('no room')" }))
  expect(bad.status).toBe(1)
  await waitFor('generation 2 is whole', async () => (await units(`${app.name}@2.*.service`, 'active')).length === 4 && (await units(`${app.name}@3.*.service`)).length === 0, { timeoutMs: 60_000 })
  expect(await recorded(app)).toMatchObject({ live: { generation: 2 } })
  expect((await traffic.stop()).failures).toEqual([])
}, 240_000)

it('is promoted also where the first promotion was killed in its bake, with what it had let in', async () => {
  const app = await makeHolding('killed', { tables: '[bake]\nfor = "4s"\n' })
  const process = await show(instance(app, 2), 'MainPID')
  const promotion = app.holdfast('promote')
  await waitFor('it is let in', async () => /Generation 2 is let in beside generation 1/.test(await journal(app.name)), { timeoutMs: 30_000 })
  await systemctl('kill', '--signal=SIGKILL', `${app.name}.service`)
  await promotion
  await waitFor('it is live', async () => (await recorded(app)).live?.generation === 2, { timeoutMs: 60_000 })
  await expectTruth(app, '2')
  expect(await show(instance(app, 2), 'MainPID')).toEqual(process)
  expect(await held(app)).toBeUndefined()
})

it('leaves no private socket open, which a connection could start an instance by', async () => {
  const app = await makeInstalledApp('leftover')
  const open = (): Promise<string[]> => units(`${app.name}@*.socket`, 'active')
  expectSuccess(await app.deploy(await app.tree('1')))
  // Its socket stays: only Holdfast closes it.
  await systemctl('stop', instance(app, 1))
  expect(await open()).toHaveLength(1)
  expectSuccess(await app.holdfast('stop'))
  expect(await open()).toEqual([])

  // Beside an app that is stopped, as far as systemd knows.
  await systemctl('start', instance(app, 1))
  expect(await open()).toHaveLength(1)
  expectSuccess(await app.holdfast('stop'))
  expect(await open()).toEqual([])

  await systemctl('start', app.name)
  expectSuccess(await app.deploy([await app.tree('2'), '--hold', '--expires', '1h']))
  await systemctl('stop', instance(app, 3))
  expect(await units(`${app.name}-expiry.*`, 'active')).toHaveLength(1)
  expectSuccess(await holdfast('uninstall', app.name))
  expect([...(await open()), ...(await units(`${app.name}-*`))]).toEqual([])
})
