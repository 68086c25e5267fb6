/** `[bake]` with real traffic: a release that is well until it has visitors, and what they notice of it. */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { Ledger } from '../traffic/ledger.js'
import { ask, makeShop, recorded, visit, type Shop } from './apps.js'
import { historyOf } from './deploys.js'
import { expectSuccess, holdfast, journal, mustRun, show, systemctl, units, waitFor } from './harness.js'
import { healthz, intercept } from './intercept.js'

/** How long the leaking release lives: longer with scripts/endurance --bake. */
const leakSeconds = Number(process.env['HOLDFAST_LEAK_SECONDS'] ?? 3)

/** Installed, and well, with a good release beside it to be replaced. */
async function makeWatched(prefix: string, tables: string, how: { before?: string } = {}): Promise<Shop> {
  const shop = await makeShop(prefix, { config: `[start]\nsettle = "300ms"\n${tables}` })
  await shop.release('1', how)
  expectSuccess(await holdfast('install', shop.config))
  return shop
}

const statesOf = (shop: Shop): ReturnType<typeof historyOf> => historyOf({ state: `/var/lib/holdfast/${shop.name}` } as Parameters<typeof historyOf>[0])

/** The older generation serves on as if nothing had been, and the record says what was. */
async function expectRolledBack(shop: Shop, before: Record<string, string>, reason: RegExp): Promise<void> {
  expect(await show(`${shop.name}@1.1.service`, 'MainPID', 'InvocationID')).toEqual(before)
  expect((await recorded(shop)).live?.generation).toBe(1)
  expect(statesOf(shop).at(-1)).toMatchObject({ generation: 2, outcome: 'rolled-back', reason: expect.stringMatching(reason) })
  expect(await journal(shop.name)).toMatch(/was let in as generation 2, and is rolled back: .* Generation 1 serves on\./)
  await waitFor('nothing of generation 2 is left', async () => (await units(`${shop.name}@2.*`)).length === 0, { timeoutMs: 30_000 })
  expect((await ask(shop)).release).toBe('1')
}

const failuresOf = (ledger: Ledger, outcome: string): number => ledger.failures.filter((failure) => failure.outcome === outcome).length

describe('a release that was let in', () => {
  it('and answers 5 % errors is rolled back early, and its visitors have seen those and no others', { timeout: 120_000 }, async () => {
    const shop = await makeWatched('errors', '[bake]\nfor = "60s"\n')
    const before = await show(`${shop.name}@1.1.service`, 'MainPID', 'InvocationID')
    const traffic = visit(shop, { download: 0 })
    await traffic.until(200)
    await shop.release('2', { before: intercept("state.requests += 1; if (state.requests % 20 === 0) { response.writeHead(500).end('no stock'); return true }") })
    const began = performance.now()
    expect((await systemctl('restart', shop.name)).status).toBe(1)
    const tookMs = performance.now() - began
    await traffic.until(200)
    const ledger = await traffic.stop()

    await expectRolledBack(shop, before, new RegExp(`^${shop.name}@2\\.1\\.service answered \\d+ of \\d+ requests with errors \\(.* %\\) in \\d+ s, the older one 0 %: bake\\.max_errors allows 1 % more$`))
    expect(ledger.failures.length).toBeGreaterThan(0)
    expect(failuresOf(ledger, 'bad-status-500')).toBe(ledger.failures.length)
    // What the new generation answered in all; with the errors it is 5 %.
    const answered = ledger.answeredBy('2') + ledger.failures.length
    expect(ledger.failures.length).toBeLessThanOrEqual(Math.ceil(answered / 20))
    expect(tookMs).toBeLessThan(60_000)
    console.log(`5 % errors: rolled back after ${Math.round(tookMs)} ms, ${ledger.failures.length} errors of ${answered} answers of the new one, ${ledger.requests} in all`)
  })

  it('and takes ten times as long is rolled back, and nobody has lost a request', { timeout: 120_000 }, async () => {
    const pause = (ms: number): string => intercept(`await new Promise((done) => setTimeout(done, ${ms}))`)
    const shop = await makeWatched('slow', '[bake]\nfor = "60s"\n', { before: pause(30) })
    const before = await show(`${shop.name}@1.1.service`, 'MainPID', 'InvocationID')
    const traffic = visit(shop, { download: 0 })
    await traffic.until(200)
    await shop.release('2', { before: pause(300) })
    const began = performance.now()
    expect((await systemctl('restart', shop.name)).status).toBe(1)
    const tookMs = performance.now() - began
    await traffic.until(200)
    const ledger = await traffic.stop()
    expect(ledger.failures).toEqual([])
    expect(ledger.answeredBy('2')).toBeGreaterThan(0)
    await expectRolledBack(shop, before, /(answered 95 % of \d+ requests within \d+ ms in \d+ s, the older one within \d+ ms|took more than \d+ ms for half of \d+ requests in \d+ s, the older one at most \d+ ms for 95 %): bake\.max_slowdown allows 3 times as long/)
    expect(tookMs).toBeLessThan(60_000)
    console.log(`10 times slower: rolled back after ${Math.round(tookMs)} ms, ${ledger.answeredBy('2')} slow answers`)
  })

  it('and leaks descriptors until it dies is rolled back, and the older one has never left', { timeout: 120_000 }, async () => {
    const shop = await makeWatched('leaks', '[bake]\nfor = "60s"\n')
    // node itself raises the soft limit to the hard one, which would take a while to reach.
    const dropIn = `/etc/systemd/system/${shop.name}@.service.d`
    onTestFinished(() => rm(dropIn, { recursive: true }))
    await mkdir(dropIn)
    await writeFile(`${dropIn}/descriptors.conf`, '[Service]\nLimitNOFILE=400\n')
    await mustRun('systemctl', ['daemon-reload'])
    const before = await show(`${shop.name}@1.1.service`, 'MainPID', 'InvocationID')
    const traffic = visit(shop, { download: 0 })
    await traffic.until(200)
    await shop.release('2', { before: `import { openSync } from 'node:fs'\nsetInterval(() => openSync('/dev/null'), ${(leakSeconds * 1000) / 350})` })
    expect((await systemctl('restart', shop.name)).status).toBe(1)
    await traffic.until(200)
    const ledger = await traffic.stop()
    await expectRolledBack(shop, before, new RegExp(`^${shop.name}@2\\.1\\.service exited with status 1`))
    // Only what it was answering as it died, at most one for each client.
    expect(ledger.failures.filter(({ outcome }) => !['reset', 'hang-up', 'cut-body'].includes(outcome))).toEqual([])
    expect(ledger.failures.length).toBeLessThanOrEqual(13)
    expect(ledger.answeredBy('2')).toBeGreaterThan(0)
    expect(await journal(shop.name)).toContain('EMFILE: too many open files')
    console.log(`leak: ${ledger.failures.length} of ${ledger.requests} requests cut off by the death of the new one`)
  })

  it('and is no longer healthy is rolled back', { timeout: 120_000 }, async () => {
    const shop = await makeWatched('ails', '[health]\npath = "/healthz"\ninterval = "200ms"\n[bake]\nfor = "60s"\n', { before: intercept(healthz('200')) })
    const before = await show(`${shop.name}@1.1.service`, 'MainPID', 'InvocationID')
    const traffic = visit(shop, { download: 0 })
    await traffic.until(100)
    await shop.release('2', { before: intercept(`${healthz('state.requests > 50 ? 503 : 200', 'out of connections')}; state.requests += 1`) })
    expect((await systemctl('restart', shop.name)).status).toBe(1)
    await traffic.until(100)
    expect((await traffic.stop()).failures).toEqual([])
    await expectRolledBack(shop, before, /@2\.1\.service answered GET \/healthz with 503 "out of connections" \(expected 200 to 299\), 3 times in a row$/)
  })

  it('and is as good as the older one stays, also where what is behind both of them fails', { timeout: 120_000 }, async () => {
    const upstream = intercept(`${healthz('200')}; state.requests += 1; if (state.requests % 10 === 0) { response.writeHead(502).end(); return true }`)
    const shop = await makeWatched('good', '[health]\npath = "/healthz"\ninterval = "200ms"\n[bake]\nfor = "5s"\n', { before: upstream })
    const traffic = visit(shop, { download: 0 })
    await traffic.until(200)
    await shop.release('2', { before: upstream })
    expectSuccess(await systemctl('restart', shop.name))
    await traffic.until((ledger) => ledger.answeredBy('2') > 100)
    const ledger = await traffic.stop()
    expect(failuresOf(ledger, 'bad-status-502')).toBe(ledger.failures.length)
    expect((await recorded(shop)).live?.generation).toBe(2)
    expect(await journal(shop.name)).toMatch(/Generation 2 has stood the bake: \d+ requests, \d+ errors \((9\.\d|10|11) %\), 95 % within \d.* ms; the older one \d+ requests, \d+ errors \(.* %\), .*; in 5(\.\d)? s\./)
  })

  it('without visitors has no verdict, and stays', { timeout: 60_000 }, async () => {
    const shop = await makeWatched('quiet', '[bake]\nfor = "2s"\n')
    await shop.release('2')
    expectSuccess(await systemctl('restart', shop.name))
    expect(await journal(shop.name)).toContain('Generation 2 is through its bake, but its answers were not judged: no requests, too few to judge (bake.min_requests is 50); the older one no requests; in 2')
  })
})
