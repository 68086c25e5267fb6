/** The commands that list the releases of an app, what was deployed, and that prune them. */
import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import type { PruneAnswer } from '../../src/cli/prune.js'
import type { AppStatus } from '../../src/deploy/observe/app-status.js'
import type { HistoryRow } from '../../src/deploy/observe/list-history.js'
import type { ReleaseRow } from '../../src/deploy/observe/list-releases.js'
import { ask, broken, makeShop, type Shop } from './apps.js'
import { activeState, expectSuccess, holdfast, mustRun, root, run, systemctl, units, waitFor, type Result } from './harness.js'

const cli = join(root, 'dist/cli/main.js')
const stateFolder = (shop: Shop): string => `/var/lib/holdfast/${shop.name}`
const asNobody = (...args: string[]): Promise<Result> =>
  run('setpriv', ['--reuid', '65534', '--regid', '65534', '--clear-groups', process.execPath, cli, ...args])

async function answer<T>(...args: string[]): Promise<T> {
  const result = await holdfast(...args, '--json')
  expectSuccess(result)
  return JSON.parse(result.stdout) as T
}

async function installed(prefix: string, config = ''): Promise<Shop> {
  const shop = await makeShop(prefix, { config: `[start]\nsettle = "200ms"\n${config}` })
  expectSuccess(await holdfast('install', shop.config))
  return shop
}

async function restart(shop: Shop, release: string, how?: { before?: string; after?: string }): Promise<Result> {
  await shop.release(release, how)
  return systemctl('restart', shop.name)
}

const onlyOneRuns = (shop: Shop): Promise<boolean> => waitFor('the older generation has drained', async () => (await units(`${shop.name}@*.service`)).length === 1)

/** A unit of the deploy's name, with what a deploy writes down. */
async function beginDeploy(shop: Shop): Promise<void> {
  await writeFile(join(stateFolder(shop), 'deploy.json'), JSON.stringify({ id: 'd1', by: 'ann@laptop', what: 'shop-1.2.zip', since: new Date().toISOString(), step: 'migrate' }))
  await mustRun('systemd-run', ['--quiet', '--collect', `--unit=${shop.name}-deploy`, 'sleep', 'infinity'])
}

it('lists what there is and what was deployed, to everybody', async () => {
  const shop = await installed('listed')
  expectSuccess(await restart(shop, '2'))
  expect((await restart(shop, '3', broken['crashes at its start'])).status).toBe(1)
  expectSuccess(await restart(shop, '4'))
  await onlyOneRuns(shop)

  const [fourth, third, second, first, ...rest] = await answer<ReleaseRow[]>('releases', shop.name)
  expect(rest).toEqual([])
  expect(fourth).toMatchObject({
    id: expect.stringMatching(/^\d{8}-\d{6}-[0-9a-f]{6}$/), version: null, source: { kind: 'directory', path: shop.folder, snapshot: true }, sourceText: shop.folder,
    commit: null, overlay: null, outcome: 'good', failure: null, live: 4, draining: [], running: [], wanted: true, rollbackTarget: false, afterDrain: null,
  })
  expect(third).toMatchObject({ outcome: 'failed', failure: `${shop.name}@3.1.service exited with status 1 before it was ready`, live: null, rollbackTarget: false })
  expect(second).toMatchObject({ outcome: 'good', live: null, wanted: false, rollbackTarget: true })
  expect(first).toMatchObject({ outcome: 'good', rollbackTarget: false })
  const files = await mustRun('find', [join(stateFolder(shop), 'releases', fourth?.id as string), '-type', 'f', '-printf', '%s\n'])
  expect(fourth?.sizeBytes).toBe(files.trim().split('\n').reduce((sum, line) => sum + Number(line), 0))

  const text = await asNobody('releases', shop.name)
  expect(text.status, text.stderr).toBe(0)
  expect(text.stdout.split('\n').map((line) => line.replace(/^.*? {2,}(?=live|failed|rollback|good|STATE)/, ''))).toEqual([
    'STATE', 'live (generation 4), good', `failed: ${third?.failure}`, 'rollback goes here, good', 'good', '',
  ])

  await mustRun('journalctl', ['--sync'])
  const history = await answer<HistoryRow[]>('history', shop.name)
  const drain = { requestsAnswered: 0, requestsAborted: 0, requestsCut: 0 }
  const ids = [fourth, third, second, first].map((row) => row?.id)
  expect(history).toMatchObject([
    { generation: 4, from: ids[2], release: ids[0], outcome: 'live', step: null, reason: null, drain },
    { generation: 3, from: ids[2], release: ids[1], outcome: 'failed', reason: third?.failure, drain: null },
    { generation: 2, from: ids[3], release: ids[2], outcome: 'live', drain },
    { generation: 1, from: null, release: ids[3], outcome: 'live', drain: null },
  ])
  expect(await answer<HistoryRow[]>('history', shop.name, '-n', '2')).toEqual(history.slice(0, 2))
  // Who may not read the journal sees what is recorded all the same.
  const seen = await asNobody('history', shop.name, '--json')
  expect((JSON.parse(seen.stdout) as HistoryRow[]).map(({ generation }) => generation)).toEqual([4, 3, 2, 1])
  expect((await holdfast('history', shop.name)).stdout.split('\n')[2]).toMatch(new RegExp(`${ids[2]}  ${ids[1]}  \\d+\\.\\d s  -  +failed: ${shop.name}@3\\.1\\.service exited`))
  const here = await run(process.execPath, [cli, 'history'], { cwd: shop.folder })
  expect(here.stdout).toBe((await holdfast('history', shop.name)).stdout)
})

it('tells how many requests a deploy has cut, and which release drains', async () => {
  const shop = await makeShop('cut', { config: '[start]\nsettle = "200ms"\n[drain]\ntimeout = "2s"\n' })
  await shop.write({ 'server.js': "import http from 'node:http'\nhttp.createServer((request, response) => response.write('held')).listen(process.env.PORT)" })
  expectSuccess(await holdfast('install', shop.config))
  const held = await Promise.all([1, 2].map(() => fetch(`http://${shop.address}/`)))
  const ends = held.map((response) => response.text().catch(() => 'cut'))
  expectSuccess(await restart(shop, '2'))
  const [, first] = await answer<ReleaseRow[]>('releases', shop.name)
  expect(first).toMatchObject({ draining: [1], rollbackTarget: true })
  expect(await Promise.all(ends)).toEqual(['cut', 'cut'])
  await onlyOneRuns(shop)
  await mustRun('journalctl', ['--sync'])
  expect((await answer<HistoryRow[]>('history', shop.name))[0]?.drain).toEqual({ requestsAnswered: 0, requestsAborted: 0, requestsCut: 2 })
  expect((await holdfast('history', shop.name)).stdout.split('\n')[1]).toMatch(/ 2 cut +live as generation 2$/)
})

it('prunes what nothing needs, and not while somebody deploys', async () => {
  const shop = await installed('pruned')
  // Old code that an instance still runs from.
  await shop.write({ 'server.js': "import http from 'node:http'\nhttp.createServer((request, response) => response.write('held')).listen(process.env.PORT)" })
  expectSuccess(await systemctl('restart', shop.name))
  const download = await fetch(`http://${shop.address}/`)
  for (const release of ['3', '4', '5']) expectSuccess(await restart(shop, release))
  const before = (await answer<ReleaseRow[]>('releases', shop.name)).map(({ id }) => id)
  expect(before).toHaveLength(5)
  await mkdir(join(stateFolder(shop), 'staging/d1/code'), { recursive: true })

  await beginDeploy(shop)
  const busy = await holdfast('prune', shop.name, '--keep', '0')
  expect(busy.status).toBe(2)
  expect(busy.stderr).toMatch(new RegExp(`^Error: ann@laptop deploys shop-1\\.2\\.zip to ${shop.name} since \\d\\d:\\d\\d \\(\\d+ s\\), now at step migrate \\(${shop.name}-deploy\\.service\\): nothing of ${shop.name} is removed meanwhile\nTry: holdfast logs ${shop.name} -f`))
  expect(await answer<AppStatus>('status', shop.name)).toMatchObject({ state: 'live', problems: [], deploy: { running: true, by: 'ann@laptop', step: 'migrate' } })
  await systemctl('stop', `${shop.name}-deploy`)

  const interrupted = await holdfast('status', shop.name)
  expect(interrupted.status).toBe(1)
  expect(interrupted.stdout).toMatch(new RegExp(`Problem: the deploy of shop-1\\.2\\.zip by ann@laptop, begun at \\S+, was interrupted in step migrate: .*\n  Try: holdfast apply ${shop.name}`))

  const dry = await answer<PruneAnswer>('prune', shop.name, '--keep', '0', '--dry-run')
  expect(dry).toMatchObject({ dryRun: true, leftovers: [{ path: join(stateFolder(shop), 'staging/d1') }] })
  expect(dry.removed.map(({ release }) => release).sort()).toEqual([before[2], before[4]].sort())
  expect(dry.kept.map(({ why }) => why)).toEqual(['live', 'rollback goes here', 'generation 2 runs from it'])
  expect(dry.freedBytes).toBeGreaterThan(500)
  expect(await answer<ReleaseRow[]>('releases', shop.name)).toHaveLength(5)
  expect((await asNobody('prune', shop.name)).stderr).toContain('this needs root')

  const pruned = await holdfast('prune', shop.name, '--keep', '0')
  expectSuccess(pruned)
  expect(pruned.stdout).toMatch(/^removed {2}\S+ +- +\d+\.\dK\nremoved .*\nremoved .*staging\/d1 .*\nkept .*live\nkept .*rollback goes here\nkept .*generation 2 runs from it\n\d+\.\dK freed\.\n$/)
  expect((await answer<ReleaseRow[]>('releases', shop.name)).map(({ id }) => id)).toEqual([before[0], before[1], before[3]])
  expect((await readdir(join(stateFolder(shop), 'releases'))).length).toBe(6)
  expect(await readdir(join(stateFolder(shop), 'staging'))).toEqual([])
  expect((await ask(shop)).release).toBe('5')
  expect((await holdfast('prune', shop.name, '--keep', 'x')).status).toBe(2)
  await download.body?.cancel()
})

it('says what somebody wrote into the file `wanted`', async () => {
  const shop = await installed('wanted')
  expectSuccess(await restart(shop, '2'))
  const [, first] = await answer<ReleaseRow[]>('releases', shop.name)
  const file = join(stateFolder(shop), 'wanted')
  await writeFile(file, `${first?.id}\n`)
  const status = await holdfast('status', shop.name)
  expect(status.stdout).toContain(`  wanted    ${first?.id}: systemctl restart ${shop.name} brings it up\n`)
  expect(status.status).toBe(0)
  await rm(file)
})

it('uninstall ends a deploy, and takes the cache of the hooks along', async () => {
  const shop = await installed('ended')
  await beginDeploy(shop)
  const caches = [`/var/cache/holdfast/${shop.name}`, `/var/cache/private/holdfast/${shop.name}`]
  for (const cache of caches) await mkdir(join(cache, 'npm'), { recursive: true })
  onTestFinished(async () => void (await Promise.all(caches.map((cache) => rm(cache, { recursive: true, force: true })))))
  // Who waits for the lock gets it no more.
  const waits = holdfast('deploy', shop.name, '--wait')
  await waitFor('another waits', async () => (await readdir(join(stateFolder(shop), 'staging')).catch(() => [])).some((name) => !name.endsWith('.new')))
  const dry = await holdfast('uninstall', '--dry-run', shop.name)
  expect(dry.stdout).toContain(`systemctl stop ${shop.name}-deploy.service ${shop.name}-hook.service`)
  for (const cache of caches) expect(dry.stdout).toContain(`\n    ${cache}\n`)
  expectSuccess(await holdfast('uninstall', shop.name))
  expect(await activeState(`${shop.name}-deploy.service`)).toBe('inactive')
  const { status, stderr } = await waits
  expect(stderr).toMatch(/uninstall.*: nothing was begun\nTry: holdfast status\n/)
  expect(status).toBe(2)
  expect(await units(`${shop.name}-*`)).toEqual([])
  for (const folder of [...caches, '/var/cache/holdfast', stateFolder(shop), `/run/holdfast/${shop.name}`]) await expect(stat(folder)).rejects.toThrow(/ENOENT/)
})
