import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { planPrune } from '../../../../src/deploy/prune-plan.js'
import { planPruning, prune } from '../../../../src/deploy/operation/prune.js'
import { tidy } from '../../../../src/deploy/tidy.js'
import { ownIdentity, type ProcessIdentity } from '../../../../src/deploy/operation/deploy-owner.js'
import { HoldfastError } from '../../../../src/errors.js'
import { mirrorName } from '../../../../src/release/git-mirror.js'
import { pathsOf, placesOf, type AppPaths } from '../../../../src/release/paths.js'
import type { Release } from '../../../../src/release/release.js'
import type { State } from '../../../../src/release/state.js'
import { listReleases, removeUnfinished, writeRelease } from '../../../../src/release/store.js'
import type { Systemd, UnitState } from '../../../../src/systemd/systemd.js'
import { historyOf, release, releases } from '../releases.js'
import { unitState } from '../unit-state.js'

describe('the plan', () => {
  const all = releases('r1', 'r2', 'r3', 'r4', 'r5', 'r6', 'r7', 'r8')
  const history = historyOf(...all.map(({ id }) => `deploy ${id}`))
  const plan = (change: { inUse?: [string, string][]; live?: string; keep?: number; list?: Release[] }) => {
    const { remove, keep } = planPrune({ releases: change.list ?? all, history, live: change.live ?? 'r8' }, new Map(change.inUse ?? [['r8', 'live']]), change.keep ?? 5)
    return { remove: remove.map(({ id }) => id), keep: keep.map(({ release: { id }, why }) => `${id} ${why}`) }
  }

  it('keeps so many besides what is needed, and says why', () => {
    expect(plan({})).toEqual({
      remove: ['r1'],
      keep: ['r8 live', 'r7 rollback goes here', 'r6 one of the newest 5', 'r5 one of the newest 5', 'r4 one of the newest 5', 'r3 one of the newest 5', 'r2 one of the newest 5'],
    })
  })
  it('keeps with 0 what is needed alone', () => {
    expect(plan({ keep: 0, inUse: [['r8', 'live'], ['r2', 'generation 2 runs from it']] })).toEqual({
      remove: ['r1', 'r3', 'r4', 'r5', 'r6'], keep: ['r8 live', 'r7 rollback goes here', 'r2 generation 2 runs from it'],
    })
  })
  it('keeps the good one that a rollback goes to, however old', () => {
    const list = all.map((each) => (each.id === 'r8' || each.id === 'r1' ? each : { ...each, outcome: 'failed' as const }))
    expect(plan({ keep: 2, list }).keep).toEqual(['r8 live', 'r7 one of the newest 2', 'r6 one of the newest 2', 'r1 rollback goes here'])
  })
  it('keeps what would come up with the state lost', () => {
    const list = all.map((each) => (each.id === 'r6' ? each : { ...each, outcome: 'untried' as const }))
    expect(planPrune({ releases: list, history: [], live: undefined }, new Map(), 0).keep.map(({ release: { id }, why }) => `${id} ${why}`)).toEqual(['r6 the newest good one'])
  })
  it('does not depend on the order of the list', () => {
    expect(plan({ list: [...all].reverse() })).toEqual(plan({}))
  })
})

/** An app whose releases lie on disk; `running` are generations of which an instance runs, each from the release of its number. */
function onDisk(list: readonly Release[], state: Partial<State>): AppPaths {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-prune-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const paths = pathsOf({ ...placesOf('system'), state: folder, run: join(folder, 'run'), runtimeUnits: join(folder, 'units') }, 'shop')
  for (const each of list) {
    mkdirSync(join(paths.releases, each.id), { recursive: true })
    writeFileSync(join(paths.releases, each.id, 'server.js'), 'serve()')
    writeRelease(paths, each)
  }
  writeState(paths, { version: 1, generation: 9, ...state })
  return paths
}

const writeState = (paths: AppPaths, state: State): void => writeFileSync(join(paths.state, 'state.json'), JSON.stringify(state))

function systemd({ deploy = 'inactive', instances = [] }: { deploy?: string; instances?: UnitState[] }): Systemd {
  return {
    show: async (units: string[]) =>
      units.map((unit) => instances.find((state) => state.unit === unit) ?? unitState({ unit, active: unit === 'shop-deploy.service' ? deploy : 'inactive' })),
    list: async () => instances.map(({ unit }) => unit),
    resetFailed: async () => {},
  } as unknown as Systemd
}

const live = { generation: 4, release: 'r4', processes: 1, since: '2026-01-04T00:00:00.000Z' }
const ids = (paths: AppPaths): string[] => listReleases(paths).map(({ id }) => id)

/** Generation 1 drains, from r1; generation 3 has ended, and was r3. */
function withInstances(paths: AppPaths): Systemd {
  for (const generation of [1, 3, 4]) {
    mkdirSync(join(paths.instances, `${generation}.1`), { recursive: true })
    symlinkSync(join(paths.releases, `r${generation}`), join(paths.instances, `${generation}.1/release`))
  }
  return systemd({ instances: [
    unitState({ unit: 'shop@1.1.service', active: 'deactivating', sub: 'stop-sigterm' }),
    unitState({ unit: 'shop@3.1.service', active: 'failed', sub: 'failed' }),
    unitState({ unit: 'shop@4.1.service' }),
  ] })
}

describe('pruning', () => {
  const record = { id: 'd1', by: 'ann@laptop', what: 'shop-1.2.zip', since: '2026-01-05T00:00:00.000Z', step: 'migrate' }
  it('removes what nothing needs, with its metadata', async () => {
    const paths = onDisk(releases('r1', 'r2', 'r3', 'r4', 'r5'), { live, wanted: 'r5' })
    const pruning = await planPruning(paths, withInstances(paths), 0)
    expect(pruning.sizes.get(join(paths.releases, 'r2'))).toBe('serve()'.length)
    expect(ids(paths)).toHaveLength(5)
    expect((await prune(pruning, systemd({}))).releases.map(({ id }) => id)).toEqual(['r2'])
    expect(pruning.plan.keep.map(({ release: { id }, why }) => [id, why])).toEqual([
      ['r5', 'wanted'], ['r4', 'live'], ['r3', 'rollback goes here'], ['r1', 'generation 1 runs from it'],
    ])
    expect(ids(paths)).toEqual(['r1', 'r3', 'r4', 'r5'])
    expect(readdirSync(paths.releases).filter((name) => name.startsWith('r2'))).toEqual([])
  })

  it('leaves what has become live or wanted since it was planned', async () => {
    const paths = onDisk(releases('r1', 'r2', 'r3', 'r4'), { live, wanted: 'r4' })
    const pruning = await planPruning(paths, systemd({}), 0)
    writeState(paths, { version: 1, generation: 9, live, wanted: 'r1' })
    expect((await prune(pruning, systemd({}))).releases.map(({ id }) => id)).toEqual(['r2'])
    expect(ids(paths)).toEqual(['r1', 'r3', 'r4'])
  })

  it('leaves what a deploy, an order or the file wanted names by now', async () => {
    const list = releases('r1', 'r2', 'r3', 'r4', 'r5', 'r6', 'r7')
    const paths = onDisk(list, { live: { ...live, release: 'r7' }, wanted: 'r7' })
    const pruning = await planPruning(paths, systemd({}), 0)
    expect(pruning.plan.remove.map(({ id }) => id)).toEqual(['r1', 'r2', 'r3', 'r4', 'r5'])
    writeFileSync(join(paths.state, 'deploy.json'), JSON.stringify({ ...record, release: 'r1', began: 'r2' }))
    mkdirSync(paths.run, { recursive: true })
    writeFileSync(join(paths.run, 'order.json'), JSON.stringify({ id: 'd1', release: 'r3' }))
    writeFileSync(join(paths.state, 'wanted'), 'r4\n')
    const { releases: gone, stayed } = await prune(pruning, systemd({}))
    expect(gone.map(({ id }) => id)).toEqual(['r5'])
    expect(stayed.map(({ release: { id }, why }) => `${id} ${why}`)).toEqual(['r1 a deploy names it', 'r2 a deploy names it', 'r3 a deploy names it', 'r4 wanted'])
    expect(ids(paths)).toEqual(['r1', 'r2', 'r3', 'r4', 'r6', 'r7'])
  })

  it('ends as soon as somebody deploys or rolls back, and says what stayed', async () => {
    const paths = onDisk(releases('r1', 'r2', 'r3', 'r4'), { live, wanted: 'r4' })
    mkdirSync(join(paths.state, 'git/old.git'), { recursive: true })
    const pruning = await planPruning(paths, systemd({}), 0)
    expect(pruning.plan.remove.map(({ id }) => id)).toEqual(['r1', 'r2'])
    // A rollback to r2 begins in the middle.
    let looks = 0
    const looked = { ...systemd({}), show: (units: string[]) => systemd({ deploy: looks++ === 0 ? 'inactive' : 'active' }).show(units) } as Systemd
    const pruned = await prune(pruning, looked)
    expect(pruned.releases.map(({ id }) => id)).toEqual(['r1'])
    expect(pruned.stayed.map(({ release: { id }, why }) => `${id} ${why}`)).toEqual(['r2 somebody deploys shop'])
    expect(pruned.leftovers).toEqual([])
    expect(readdirSync(join(paths.state, 'git'))).toEqual(['old.git'])
    expect(ids(paths)).toContain('r2')
  })

  it('leaves metadata whose code has not appeared yet, and a snapshot that is being made', async () => {
    const paths = onDisk(releases('r3', 'r4'), { live })
    writeRelease(paths, release('r9'))
    mkdirSync(join(paths.releases, 'r8.new'))
    await prune(await planPruning(paths, systemd({}), 0), systemd({}))
    expect(readdirSync(paths.releases).sort()).toEqual(['r3', 'r3.json', 'r4', 'r4.json', 'r8.new', 'r9.json'])
  })

  it('is refused while somebody deploys, and says who', async () => {
    const paths = onDisk(releases('r1', 'r4'), { live })
    writeFileSync(join(paths.state, 'deploy.json'), JSON.stringify(record))
    const error: unknown = await planPruning(paths, systemd({ deploy: 'active' }), 0).catch((error: unknown) => error)
    expect(error).toBeInstanceOf(HoldfastError)
    expect(error).toMatchObject({
      code: 'busy', message: expect.stringMatching(/^ann@laptop deploys shop-1\.2\.zip to shop since \d\d:\d\d \(.+\), now at step migrate \(shop-deploy\.service\): nothing of shop is removed meanwhile$/),
    })
    rmSync(join(paths.state, 'deploy.json'))
    await expect(planPruning(paths, systemd({ deploy: 'activating' }), 0)).rejects.toThrow('somebody deploys shop (shop-deploy.service)')
  })

  it('removes what a deploy has left that was cut off, and not what somebody still sends', async () => {
    const paths = onDisk(releases('r4'), { live })
    for (const id of ['cut', 'sent']) mkdirSync(join(paths.state, 'staging', id, 'code'), { recursive: true })
    const request = (id: string, owner: ProcessIdentity): void => writeFileSync(join(paths.state, 'staging', id, 'request.json'), JSON.stringify({ id, owner }))
    request('cut', { ...ownIdentity(), start: '1' })
    request('sent', ownIdentity())
    const pruning = await planPruning(paths, systemd({}), 5)
    expect(pruning.leftovers).toEqual([join(paths.state, 'staging/cut')])
    await prune(pruning, systemd({}))
    expect(readdirSync(join(paths.state, 'staging'))).toEqual(['sent'])
  })

  it('does not follow a link in the place of the mirrors', async () => {
    const paths = onDisk(releases('r4'), { live })
    const others = join(paths.state, 'others')
    mkdirSync(join(others, 'work'), { recursive: true })
    symlinkSync(others, join(paths.state, 'git'))
    const pruning = await planPruning(paths, systemd({}), 0)
    expect(pruning.leftovers).toEqual([])
  })

  it('removes the mirrors of repositories that no kept release is from', async () => {
    const git = (repository: string): Partial<Release> => ({ source: { kind: 'git', repository, branch: 'main', commit: 'c'.repeat(40) } })
    const shop = 'https://git.example/shop.git'
    const old = 'ssh://git@git.example/old.git'
    const paths = onDisk([release('r1', git(old)), release('r2'), release('r4', { ...git(shop), createdAt: '2026-01-02T00:00:00.000Z' })], { live })
    const folder = join(paths.state, 'git')
    for (const repository of [shop, old]) mkdirSync(join(folder, `${mirrorName(repository)}.git`), { recursive: true })
    writeFileSync(join(folder, `${mirrorName(old)}.unfinished`), '')
    await prune(await planPruning(paths, systemd({}), 2), systemd({}))
    expect(ids(paths)).toContain('r1')
    expect(readdirSync(folder)).toHaveLength(3)
    // With r1, the last release of that repository goes.
    writeRelease(paths, release('r1', { ...git(old), outcome: 'failed' }))
    await prune(await planPruning(paths, systemd({}), 0), systemd({}))
    expect(ids(paths)).toEqual(['r2', 'r4'])
    expect(readdirSync(folder)).toEqual([`${mirrorName(shop)}.git`])
  })
})

it('a handover tidies by the same plan, and a snapshot that was cut off goes, but not metadata that is early', async () => {
  const paths = onDisk(releases('r0', 'r1', 'r2', 'r3', 'r4', 'r5', 'r6', 'r7', 'r8', 'r9'), { live: { ...live, generation: 9, release: 'r9' }, wanted: 'r9' })
  writeRelease(paths, release('soon'))
  mkdirSync(join(paths.releases, 'r0.new'))
  mkdirSync(join(paths.releases, 'unknown'))
  await tidy({ paths, systemd: withInstances(paths) })
  removeUnfinished(paths)
  expect(ids(paths)).toEqual(['r1', 'r2', 'r3', 'r4', 'r5', 'r6', 'r7', 'r8', 'r9'])
  expect(readdirSync(paths.releases).filter((name) => !/^r\d(\.json)?$/.test(name))).toEqual(['soon.json'])
  expect(existsSync(join(paths.instances, '1.1'))).toBe(true)
  expect(existsSync(join(paths.instances, '3.1'))).toBe(false)
})
