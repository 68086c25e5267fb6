/** A handover that is cut off at any point, and what the next one makes of it. */
import { appendFile, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { expect, it } from 'vitest'
import { ask, broken, makeShop, recorded, visit, type Shop } from './apps.js'
import { activeState, expectSuccess, holdfast, journal, mustRun, run, show, systemctl, units, waitFor } from './harness.js'

const slowStart = { before: 'await new Promise((resolve) => setTimeout(resolve, 1200))' }

const isState = async (unit: string, state: string): Promise<boolean> => (await activeState(unit)) === state
const alive = (shop: Shop): Promise<string[]> => units(`${shop.name}@*.service`, 'active', 'activating')
const onlyGeneration = (shop: Shop, generation: number): Promise<boolean> =>
  waitFor(`generation ${generation} alone is up`, async () => {
    const names = await units(`${shop.name}@*.service`)
    return names.length === 1 && names[0] === `${shop.name}@${generation}.1.service`
  }, { timeoutMs: 30_000 })

async function installed(prefix: string): Promise<Shop> {
  const shop = await makeShop(prefix, { config: '[start]\nsettle = "1s"' })
  expectSuccess(await holdfast('install', shop.config))
  return shop
}

it('lets a second restart in the middle win, and cleans up after the first', async () => {
  const shop = await installed('second')
  const traffic = visit(shop)
  await shop.release('2', slowStart)
  const first = systemctl('restart', shop.name)
  await waitFor('generation 2 is starting', () => isState(`${shop.name}@2.1.service`, 'activating'))
  await shop.release('3')
  expectSuccess(await systemctl('restart', shop.name))
  expectSuccess(await first)
  await traffic.until((ledger) => ledger.byRelease()['3'] !== undefined)
  expect((await traffic.stop()).failures).toEqual([])
  expect((await ask(shop)).release).toBe('3')
  await onlyGeneration(shop, 3)
  expect(await journal(shop.name)).toContain('A handover that did not end has left instances: Generation 2 is told to drain.')
})

it.each(['activating', 'active'] as const)('runs again by itself when it is killed while the new generation is %s', async (state) => {
  const shop = await installed('killed')
  const traffic = visit(shop)
  await shop.release('2', slowStart)
  const restart = systemctl('restart', shop.name)
  await waitFor(`generation 2 is ${state}`, () => isState(`${shop.name}@2.1.service`, state))
  await systemctl('kill', '--signal=SIGKILL', shop.service)
  await restart
  await waitFor('the handover has run again', async () => (await recorded(shop)).live?.generation === 3, { timeoutMs: 30_000 })
  await onlyGeneration(shop, 3)
  await waitFor('the app is active', () => isState(shop.service, 'active'))
  expect((await ask(shop)).release).toBe('2')
  expect((await traffic.stop()).failures).toEqual([])
})

it('converges after kills at any time', { timeout: 180_000 }, async () => {
  const shop = await installed('anytime')
  const traffic = visit(shop)
  for (let n = 2; n <= 9; n += 1) {
    await shop.release(String(n))
    const restart = systemctl('restart', shop.name)
    // Spread over the handover, and the same in every run.
    const killAt = Date.now() + (n - 1) * 270
    await waitFor('the time to kill', () => Date.now() >= killAt, { everyMs: 5 })
    await systemctl('kill', '--signal=SIGKILL', shop.service)
    await restart
  }
  await shop.release('last')
  expectSuccess(await systemctl('restart', shop.name))
  const { live } = await recorded(shop)
  await onlyGeneration(shop, live?.generation ?? 0)
  const ledger = await traffic.stop()
  expect(ledger.failures).toEqual([])
  expect((await ask(shop)).release).toBe('last')
})

it.each(['daemon-reexec', 'daemon-reload'])('is not disturbed by a %s in the middle', async (verb) => {
  const shop = await installed('reexec')
  const traffic = visit(shop)
  await shop.release('2', slowStart)
  const restart = systemctl('restart', shop.name)
  await waitFor('generation 2 is starting', () => isState(`${shop.name}@2.1.service`, 'activating'))
  await systemctl(verb)
  await restart // its client may have lost the connection: the state counts
  await waitFor('generation 2 is live', async () => (await recorded(shop)).live?.generation === 2)
  await traffic.until((ledger) => ledger.byRelease()['2'] !== undefined)
  expect((await traffic.stop()).failures).toEqual([])
  await waitFor('the app is active', () => isState(shop.service, 'active'))
  await onlyGeneration(shop, 2)
})

it('stops everything when it is stopped in the middle, and starts what was good', async () => {
  const shop = await installed('stopmid')
  await shop.release('2', slowStart)
  const restart = systemctl('restart', shop.name)
  await waitFor('generation 2 is starting', () => isState(`${shop.name}@2.1.service`, 'activating'))
  expectSuccess(await systemctl('stop', shop.service, `${shop.name}-drain.service`))
  expect((await restart).status).not.toBe(0)
  expect(await units(`${shop.name}@*`, 'active', 'activating', 'deactivating')).toEqual([])
  await expect(ask(shop)).rejects.toThrow()
  expectSuccess(await systemctl('start', shop.name))
  expect((await ask(shop)).release).toBe('1')
})

it('makes a state file that cannot be read anew, of what runs and what is on disk', async () => {
  const shop = await installed('corrupt')
  const file = `/var/lib/holdfast/${shop.name}/state.json`
  await writeFile(file, '{"version":1,"gener')
  expectSuccess(await systemctl('stop', `${shop.name}@1.1.service`)) // a start goes by the record
  expect((await ask(shop)).release).toBe('1')

  await writeFile(file, 'not a state')
  await shop.release('2')
  expectSuccess(await systemctl('restart', shop.name))
  expect(await recorded(shop)).toMatchObject({ generation: 2, live: { generation: 2 } })
  const kept = (await readdir(dirname(file))).filter((name) => name.startsWith('state.json.corrupt-')).sort()
  expect(await Promise.all(kept.map((name) => readFile(join(dirname(file), name), 'utf8')))).toEqual(['{"version":1,"gener', 'not a state'])
  expect(await journal(shop.name)).toContain(`${file} cannot be read: it is not JSON. It was made anew of what runs and what is on disk: generation 1, release `)
  await onlyGeneration(shop, 2)
})

it('goes on without a state file that is lost', async () => {
  const shop = await installed('lost')
  const file = `/var/lib/holdfast/${shop.name}/state.json`
  await shop.release('2')
  await rename(file, `${file}.bad`)
  expectSuccess(await systemctl('restart', shop.name))
  expect(await recorded(shop)).toMatchObject({ live: { generation: 2 } })
  await onlyGeneration(shop, 2)
})

it('undoes a candidate that a killed handover left beside the live one, when the next release fails', async () => {
  const shop = await installed('leftover')
  await shop.release('2')
  const restart = systemctl('restart', shop.name)
  await waitFor('generation 2 is ready', () => isState(`${shop.name}@2.1.service`, 'active'))
  await shop.release('3', { before: "throw new Error('broken')" })
  expect((await systemctl('restart', shop.name)).status).toBe(1)
  await restart
  await onlyGeneration(shop, 1)
  expect(await recorded(shop)).toMatchObject({ live: { generation: 1 } })
  expect((await alive(shop)).length).toBe(1)
  expect((await show(shop.service, 'Result')).Result).toBe('exit-code')
  expect((await run('ss', ['-Hltn', `sport = :${shop.port}`])).stdout).toContain('LISTEN')
})

it('leaves everything as it was on a full disk, and goes on once there is room', async () => {
  const shop = await makeShop('full', { config: '[start]\nsettle = "300ms"' })
  const state = `/var/lib/holdfast/${shop.name}`
  await mkdir(state, { recursive: true })
  await mustRun('mount', ['-t', 'tmpfs', '-o', 'size=1M,mode=755', 'tmpfs', state])
  try {
    expectSuccess(await holdfast('install', shop.config))
    await run('dd', ['if=/dev/zero', `of=${state}/ballast`, 'bs=64k'])
    await shop.release('2')
    expect((await systemctl('restart', shop.name)).status).toBe(1)
    expect(await ask(shop)).toMatchObject({ release: '1', generation: '1' })
    expect(await journal(shop.name)).toMatch(/No handover: .*(the disk is full|no space left)/)
    expect(await recorded(shop)).toMatchObject({ live: { generation: 1 } })
    // As at a boot: what is recorded comes up from its own files, and the unit says that something is wrong.
    expectSuccess(await systemctl('stop', shop.service, `${shop.name}-drain.service`))
    expect((await systemctl('start', shop.name)).status).toBe(1)
    expect(await ask(shop)).toMatchObject({ release: '1', generation: '1' })
    expect(await activeState(shop.service)).toBe('failed')
    await rm(`${state}/ballast`)
    expectSuccess(await systemctl('restart', shop.name))
    expect((await ask(shop)).release).toBe('2')
    expectSuccess(await systemctl('stop', shop.service, `${shop.name}-drain.service`))
    await holdfast('uninstall', shop.name) // all but the mount point
  } finally {
    await mustRun('umount', ['--lazy', state])
  }
})

it('retires an instance that somebody told to end by hand, which would come back with the old code', async () => {
  const shop = await installed('byhand')
  const response = await fetch(`http://${shop.address}/export`) // keeps it draining for a while
  await systemctl('kill', '--kill-whom=main', '--signal=SIGTERM', `${shop.name}@1.1.service`)
  await waitFor('it drains', () => isState(`${shop.name}@1.1.service`, 'deactivating'))
  await shop.release('2')
  expectSuccess(await systemctl('restart', shop.name))
  expect((await response.text()).length).toBeGreaterThan(9_000)
  await onlyGeneration(shop, 2)
  expect((await ask(shop)).release).toBe('2')
})

it('retires an instance whose restart by hand still waits for its drain', async () => {
  const shop = await installed('restartone')
  const response = await fetch(`http://${shop.address}/export`)
  await systemctl('restart', '--no-block', `${shop.name}@1.1.service`)
  await waitFor('it drains', () => isState(`${shop.name}@1.1.service`, 'deactivating'))
  await shop.release('2')
  expectSuccess(await systemctl('restart', shop.name))
  expect((await response.text()).length).toBeGreaterThan(9_000)
  await onlyGeneration(shop, 2)
})

it('loses no order to a systemd that executes itself anew, again and again', async () => {
  const shop = await installed('reexecs')
  const traffic = visit(shop)
  await shop.release('2')
  const restart = systemctl('restart', shop.name)
  await waitFor('generation 2 settles', () => isState(`${shop.name}@2.1.service`, 'active'))
  let isLive = false
  while (!isLive) {
    await systemctl('daemon-reexec')
    isLive = (await recorded(shop)).live?.generation === 2
  }
  for (let n = 0; n < 3; n += 1) await systemctl('daemon-reexec')
  await restart
  await onlyGeneration(shop, 2)
  expect((await traffic.stop()).failures).toEqual([])
})

it('kills a leftover that hangs, instead of waiting for its drain', async () => {
  const shop = await installed('hung')
  await shop.release('2', broken['never becomes ready and heeds no SIGTERM'])
  const restart = systemctl('restart', shop.name)
  await waitFor('generation 2 is starting', () => isState(`${shop.name}@2.1.service`, 'activating'))
  await shop.release('3')
  expectSuccess(await systemctl('restart', shop.name))
  await restart
  await onlyGeneration(shop, 3)
})

it('stops whatever the configuration has become', async () => {
  const shop = await installed('faulty')
  const file = `/etc/holdfast/${shop.name}.toml`
  await appendFile(file, '\nbogus = 1\n')
  expectSuccess(await systemctl('stop', shop.service, `${shop.name}-drain.service`))
  expect(await units(`${shop.name}@*`, 'active', 'activating', 'deactivating')).toEqual([])
  await expect(ask(shop)).rejects.toThrow()
})

it('brings back the good release when its state file is lost', async () => {
  const shop = await installed('lost')
  await shop.release('2')
  expectSuccess(await systemctl('stop', shop.service, `${shop.name}-drain.service`))
  await rm(`/var/lib/holdfast/${shop.name}/state.json`)
  expectSuccess(await systemctl('start', shop.name))
  expect(await ask(shop)).toMatchObject({ release: '1', generation: '2' })
})
