import { describe, expect, it } from 'vitest'
import { lookAgain, runAfterDrain } from '../../../src/deploy/after-drain.js'
import { writeDeployRecord } from '../../../src/deploy/operation/deploy-record.js'
import { writeOrder } from '../../../src/deploy/request.js'
import { readState, type State } from '../../../src/release/state.js'
import { readRelease } from '../../../src/release/store.js'
import { addRelease, bringUp, liveSince, makeApp, makeOrder, runInstance, writeState, type AppOnDisk } from './app-on-disk.js'

const deploy = { id: '20260201-000000-abcdef', by: 'anna', what: 'x', since: liveSince, step: 'migrate' } as const
const afterDrain = { release: 'r2', generation: 2, since: liveSince }
const failing = { active: 'failed', sub: 'failed', result: 'exit-code', exit: { how: 'exited', status: 7 } } as const

/** r2 is live as generation 2, and its hook waits for what is older. */
function makeShop(entry: Partial<NonNullable<State['afterDrain']>> = {}): AppOnDisk {
  const on = makeApp('[hooks]\nafter_drain = "true"\n')
  addRelease(on, 'r1')
  addRelease(on, 'r2')
  bringUp(on, 'r2', 2, { afterDrain: { ...afterDrain, ...entry } })
  return on
}
const hooks = ({ systemd }: AppOnDisk): string[] => systemd.asked('transient')
const entryOf = ({ paths }: AppOnDisk): State['afterDrain'] => readState(paths).afterDrain

describe('hooks.after_drain', () => {
  it('runs once nothing older does; the release is marked before it begins, and the entry cleared once it is done', async () => {
    const on = makeShop()
    const seen: unknown[] = []
    on.systemd.onTransient = () => {
      seen.push(readRelease(on.paths, 'r2').afterDrain?.outcome, typeof entryOf(on)?.begun)
      return {}
    }
    expect(await runAfterDrain(on.app)).toBe(0)
    expect(hooks(on)).toEqual(['shop-hook.service'])
    expect(seen).toEqual(['begun', 'string'])
    expect(readState(on.paths)).toMatchObject({ live: { release: 'r2' }, wanted: 'r2' })
    expect(entryOf(on)).toBeUndefined()
    expect(readRelease(on.paths, 'r2')).toMatchObject({ outcome: 'good', afterDrain: { outcome: 'done' } })
    expect(on.told.map(({ event }) => event)).toEqual(['after-drain-began', 'after-drain-done'])
    expect(await runAfterDrain(on.app)).toBe(0)
    expect(hooks(on)).toHaveLength(1)
  })

  it('is dropped, not run, while another release is live', async () => {
    const on = makeShop()
    bringUp(on, 'r1', 3, { afterDrain })
    expect(await runAfterDrain(on.app)).toBe(0)
    expect(hooks(on)).toEqual([])
    expect(entryOf(on)).toBeUndefined()
    expect(readRelease(on.paths, 'r2').afterDrain).toBeUndefined()
  })

  it.each(['active', 'deactivating', 'activating'])('waits while an instance of an older generation is %s', async (active) => {
    const on = makeShop()
    runInstance(on, 'r1', 1, active)
    expect(await runAfterDrain(on.app)).toBe(0)
    expect(hooks(on)).toEqual([])
    expect(entryOf(on)).toEqual(afterDrain)
    expect(readRelease(on.paths, 'r2').afterDrain).toBeUndefined()
    on.systemd.set('shop@1.1.service', { active: 'failed' })
    await runAfterDrain(on.app)
    expect(hooks(on)).toHaveLength(1)
  })

  it('waits for generations older than the one it came with, not for those of restarts since', async () => {
    const on = makeShop()
    bringUp(on, 'r2', 5, { afterDrain })
    runInstance(on, 'r2', 4, 'deactivating')
    await runAfterDrain(on.app)
    expect(hooks(on)).toHaveLength(1)
  })

  it.each(['active', 'activating'])('waits for the end of a deploy that is %s', async (active) => {
    const on = makeShop()
    writeDeployRecord(on.paths, deploy)
    on.systemd.set('shop-deploy.service', { active })
    expect(await runAfterDrain(on.app)).toBe(0)
    expect(hooks(on)).toEqual([])
    expect(entryOf(on)).toEqual(afterDrain)
  })
  it('does not wait for a deploy that was killed', async () => {
    const on = makeShop()
    writeDeployRecord(on.paths, deploy)
    await runAfterDrain(on.app)
    expect(hooks(on)).toHaveLength(1)
  })
  it('does not wait for a deploy that has written down its end', async () => {
    const on = makeShop()
    on.systemd.set('shop-deploy.service')
    await runAfterDrain(on.app)
    expect(hooks(on)).toHaveLength(1)
  })

  it('waits while a handover to another release is ordered, and not for one to its own', async () => {
    const on = makeShop()
    writeOrder(on.paths, makeOrder('r1'))
    await runAfterDrain(on.app)
    expect([hooks(on), entryOf(on)]).toEqual([[], afterDrain])
    writeOrder(on.paths, makeOrder('r2'))
    await runAfterDrain(on.app)
    expect(hooks(on)).toHaveLength(1)
  })
  it('waits while another release is wanted', async () => {
    const on = makeShop()
    bringUp(on, 'r2', 3, { afterDrain, wanted: 'r1' })
    await runAfterDrain(on.app)
    expect([hooks(on), entryOf(on)]).toEqual([[], afterDrain])
  })

  it('that fails is kept with its cause, marked on the release, and run again by hand alone', async () => {
    const on = makeShop()
    on.systemd.onTransient = () => failing
    expect(await runAfterDrain(on.app)).toBe(1)
    expect(entryOf(on)).toMatchObject({ ...afterDrain, begun: expect.any(String) as string, failed: 'exited with status 7' })
    expect(readRelease(on.paths, 'r2')).toMatchObject({ outcome: 'good', afterDrain: { outcome: 'failed' } })
    expect(on.told.at(-1)?.event).toBe('after-drain-failed')
    await lookAgain(on.app)
    expect(on.systemd.asked('start')).toEqual([])

    const seen: unknown[] = []
    on.systemd.onTransient = () => {
      seen.push(entryOf(on)?.failed)
      return {}
    }
    expect(await runAfterDrain(on.app)).toBe(0)
    expect(seen).toEqual([undefined])
    expect(entryOf(on)).toBeUndefined()
    expect(readRelease(on.paths, 'r2').afterDrain).toMatchObject({ outcome: 'done' })
  })

  it('that was killed in its middle runs again', async () => {
    const on = makeShop({ begun: liveSince })
    await runAfterDrain(on.app)
    expect(hooks(on)).toHaveLength(1)
    expect(entryOf(on)).toBeUndefined()
  })

  it.each<[string, typeof failing | undefined]>([['succeeds', undefined], ['fails', failing]])('that %s leaves the entry alone of a release that went live meanwhile', async (_, end) => {
    const on = makeShop()
    const theirs = { release: 'r1', generation: 3, since: liveSince }
    on.systemd.onTransient = () => {
      writeState(on, { version: 1, generation: 3, wanted: 'r1', live: { generation: 3, release: 'r1', processes: 1, since: liveSince }, afterDrain: theirs })
      return end ?? {}
    }
    await runAfterDrain(on.app)
    expect(entryOf(on)).toEqual(theirs)
  })

  it('is cleared where the release has none (any more)', async () => {
    const on = makeApp()
    addRelease(on, 'r2')
    bringUp(on, 'r2', 2, { afterDrain })
    expect(await runAfterDrain(on.app)).toBe(0)
    expect(entryOf(on)).toBeUndefined()
    expect(hooks(on)).toEqual([])
    expect(readRelease(on.paths, 'r2').afterDrain).toBeUndefined()
  })
})

describe('a second look, as the unit ends', () => {
  const woken = async (on: AppOnDisk): Promise<boolean> => {
    await lookAgain(on.app)
    return on.systemd.asked('start').includes('shop-after-drain.service')
  }
  it('wakes it where the last older instance has ended meanwhile', async () => expect(await woken(makeShop())).toBe(true))
  it('does not where one has not', async () => {
    const on = makeShop()
    runInstance(on, 'r1', 1, 'deactivating')
    expect(await woken(on)).toBe(false)
  })
  it('does not where it has begun', async () => expect(await woken(makeShop({ begun: liveSince }))).toBe(false))
  it('does not where another release is live', async () => {
    const on = makeShop()
    bringUp(on, 'r1', 3, { afterDrain })
    expect(await woken(on)).toBe(false)
  })
})
