import { readFile, rm, writeFile } from 'node:fs/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { Ledger } from '../traffic/ledger.js'
import { ask, broken, makeShop, recorded, visit, type Shop } from './apps.js'
import { activeState, expectSuccess, holdfast, journal, run, show, systemctl, units, waitFor } from './harness.js'

const liveGeneration = async (shop: Shop): Promise<number | undefined> => (await recorded(shop)).live?.generation

function expectNoFailure(ledger: Ledger): void {
  expect(ledger.failures.slice(0, 10)).toEqual([])
}

describe('systemctl restart', () => {
  it('loses no request in 20 handovers in a row under mixed traffic', { timeout: 240_000 }, async () => {
    const shop = await makeShop('row', { config: '[start]\nsettle = "500ms"' })
    expectSuccess(await holdfast('install', shop.config))
    const traffic = visit(shop)
    await traffic.until(200)
    for (let n = 2; n <= 21; n += 1) {
      await shop.release(String(n))
      expectSuccess(await systemctl('restart', shop.name))
      await traffic.until((ledger) => ledger.byRelease()[n] !== undefined)
    }
    const ledger = await traffic.stop()
    expectNoFailure(ledger)
    expect(Object.keys(ledger.byRelease()).length).toBe(21)
    expect(ledger.requests).toBeGreaterThan(3_000)
    expect(await liveGeneration(shop)).toBe(21)
    await waitFor('the older generations have ended', async () => (await units(`${shop.name}@*.service`, 'active', 'deactivating')).length === 1, { timeoutMs: 30_000 })
  })

  it('reuses the release when nothing has changed, and reload takes the folder as restart does', async () => {
    const shop = await makeShop('same', { config: '[start]\nsettle = "500ms"' })
    expectSuccess(await holdfast('install', shop.config))
    expectSuccess(await systemctl('restart', shop.name))
    expect(await ask(shop)).toEqual({ status: 200, release: '1', generation: '2' })
    expect(await journal(shop.name)).toContain('the unchanged release')
    await shop.release('2')
    expectSuccess(await systemctl('reload', shop.name))
    expect(await ask(shop)).toEqual({ status: 200, release: '2', generation: '3' })
  })

  it('keeps the socket unit’s backlog', async () => {
    const shop = await makeShop('backlog', { config: '[start]\nsettle = "500ms"' })
    expectSuccess(await holdfast('install', shop.config))
    const { stdout } = await run('ss', ['-Hltn', `sport = :${shop.port}`])
    const somaxconn = Number(await readFile('/proc/sys/net/core/somaxconn', 'utf8'))
    expect(Number(stdout.trim().split(/\s+/)[2])).toBe(somaxconn)
  })
})

describe('a broken release under load', () => {
  it.each(Object.entries(broken))('that %s leaves the good one alone', async (_, how) => {
    const shop = await makeShop('broken', { config: '[start]\ntimeout = "3s"\nsettle = "1s"' })
    expectSuccess(await holdfast('install', shop.config))
    const before = await show(`${shop.name}@1.1.service`, 'MainPID', 'InvocationID')
    const socket = await show(`${shop.name}-http.socket`, 'InvocationID')
    const traffic = visit(shop)
    await traffic.until(100)

    await shop.release('bad', how)
    expect((await systemctl('restart', shop.name)).status).toBe(1)
    await traffic.until(100)
    const ledger = await traffic.stop()

    // In standby it has answered nobody, however long it lived.
    expectNoFailure(ledger)
    expect(Object.keys(ledger.byRelease())).toEqual(['1'])
    expect(await show(`${shop.name}@1.1.service`, 'MainPID', 'InvocationID')).toEqual(before)
    expect(await show(`${shop.name}-http.socket`, 'InvocationID')).toEqual(socket)
    expect(await activeState(shop.service)).toBe('failed')
    expect(await liveGeneration(shop)).toBe(1)
    const story = await journal(shop.name)
    expect(story).toMatch(/did not become generation 2: .*@2\.1\.service .*Generation 1 serves on\./)
    expect(story).toContain(`See more: journalctl -u ${shop.name}@2.1.service`)
    await waitFor('nothing of generation 2 is left', async () => (await units(`${shop.name}@2.*`)).length === 0, { timeoutMs: 20_000 })

    // The good code comes back from a crash, and the next good release is one restart away.
    await systemctl('kill', '--signal=SIGKILL', `${shop.name}@1.1.service`)
    await waitFor('the good one is back', async () => (await ask(shop)).release === '1')
    await shop.release('2')
    expectSuccess(await systemctl('restart', shop.name))
    expect((await ask(shop)).release).toBe('2')
  })

  it('that crash-loops does not take the socket down, however often it is tried', async () => {
    const shop = await makeShop('loop', { config: '[start]\nsettle = "500ms"' })
    expectSuccess(await holdfast('install', shop.config))
    const traffic = visit(shop)
    await shop.release('bad', broken['crashes at its start'])
    for (let n = 0; n < 8; n += 1) expect((await systemctl('restart', shop.name)).status).toBe(1)
    const ledger = await traffic.stop()
    expectNoFailure(ledger)
    expect(await activeState(`${shop.name}-http.socket`)).toBe('active')
  })

  it('in one of several processes answers by none of them', async () => {
    const shop = await makeShop('several', { config: 'processes = 2\n[start]\ntimeout = "3s"' })
    expectSuccess(await holdfast('install', shop.config))
    const traffic = visit(shop)
    await shop.release('bad', { before: "if (process.env.HOLDFAST_INSTANCE.endsWith('.2')) await new Promise(() => setInterval(() => {}, 1000))" })
    expect((await systemctl('restart', shop.name)).status).toBe(1)
    const ledger = await traffic.stop()
    expect(Object.keys(ledger.byRelease())).toEqual(['1'])
    expectNoFailure(ledger)
    expect((await ask(shop)).release).toBe('1')
  })

  it('that was live and crash-loops later does not take the socket down', async () => {
    const shop = await makeShop('later', { config: '[start]\nsettle = "300ms"' })
    const poison = `/srv/${shop.name}-poison`
    onTestFinished(() => rm(poison, { force: true }))
    await shop.release('1', { before: `import { existsSync } from 'node:fs'\nif (existsSync(${JSON.stringify(poison)})) process.exit(1)` })
    expectSuccess(await holdfast('install', shop.config))
    await writeFile(poison, '')
    await systemctl('kill', '--signal=SIGKILL', `${shop.name}@1.1.service`)
    // systemd's default limit is 5 starts in 10 s.
    await waitFor('it was restarted 8 times', async () => Number((await show(`${shop.name}@1.1.service`, 'NRestarts')).NRestarts) >= 8, { timeoutMs: 30_000 })
    expect(await activeState(`${shop.name}-http.socket`)).toBe('active')
    await rm(poison)
    expect((await ask(shop)).release).toBe('1')
  })
})
