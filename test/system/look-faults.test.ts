/** A candidate, a live one or a disk that fails in the phases of a handover that looks before it switches. */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { expect, it, onTestFinished } from 'vitest'
import { ask, makeShop, visit, type Shop } from './apps.js'
import { historyOf, said, visitApp } from './deploys.js'
import { expectSuccess, holdfast, journal, mustRun, run, show, systemctl, waitFor } from './harness.js'
import { instance, stateOf, heldGeneration, upNames, expectWhole, healthy, isBack, isLetIn, quick, baking, makeLive, expectCutAlone, makeHolding, letIn } from './look.js'

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
  await systemctl('stop', '--no-block', instance(app, '1.1'), instance(app, '1.2'))
  await waitFor('generation 1 is back', async () => (await journal(app.name)).includes('starting it again') && (await isBack(app, '1.1')()) && (await isBack(app, '1.2')()), { timeoutMs: 60_000 })
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
