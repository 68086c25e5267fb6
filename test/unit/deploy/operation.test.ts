import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { readDeployRecord, writeDeployRecord } from '../../../src/deploy/deploy-record.js'
import { ownIdentity } from '../../../src/deploy/deploy-owner.js'
import type { DeployRequest } from '../../../src/deploy/deploy-request.js'
import type { DeployEvent } from '../../../src/deploy/progress.js'
import { readOrder } from '../../../src/deploy/request.js'
import { HoldfastError } from '../../../src/errors.js'
import { readHistory } from '../../../src/release/history.js'
import { readState } from '../../../src/release/state.js'
import { listReleases, readRelease } from '../../../src/release/store.js'
import { readWanted } from '../../../src/release/wanted.js'
import { addRelease, bringUp, deployOf, liveSince, makeApp, rollbackTo, run, serveOrders, writeState, type AppOnDisk } from './app-on-disk.js'

const failing = { active: 'failed', sub: 'failed', result: 'exit-code', exit: { how: 'exited', status: 3 } } as const
const hooked = '[hooks]\ninstall = "true"\nmigrate = "true"\n'

/** r1 is live as generation 3; a source folder lies beside. */
function makeShop(): AppOnDisk & { source: string } {
  const on = makeApp(hooked)
  addRelease(on, 'r1')
  bringUp(on, 'r1', 3)
  serveOrders(on)
  const source = join(on.folder, 'source')
  mkdirSync(source)
  writeFileSync(join(source, 'server.js'), 'serve()')
  return { ...on, source }
}

/** What every failure leaves: the live release live and wanted, and nothing of the deploy. */
function expectUntouched({ paths, systemd }: AppOnDisk): void {
  expect(readState(paths)).toMatchObject({ wanted: 'r1', live: { generation: 3, release: 'r1' } })
  expect(readWanted(paths)).toBe('r1')
  expect(systemd.active('shop@3.1.service')).toBe('active')
  expectCleanedUp({ paths })
}
function expectCleanedUp({ paths }: Pick<AppOnDisk, 'paths'>): void {
  expect(readdirSync(join(paths.state, 'staging'))).toEqual([])
  expect(existsSync(join(paths.state, 'deploy.json'))).toBe(false)
  expect(readOrder(paths)).toBeUndefined()
}
const stepsOf = (events: DeployEvent[]): string[] => events.flatMap((event) => (event.type === 'step' && event.state !== 'began' ? [`${event.step} ${event.state}`] : []))

it('a deploy goes live, and leaves nothing of its own', async () => {
  const on = makeShop()
  const seen: unknown[] = []
  on.systemd.onTransient = () => (seen.push(readDeployRecord(on.paths)?.step), {})
  const { status, events, end } = await run(on, deployOf(on.source))
  expect([status, end]).toMatchObject([0, { outcome: 'live', generation: 4 }])
  expect(seen).toEqual(['install', 'migrate'])
  expect(stepsOf(events)).toEqual(['fetch', 'unpack', 'verify', 'install', 'migrate', 'seal', 'record', 'handover', 'prune'].map((step) => `${step} done`))
  const release = end?.release ?? ''
  expect(readState(on.paths)).toMatchObject({ wanted: release, live: { generation: 4, release } })
  expect(readHistory(on.paths)).toMatchObject([{ kind: 'deploy', by: 'anna', generation: 4, release, from: 'r1', outcome: 'live' }])
  expect(readRelease(on.paths, release)).toMatchObject({ outcome: 'good', source: { kind: 'directory', path: on.source } })
  expectCleanedUp(on)
})

describe('a deploy that fails at', () => {
  const hookFails = (on: AppOnDisk, count: number): void => {
    let hooks = 0
    on.systemd.onTransient = () => (++hooks === count ? failing : {})
  }
  it.each<[string, (on: AppOnDisk & { source: string }) => Partial<DeployRequest> | void, string]>([
    ['fetch', ({ source }) => rmSync(source, { recursive: true }), 'there is no folder'],
    ['unpack', ({ source }) => {
      const path = `${source}.tar.gz`
      writeFileSync(path, gzipSync('no archive'.repeat(200)))
      return { source: { kind: 'archive', path, name: 'source.tar.gz' } }
    }, 'the archive was refused'],
    ['verify', ({ source }) => writeFileSync(join(source, 'holdfast.toml'), 'app = "shop"\ncommand = 1\n'), 'command'],
    ['install', (on) => hookFails(on, 1), 'hooks.install (true) exited with status 3'],
    ['migrate', (on) => hookFails(on, 2), 'hooks.migrate (true) exited with status 3'],
    ['seal', ({ paths }) => {
      const id = '20260101-000000-abcdef'
      writeFileSync(join(paths.releases, `${id}.json`), '{}')
      return { id }
    }, 'there is a release 20260101-000000-abcdef already'],
    ['handover', (on) => {
      on.systemd.onStart = () => failing
    }, 'shop@4.1.service exited with status 3 before it was ready'],
  ])('%s leaves all as it was, and says so', async (step, spoil, cause) => {
    const on = makeShop()
    const change = spoil(on) ?? {}
    const { status, events, end } = await run(on, deployOf(on.source, change))
    expect(status).toBe(1)
    expect(stepsOf(events).at(-1)).toBe(`${step} failed`)
    expect(end).toMatchObject({ outcome: 'failed', status: 1, failure: { step, message: expect.stringContaining(cause) as string } })
    expect(end?.failure?.message).toContain('Generation 3, release r1, serves on.')
    expect(readHistory(on.paths)).toMatchObject([{ kind: 'deploy', by: 'anna', step, generation: 4, from: 'r1', outcome: 'failed', reason: expect.stringContaining(cause) as string }])
    expectUntouched(on)
    expect(listReleases(on.paths).map(({ outcome }) => outcome)).toEqual(step === 'handover' ? ['good', 'failed'] : ['good'])
    expect(on.told.at(-1)?.event).toBe('deploy-ended')
  })

  it('record leaves what somebody else has brought up meanwhile', async () => {
    const on = makeShop()
    addRelease(on, 'r2')
    on.systemd.onTransient = () => (bringUp(on, 'r2', 4), {})
    const { status, end } = await run(on, deployOf(on.source))
    expect([status, end?.failure]).toMatchObject([1, { step: 'record', message: expect.stringContaining('release r2 is by now') as string }])
    expect(readState(on.paths)).toMatchObject({ wanted: 'r2', live: { release: 'r2' } })
    expect(readWanted(on.paths)).toBe('r2')
    expect(readHistory(on.paths)).toMatchObject([{ step: 'record', outcome: 'failed' }])
    expectCleanedUp(on)
  })

  it('handover, where that tells nothing, has a line in the history all the same, and is no longer wanted', async () => {
    const on = makeShop()
    on.systemd.onRestart = async () => ({ active: 'failed', result: 'signal' })
    const { status } = await run(on, deployOf(on.source))
    expect(status).toBe(1)
    expect(readHistory(on.paths)).toMatchObject([{ step: 'handover', outcome: 'failed' }])
    expectUntouched(on)
  })

  it('prune is live', async () => {
    const on = makeShop()
    on.systemd.resetFailed = async () => {
      if (readDeployRecord(on.paths)?.step === 'prune') throw new HoldfastError('systemd-failed', 'no answer')
    }
    const { status, events, end } = await run(on, rollbackTo(addRelease(on, 'r0').id))
    expect([status, end]).toMatchObject([0, { outcome: 'live', release: 'r0' }])
    expect(stepsOf(events).at(-1)).toBe('prune failed')
    expectCleanedUp(on)
  })
})

describe('an operation that is interrupted', () => {
  it('before its handover is undone', async () => {
    const on = makeShop()
    const interrupt = new AbortController()
    on.systemd.onTransient = () => (interrupt.abort(new HoldfastError('deploy-failed', 'SIGTERM')), {})
    const { status, end } = await run(on, deployOf(on.source), interrupt)
    expect([status, end?.failure]).toMatchObject([1, { step: 'install', message: expect.stringContaining('was interrupted by SIGTERM') as string, hint: 'holdfast deploy shop' }])
    expect(readHistory(on.paths)).toMatchObject([{ step: 'install', outcome: 'interrupted' }])
    expectUntouched(on)
  })

  it.each([['system', ''], ['user', ' --user']] as const)('in its handover leaves that to go on, and its record and what is wanted to whoever comes next (%s)', async (scope, user) => {
    const on = makeShop()
    on.paths.scope = scope
    addRelease(on, 'r2')
    const interrupt = new AbortController()
    const handOver = on.systemd.onRestart
    let end: () => void = () => {}
    const ended = new Promise<void>((resolve) => (end = resolve))
    on.systemd.onRestart = async (unit) => {
      interrupt.abort(new HoldfastError('deploy-failed', 'SIGTERM'))
      await ended
      return handOver(unit)
    }
    const request = { ...rollbackTo('r2'), owner: { ...ownIdentity(), start: '1' } } // its process has ended
    const result = await run(on, request, interrupt)
    expect([result.status, result.end?.failure]).toMatchObject([1, { step: 'handover', message: expect.stringContaining('The handover goes on without it.') as string, hint: `holdfast${user} status shop` }])
    expect(readDeployRecord(on.paths)).toMatchObject({ id: request.id, step: 'handover', release: 'r2' })
    expect(readState(on.paths)).toMatchObject({ wanted: 'r2', live: { release: 'r1' } })
    expect(readOrder(on.paths)?.id).toBe(request.id)
    expect(readHistory(on.paths)).toEqual([])

    // The next one waits for it.
    on.systemd.onRestart = handOver
    const next = run(on, rollbackTo('r1'))
    end()
    expect(await next).toMatchObject({ status: 0, end: { release: 'r1', generation: 5 } })
    expect(readHistory(on.paths).map(({ release, outcome }) => `${release} ${outcome}`)).toEqual(['r2 live', 'r1 live'])
    expectCleanedUp(on)
  })
})

it('a recovery that fails leaves the record of the killed deploy to the next one', async () => {
  const on = makeShop()
  addRelease(on, 'r2')
  const killed = { id: '20260101-000000-abcdef', by: 'bert', what: 'x', since: liveSince, step: 'record', began: 'r1', release: 'r2' } as const
  writeState(on, { ...readState(on.paths), wanted: 'r2' })
  writeDeployRecord(on.paths, killed)
  const show = vi.spyOn(on.systemd, 'show').mockRejectedValueOnce(new HoldfastError('systemd-failed', 'no answer'))
  onTestFinished(() => show.mockRestore())
  const { status, end } = await run(on, deployOf(on.source))
  expect([status, end?.failure?.message]).toEqual([1, 'no answer. Generation 3, release r1, serves on.'])
  expect(readDeployRecord(on.paths)).toEqual(killed)
  expect(readdirSync(join(on.paths.state, 'staging'))).toEqual([])
  const next = await run(on, deployOf(on.source))
  expect(next.status).toBe(0)
  expect(readHistory(on.paths)).toMatchObject([{ by: 'bert', release: 'r2', outcome: 'interrupted' }, { by: 'anna', outcome: 'live' }])
})

describe('at its end an operation', () => {
  const afterDrain = { release: 'r1', generation: 3, since: liveSince }
  it.each([['wakes the hook after a drain that waited for it', {}, true], ['wakes none that has failed', { failed: 'exited with status 1' }, false]])('%s', async (_, entry, wakes) => {
    const on = makeShop()
    writeState(on, { ...readState(on.paths), afterDrain: { ...afterDrain, ...entry } })
    rmSync(on.source, { recursive: true })
    expect((await run(on, deployOf(on.source))).status).toBe(1)
    expect(on.systemd.asked('start').includes('shop-after-drain.service')).toBe(wakes)
    expectUntouched(on)
  })
  it('of hooks alone has its line in the history, and nothing else', async () => {
    const on = makeShop()
    const { status, end } = await run(on, deployOf(on.source, { switches: { install: true, migrate: true, migrateOnly: true } }))
    expect([status, end]).toMatchObject([0, { outcome: 'migrated' }])
    expect(readHistory(on.paths)).toMatchObject([{ kind: 'deploy', generation: 3, from: 'r1', outcome: 'migrated' }])
    expectUntouched(on)
  })
})
