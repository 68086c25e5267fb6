import { expect, it } from 'vitest'
import { changeState, readState, type State } from '../../../src/release/state.js'
import { liveSince, makeApp, writeState, type AppOnDisk } from './app-on-disk.js'

/** Between the reading of the record and its writing, another process writes. */
const live = { generation: 1, release: 'r1', processes: 1, since: liveSince }
const afterDrain = { release: 'r1', generation: 1, since: liveSince }

function makeRecord(): { on: AppOnDisk; began: State } {
  const on = makeApp()
  writeState(on, { version: 1, revision: 4, generation: 1, wanted: 'r1', live, afterDrain })
  return { on, began: readState(on.paths) }
}

it('a change is made again upon what a hook wrote meanwhile: neither is lost', () => {
  const { on, began } = makeRecord()
  const seen: (State['afterDrain'] | undefined)[] = []
  const written = changeState(on.paths, began, (now) => {
    seen.push(now.afterDrain)
    if (seen.length === 1) writeState(on, { ...began, revision: 5, afterDrain: { ...afterDrain, begun: liveSince } })
    return { ...now, wanted: 'r2' }
  })
  expect(seen).toEqual([afterDrain, { ...afterDrain, begun: liveSince }])
  expect(written).toEqual({ version: 1, revision: 6, generation: 1, wanted: 'r2', live, afterDrain: { ...afterDrain, begun: liveSince } })
  expect(readState(on.paths)).toEqual(written)
})

it('a change is refused where another one was made meanwhile, which stays', () => {
  const { on, began } = makeRecord()
  let calls = 0
  expect(() => changeState(on.paths, began, (now) => {
    calls += 1
    writeState(on, { ...began, revision: 5, generation: 2, wanted: 'r9' })
    return { ...now, wanted: 'r2' }
  })).toThrow(expect.objectContaining({ code: 'state-changed', message: expect.stringContaining('now generation 1 live (release r1), r9 wanted') as string }))
  expect(calls).toBe(1)
  expect(readState(on.paths)).toMatchObject({ generation: 2, wanted: 'r9' })
})

it('a change is refused in the end where somebody always comes first', () => {
  const { on, began } = makeRecord()
  let last: State = began
  let calls = 0
  expect(() => changeState(on.paths, began, (now) => {
    calls += 1
    last = { ...now, revision: (now.revision ?? 0) + 1, afterDrain: { ...afterDrain, begun: `${now.revision}` } }
    writeState(on, last)
    return { ...now, wanted: 'r2' }
  })).toThrow(expect.objectContaining({ code: 'state-changed' }))
  expect(calls).toBeGreaterThan(1)
  expect(readState(on.paths)).toEqual(last)
})
