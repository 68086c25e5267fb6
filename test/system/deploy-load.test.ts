/** Deploys and rollbacks under traffic: nothing is lost, whatever happens. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { broken } from './apps.js'
import { pack } from './archives.js'
import { expectTruth, historyOf, makeInstalledApp, releasesOf, said, visitApp } from './deploys.js'
import { checkout, expectSuccess, freePort, holdfast, run, show, waitFor } from './harness.js'

/** Seconds that a slow release takes until it is ready; scripts/endurance takes the full minute. */
const slowStartS = Number(process.env['HOLDFAST_SLOW_START'] ?? 6)
/** In a row. */
const deploys = Number(process.env['HOLDFAST_DEPLOYS'] ?? 12)

it(`a zip from the CI that takes ${slowStartS} s to start loses nothing`, { timeout: 120_000 + 2_000 * slowStartS }, async () => {
  const app = await makeInstalledApp('slow', { start: `settle = "300ms"\ntimeout = "${slowStartS + 60}s"` })
  expectSuccess(await app.deploy(await app.tree('1')))
  const traffic = visitApp(app)
  await traffic.until(200)
  const began = performance.now()
  const slow = await app.tree('2', { before: `await new Promise((resolve) => setTimeout(resolve, ${slowStartS * 1_000}))` })
  expectSuccess(await app.deploy(await pack(slow, 'zip'), { timeoutMs: 60_000 + slowStartS * 1_000 }))
  expect(performance.now() - began).toBeGreaterThan(slowStartS * 1_000)
  await traffic.until((ledger) => ledger.byRelease()['2'] !== undefined)
  const ledger = await traffic.stop()
  expect(ledger.failures).toEqual([])
  // The old one has answered all the while.
  expect(ledger.byRelease()['1']).toBeGreaterThan(200 + slowStartS * 100)
  await expectTruth(app, '2')
})

it(`${deploys} deploys in a row lose nothing, and old releases are pruned`, { timeout: 120_000 + deploys * 10_000 }, async () => {
  const app = await makeInstalledApp('row')
  expectSuccess(await app.deploy(await app.tree('1')))
  const traffic = visitApp(app)
  for (let n = 2; n <= deploys; n += 1) {
    expectSuccess(await app.deploy(await app.tree(String(n))))
    await traffic.until((ledger) => ledger.byRelease()[n] !== undefined)
  }
  const ledger = await traffic.stop()
  expect(ledger.failures).toEqual([])
  expect(Object.keys(ledger.byRelease())).toHaveLength(deploys)
  await expectTruth(app, String(deploys))
  expect(historyOf(app).filter(({ outcome }) => outcome === 'live')).toHaveLength(deploys)
  expect(releasesOf(app).length).toBeLessThan(deploys)
})

it('a rollback is as fast as a restart, goes to the last good one, and loses nothing', async () => {
  const app = await makeInstalledApp('rollback')
  for (const n of ['1', '2']) expectSuccess(await app.deploy(await app.tree(n)))
  const failed = await app.deploy(await app.tree('3', broken['crashes at its start']))
  expect(failed.status, said(failed)).toBe(1)
  expectSuccess(await app.deploy(await app.tree('4')))
  const traffic = visitApp(app)
  await traffic.until(100)
  // 3 failed: it is never landed on.
  for (const [args, to] of [[[], '2'], [['4.0.0'], '4'], [[], '2'], [[], '1']] as const) {
    expectSuccess(await app.holdfast('rollback', ...args))
    await traffic.until((ledger) => ledger.byRelease()[to] !== undefined)
    await expectTruth(app, to)
  }
  const toFailed = await app.holdfast('rollback', '3.0.0')
  expect(toFailed.status, said(toFailed)).toBe(2)
  const nothingBefore = await app.holdfast('rollback')
  expect(nothingBefore.status, said(nothingBefore)).toBe(2)
  expect((await traffic.stop()).failures).toEqual([])
  await expectTruth(app, '1')
  expect(historyOf(app).slice(-4)).toMatchObject(Array.from({ length: 4 }, () => ({ kind: 'rollback', outcome: 'live' })))
})

describe('a deploy that fails under load loses nothing', () => {
  it.each([
    ['in its install hook', { hooks: { install: 'echo no such package >&2; exit 7' } }, /install[^]*no such package/, 'install'],
    ['in its migration', { hooks: { migrate: 'echo relation does not exist >&2; exit 1' } }, /migrate[^]*relation does not exist/, 'migrate'],
    ['in a hook that is killed', { hooks: { migrate: 'kill -SEGV $$' } }, /migrate[^]*(SEGV|signal)/, 'migrate'],
    ['at its start', broken['crashes at its start'], /handover[^]*no such module: stripe/, 'handover'],
    ['by never becoming ready', { before: "console.log('still waiting for the warehouse'); await new Promise(() => setInterval(() => {}, 1000))" }, /handover[^]*ready/, 'handover'],
  ] as const)('%s', async (_, tree, says, step) => {
    const app = await makeInstalledApp('fails', { start: 'settle = "300ms"\ntimeout = "3s"' })
    expectSuccess(await app.deploy(await app.tree('1')))
    const before = await show(`${app.name}@1.1.service`, 'MainPID', 'InvocationID')
    const traffic = visitApp(app)
    await traffic.until(100)
    const result = await app.deploy(await app.tree('2', tree))
    expect(result.status, said(result)).toBe(1)
    // The step, the cause, the log's tail, what serves, and the next command.
    expect(said(result)).toMatch(says)
    expect(said(result)).toMatch(/Generation 1, .* serves on/)
    expect(said(result)).toMatch(/holdfast |journalctl /)
    await traffic.until(100)
    const ledger = await traffic.stop()
    expect(ledger.failures).toEqual([])
    expect(Object.keys(ledger.byRelease())).toEqual(['1'])
    await expectTruth(app, '1')
    expect(await show(`${app.name}@1.1.service`, 'MainPID', 'InvocationID')).toEqual(before)
    expect(historyOf(app).at(-1)).toMatchObject({ kind: 'deploy', outcome: 'failed', step, by: expect.stringContaining('root') })
    // The next one is a deploy away.
    expectSuccess(await app.deploy(await app.tree('3')))
    await expectTruth(app, '3')
  })
})

it('an address that changes moves without a gap for clients of the one that stays', async () => {
  const [moves, movesTo] = [await freePort(), await freePort()]
  const app = await makeInstalledApp('moves')
  const setListeners = (file: string, port: number): Promise<void> =>
    rewrite(file, (text) => text.replace(/\[listen\][^[]*/, `[listen]\nhttp = "${app.address}"\nadmin = "127.0.0.1:${port}"\n`))
  const listens = async (port: number): Promise<boolean> => (await run('ss', ['-Hltn', `sport = :${port}`])).stdout.includes('LISTEN')
  const admin = async (port: number): Promise<string> => (await fetch(`http://127.0.0.1:${port}`, { headers: { connection: 'close' } })).text()
  const server = {
    before: `import { listen } from ${JSON.stringify(join(checkout, 'dist/runtime/index.js'))}`,
    after: "await listen(http.createServer((_, response) => response.end('admin')), 'admin')",
  }
  await setListeners(app.config, moves)
  expectSuccess(await holdfast('install', app.config))
  const first = await app.tree('1', server)
  await setListeners(join(first, 'holdfast.toml'), moves)
  expectSuccess(await app.deploy(first))
  expect(await admin(moves)).toBe('admin')
  const traffic = visitApp(app)
  await traffic.until(100)

  // A release that proposes it is told what to do, and goes on with the installed one.
  const second = await app.tree('2', server)
  await setListeners(join(second, 'holdfast.toml'), movesTo)
  const told = await app.deploy(second)
  expectSuccess(told)
  expect(said(told)).toContain(String(movesTo))
  expect(said(told)).toMatch(/holdfast install/)
  expect([await listens(moves), await listens(movesTo)]).toEqual([true, false])

  await setListeners(app.config, movesTo)
  expectSuccess(await holdfast('install', app.config))
  expect(await admin(movesTo)).toBe('admin')
  await waitFor('the older generation has left the old address', async () => !(await listens(moves)), { timeoutMs: 30_000 })
  const ledger = await traffic.stop()
  expect(ledger.failures).toEqual([])
  await expectTruth(app, '2')
})

const rewrite = async (file: string, change: (text: string) => string): Promise<void> => writeFile(file, change(await readFile(file, 'utf8')))
