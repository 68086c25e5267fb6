import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { swapDurably } from '../../../src/release/durable-file.js'
import type { AppPaths } from '../../../src/release/paths.js'
import { changeState, readState, type State } from '../../../src/release/state.js'
import { makePaths } from './app-paths.js'

let paths: AppPaths
let file: string
beforeEach(() => {
  paths = makePaths()
  file = join(paths.state, 'state.json')
})

const live = (generation: number): NonNullable<State['live']> => ({ generation, release: `r${generation}`, processes: 1, since: '2026-01-01T00:00:00Z' })

describe('the record', () => {
  it('counts its writes, and is fresh where there is none', () => {
    const first = changeState(paths, readState(paths), (now) => ({ ...now, generation: 1, live: live(1) }))
    expect(first).toEqual({ version: 1, revision: 1, generation: 1, live: live(1) })
    expect(changeState(paths, first, (now) => ({ ...now, generation: 2 })).revision).toBe(2)
    expect(readState(paths)).toMatchObject({ revision: 2, generation: 2 })
  })

  it('refuses a writer that began from another one, and tells both', () => {
    const began = changeState(paths, readState(paths), (now) => ({ ...now, generation: 1, live: live(1) }))
    const other = changeState(paths, began, (now) => ({ ...now, generation: 2, live: live(2), wanted: 'r2' }))
    expect(() => changeState(paths, began, (now) => ({ ...now, wanted: 'r3' }))).toThrow(expect.objectContaining({
      code: 'state-changed',
      message: expect.stringMatching(/began with generation 1 live \(release r1\), none wanted.*now generation 2 live \(release r2\), r2 wanted/) as string,
    }))
    expect(readState(paths)).toEqual(other)
  })

  it('lets a hook after a drain come to its end meanwhile', () => {
    const began = changeState(paths, readState(paths), (now) => ({ ...now, generation: 1, live: live(1), afterDrain: { release: 'r1', generation: 1, since: '2026-01-01T00:00:00Z' } }))
    changeState(paths, began, () => ({ version: 1, generation: 1, live: live(1) }))
    expect(changeState(paths, began, (now) => ({ ...now, generation: 2 }))).toEqual({ version: 1, revision: 3, generation: 2, live: live(1) })
  })

  it.each(['', 'null', '[]', '{"version":1}', '{"version":2,"generation":1}', '{"version":1,"generation":1,"live":{}}', '{"version":1,"generation":1,"live":7}', '{"version":1,"generation":1,"afterDrain":1}', '{"version":1,"generation":1,"revision":"x"}', '{"version":1,"gener'])('says what is wrong with %s', (text) => {
    writeFileSync(file, text)
    expect(() => readState(paths)).toThrow(expect.objectContaining({ code: 'state-corrupt', hint: expect.stringContaining('holdfast apply shop') as string }))
    expect(() => changeState(paths, { version: 1, generation: 0 }, (now) => now)).toThrow(expect.objectContaining({ code: 'state-corrupt' }))
    expect(readFileSync(file, 'utf8')).toBe(text)
  })
})

describe('a swap', () => {
  it('writes only over what is expected, and leaves nothing behind', () => {
    expect(swapDurably(file, 'other', 'new')).toBe(false)
    expect(swapDurably(file, undefined, 'one')).toBe(true)
    expect(swapDurably(file, undefined, 'two')).toBe(false)
    expect(swapDurably(file, 'one', 'three')).toBe(true)
    expect(readFileSync(file, 'utf8')).toBe('three')
    expect(readdirSync(paths.state).sort()).toEqual(['state.json', 'state.json.lock'])
  })
})
