import { readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { readDeployRecord } from '../../../../src/deploy/operation/deploy-record.js'
import type { DeployRequest } from '../../../../src/deploy/operation/deploy-request.js'
import { HoldfastError } from '../../../../src/errors.js'
import { readHistory } from '../../../../src/release/history.js'
import { readState } from '../../../../src/release/state.js'
import { listReleases, readRelease } from '../../../../src/release/store.js'
import { readWanted } from '../../../../src/release/wanted.js'
import { addRelease, bringUp, deployOf, liveSince, rollbackTo, run, writeState, type AppOnDisk } from '../app-on-disk.js'
import { expectCleanedUp, expectUntouched, makeShop, stepsOf } from '../operation-shop.js'

const failing = { active: 'failed', sub: 'failed', result: 'exit-code', exit: { how: 'exited', status: 3 } } as const

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
    ['seal', (on) => {
      on.app.config.source.maxBytes = 100
      on.systemd.onTransient = (_, args) => {
        const folder = args.find((arg) => arg.startsWith('--property=WorkingDirectory='))?.split('=')[2] ?? ''
        writeFileSync(join(folder, 'installed'), 'x'.repeat(200))
        return {}
      }
    }, 'at most 100 are allowed'],
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
    const before = readdirSync(on.paths.releases)
    const { status, events, end } = await run(on, deployOf(on.source, change))
    expect(status).toBe(1)
    expect(stepsOf(events).at(-1)).toBe(`${step} failed`)
    expect(end).toMatchObject({ outcome: 'failed', status: 1, failure: { step, message: expect.stringContaining(cause) as string } })
    expect(end?.failure?.message).toContain('Generation 3, release r1, serves on.')
    expect(readHistory(on.paths)).toMatchObject([{ kind: 'deploy', by: 'anna', step, generation: 4, from: 'r1', outcome: 'failed', reason: expect.stringContaining(cause) as string }])
    expectUntouched(on)
    // What came as far as the handover was sealed, and is kept with why it failed.
    if (step === 'handover') expect(listReleases(on.paths).map(({ outcome }) => outcome)).toEqual(['good', 'failed'])
    else expect(readdirSync(on.paths.releases)).toEqual(before)
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

  it('record leaves an app alone that somebody has stopped meanwhile', async () => {
    const on = makeShop()
    on.systemd.onTransient = async () => {
      await on.systemd.queueStop(['shop@3.1.service', 'shop-drain.service', 'shop.service'])
      return {}
    }
    const { status, end } = await run(on, deployOf(on.source))
    expect([status, end?.failure]).toMatchObject([1, { step: 'record', message: expect.stringContaining('shop was stopped by somebody since this began. Nothing serves.') as string }])
    expect(readState(on.paths)).toMatchObject({ wanted: 'r1', live: { release: 'r1' } })
    expect(on.systemd.asked('restart')).toEqual([])
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
