import { writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { findOnDisk, findWanted, recordWanted, restoreWanted } from '../../../src/deploy/wanted.js'
import { appendHistory } from '../../../src/release/history.js'
import { readState, type State } from '../../../src/release/state.js'
import { readRelease, writeRelease } from '../../../src/release/store.js'
import { readWanted, wantedFile } from '../../../src/release/wanted.js'
import { addRelease, liveSince, makeApp, writeState, type AppOnDisk } from './app-on-disk.js'
import { historyOf } from './releases.js'

const live = { generation: 1, release: 'r1', processes: 1, since: liveSince }

/** r1 is live, r2 wanted by a handover; r3 and r4 have the same version. */
function makeShop(state: Partial<State> = { live, wanted: 'r2' }): AppOnDisk {
  const on = makeApp()
  for (const [day, [id, version]] of [['r1', '1.1'], ['r2', '1.2'], ['r3', '1.3'], ['r4', '1.3'], ['r5', '1.1']].entries()) {
    addRelease(on, id as string, { version: version as string, createdAt: `2026-01-0${day + 1}T00:00:00.000Z` })
  }
  writeState(on, { version: 1, generation: 2, ...state })
  return on
}
const write = ({ paths }: AppOnDisk, word: string): void => writeFileSync(wantedFile(paths), `${word}\n`)

describe('what stands in the file', () => {
  const asked = (word: string, state?: Partial<State>) => {
    const on = makeShop(state)
    write(on, word)
    const found = findOnDisk(on.paths, readState(on.paths))
    return found.kind === 'release' ? found.release.id : found
  }
  it.each([
    ['the id of what is wanted', 'r2'], ['the id of what is live', 'r1'], ['the version of what is wanted', '1.2'],
    ['the version of what is live, though a newer release has it too', '1.1'], ['nothing', ''],
  ])('is no order where it is %s', (_, word) => {
    expect(asked(word)).toEqual({ kind: 'nothing' })
  })
  it.each([['live', { live: { ...live, release: 'gone' }, wanted: 'r2' }], ['wanted', { live, wanted: 'gone' }]])('is no order where it is the id of what is %s, even with its code gone', (_, state) => {
    expect(asked('gone', state)).toEqual({ kind: 'nothing' })
  })
  it.each([['another id', 'r3', 'r3'], ['another version, the newest release of it', '1.3', 'r4']])('is an order where it is %s', (_, word, id) => {
    expect(asked(word)).toBe(id)
  })
  it.each(['1.4', 'r9', '1.'])('is to be fetched where no release on disk is called %s', (word) => {
    expect(asked(word)).toEqual({ kind: 'elsewhere', word })
  })
  it('is an order where nothing is recorded', () => {
    expect(asked('1.1', {})).toBe('r5')
  })
  it('is nothing without a file', () => {
    const { paths } = makeShop()
    expect(findOnDisk(paths, readState(paths))).toEqual({ kind: 'nothing' })
  })
})

it('an order for a release past a hooks.after_drain that has run is refused', async () => {
  const on = makeShop({ live: { ...live, generation: 5, release: 'r4' }, wanted: 'r4' })
  for (const entry of historyOf('deploy r1', 'deploy r2', 'deploy r4')) appendHistory(on.paths, entry)
  write(on, 'r1')
  expect((await findWanted(on.app, readState(on.paths)))?.id).toBe('r1')
  writeRelease(on.paths, { ...readRelease(on.paths, 'r2'), afterDrain: { at: liveSince, outcome: 'failed' } })
  await expect(findWanted(on.app, readState(on.paths))).rejects.toMatchObject({ code: 'release-failed', hint: expect.stringContaining('holdfast rollback shop r1 --force') as string })
  write(on, 'r2')
  expect((await findWanted(on.app, readState(on.paths)))?.id).toBe('r2')
})

describe('what is wanted', () => {
  it('is recorded in both places, and set back in both', () => {
    const { paths } = makeShop({ live, wanted: 'r1' })
    const wanted = recordWanted(paths, readState(paths), readRelease(paths, 'r3'))
    expect([wanted.wanted, readState(paths).wanted, readWanted(paths)]).toEqual(['r3', 'r3', 'r3'])
    expect(restoreWanted(paths, wanted)).toMatchObject({ wanted: 'r1', live })
    expect([readState(paths).wanted, readWanted(paths)]).toEqual(['r1', 'r1'])
  })
  it('is set back to what is live by its id, where its code is gone', () => {
    const { paths } = makeShop({ live: { ...live, release: 'gone' }, wanted: 'r2' })
    restoreWanted(paths, readState(paths))
    expect([readState(paths).wanted, readWanted(paths)]).toEqual(['gone', 'gone'])
  })
  it('is nothing any more, with nothing live; but a version that somebody wrote stays, to be tried again', () => {
    const on = makeShop({})
    recordWanted(on.paths, readState(on.paths), readRelease(on.paths, 'r3'))
    restoreWanted(on.paths, readState(on.paths))
    expect([readState(on.paths).wanted, readWanted(on.paths)]).toEqual([undefined, undefined])
    write(on, '1.2')
    recordWanted(on.paths, readState(on.paths), readRelease(on.paths, 'r2'))
    restoreWanted(on.paths, readState(on.paths))
    expect([readState(on.paths).wanted, readWanted(on.paths)]).toEqual([undefined, '1.2'])
  })
  it('is refused to a writer that began from another record', () => {
    const on = makeShop({ live, wanted: 'r1' })
    const began = readState(on.paths)
    writeState(on, { ...began, generation: 3, live: { ...live, generation: 3, release: 'r2' }, wanted: 'r2' })
    expect(() => recordWanted(on.paths, began, readRelease(on.paths, 'r3'))).toThrow(expect.objectContaining({ code: 'state-changed' }))
    expect(readState(on.paths).wanted).toBe('r2')
  })
})
