import { describe, expect, it } from 'vitest'
import { findRelease, passedContracts, previousGood } from '../../../../src/deploy/operation/previous-release.js'
import type { HistoryEntry } from '../../../../src/release/history.js'
import type { Release } from '../../../../src/release/release.js'
import { historyOf, release, releases } from '../releases.js'

const all = releases('r1', 'r2', 'r3', 'r4', 'r5')
const change = (list: Release[], id: string, over: Partial<Release>): Release[] => list.map((each) => (each.id === id ? { ...each, ...over } : each))

describe('a rollback that names no release goes to', () => {
  const cases: [string, string[], string, string | undefined][] = [
    ['the one before', ['deploy r1', 'deploy r2', 'deploy r3'], 'r3', 'r2'],
    ['the one before, of a history of version 0.1', ['r1', 'r2', 'r3'], 'r3', 'r2'],
    ['nowhere from the first', ['deploy r1'], 'r1', undefined],
    ['further back the second time', ['deploy r1', 'deploy r2', 'deploy r3', 'rollback r2'], 'r2', 'r1'],
    ['nowhere once it is at the first', ['deploy r1', 'deploy r2', 'rollback r1'], 'r1', undefined],
    ['further back, after a boot too', ['deploy r1', 'deploy r2', 'deploy r3', 'rollback r2', 'start r2', 'start r2'], 'r2', 'r1'],
    ['further back, after an apply and a restart of what is live too', ['deploy r1', 'deploy r2', 'deploy r3', 'rollback r2', 'apply r2', 'restart r2'], 'r2', 'r1'],
    ['what ran before the deploy after a rollback, not what was rolled back from', ['deploy r1', 'deploy r2', 'deploy r3', 'rollback r2', 'deploy r4'], 'r4', 'r2'],
    ['and then further', ['deploy r1', 'deploy r2', 'deploy r3', 'rollback r2', 'deploy r4', 'rollback r2'], 'r2', 'r1'],
    ['past what a rollback by name left out', ['deploy r1', 'deploy r2', 'deploy r3', 'deploy r4', 'rollback r1', 'deploy r5'], 'r5', 'r1'],
    ['what was rolled back from and brought in again', ['deploy r1', 'deploy r2', 'rollback r1', 'deploy r2', 'deploy r3'], 'r3', 'r2'],
    ['where it was before a rollback by name that went forth', ['deploy r1', 'deploy r2', 'deploy r3', 'rollback r2', 'rollback r3'], 'r3', 'r2'],
    ['past what was rolled back from, where that went forth by name', ['deploy r1', 'deploy r2', 'deploy r3', 'rollback r2', 'rollback r1', 'deploy r4', 'rollback r3'], 'r3', 'r1'],
    ['the one before, where an old release was brought in again', ['deploy r1', 'deploy r2', 'deploy r3', 'restart r1'], 'r1', 'r3'],
    ['the one before, past failures', ['deploy r1', 'deploy r2', 'deploy r3!', 'deploy r4!'], 'r2', 'r1'],
    ['the one before, where the live one failed once', ['deploy r1', 'deploy r2', 'deploy r3!', 'deploy r3'], 'r3', 'r2'],
    ['the one before what somebody wrote into the file `wanted`', ['deploy r1', 'deploy r2', 'apply r3'], 'r3', 'r2'],
    ['the last of the line, where the live one is not written down yet', ['deploy r1', 'deploy r2'], 'r3', 'r2'],
  ]
  it.each(cases)('%s', (_, lines, live, target) => {
    const shown = all.filter(({ id }) => lines.some((line) => line.includes(id)) || id === live)
    expect(previousGood({ releases: shown, history: historyOf(...lines), live })?.id).toBe(target)
    expect(previousGood({ releases: [...shown].reverse(), history: historyOf(...lines), live })?.id).toBe(target)
  })

  const history = historyOf('deploy r1', 'deploy r2', 'deploy r3')
  const three = all.slice(0, 3)
  it.each(['failed', 'untried'] as const)('never to one that is %s', (outcome) => {
    expect(previousGood({ releases: change(three, 'r2', { outcome }), history, live: 'r3' })?.id).toBe('r1')
    expect(previousGood({ releases: change(change(three, 'r2', { outcome }), 'r1', { outcome }), history, live: 'r3' })).toBeUndefined()
  })
  it('never to one that is gone', () => {
    expect(previousGood({ releases: three.filter(({ id }) => id !== 'r2'), history, live: 'r3' })?.id).toBe('r1')
    expect(previousGood({ releases: three.slice(2), history, live: 'r3' })).toBeUndefined()
  })
  it('the one before, where the live one itself is gone from the disk', () => {
    expect(previousGood({ releases: three.slice(0, 2), history, live: 'r3' })?.id).toBe('r2')
  })
  it('nowhere, with nothing live', () => {
    expect(previousGood({ releases: three, history, live: undefined })).toBeUndefined()
  })
  it('the next older one, without a history', () => {
    expect(previousGood({ releases: all, history: [], live: 'r4' })?.id).toBe('r3')
    expect(previousGood({ releases: all, history: [], live: 'r1' })).toBeUndefined()
    expect(previousGood({ releases: change(all, 'r3', { outcome: 'failed' }), history: [], live: 'r4' })?.id).toBe('r2')
  })
  it('one from before the history, once all that it tells of is passed', () => {
    const begun = historyOf('deploy r4', 'deploy r5')
    expect(previousGood({ releases: all, history: begun, live: 'r5' })?.id).toBe('r4')
    expect(previousGood({ releases: all, history: begun, live: 'r4' })?.id).toBe('r3')
    const back = historyOf('deploy r4', 'deploy r5', 'rollback r2')
    expect(previousGood({ releases: all, history: back, live: 'r2' })?.id).toBe('r1')
  })
  it('further back, when a boot found the state lost and brought up an older one', () => {
    const lost = historyOf('deploy r1', 'deploy r2', 'deploy r3', 'start r2')
    const { from: _, ...boot } = lost[3] as HistoryEntry
    expect(previousGood({ releases: all, history: [...lost.slice(0, 3), boot], live: 'r2' })?.id).toBe('r1')
  })
  it('is never forth, however often', () => {
    const lines = ['deploy r1', 'deploy r2', 'deploy r3', 'deploy r4', 'deploy r5']
    const went: string[] = []
    for (let live: string | undefined = 'r5'; live !== undefined; ) {
      live = previousGood({ releases: all, history: historyOf(...lines), live })?.id
      if (live !== undefined) went.push(live)
      lines.push(`rollback ${live}`, `start ${live}`)
    }
    expect(went).toEqual(['r4', 'r3', 'r2', 'r1'])
  })
})

describe('the contracts that a rollback passes', () => {
  const history = historyOf('deploy r1', 'deploy r2', 'deploy r3', 'deploy r4')
  const at = '2026-01-02T00:00:00.000Z'
  const passed = (list: Release[], target: string, lines = history, live = 'r4'): string[] =>
    passedContracts({ releases: list, history: lines, live, target }).map(({ id }) => id)

  it.each(['begun', 'done', 'failed'] as const)('are those whose hook is %s', (outcome) => {
    expect(passed(change(all, 'r4', { afterDrain: { at, outcome } }), 'r3')).toEqual(['r4'])
    expect(passed(change(all, 'r3', { afterDrain: { at, outcome } }), 'r2')).toEqual(['r3'])
  })
  it('are none of the target itself, and none before it', () => {
    expect(passed(change(change(all, 'r3', { afterDrain: { at, outcome: 'done' } }), 'r1', { afterDrain: { at, outcome: 'done' } }), 'r3')).toEqual([])
  })
  it('are in their order', () => {
    const marked = ['r4', 'r2', 'r3'].reduce((list, id) => change(list, id, { afterDrain: { at, outcome: 'done' } }), all)
    expect(passed(marked, 'r1')).toEqual(['r2', 'r3', 'r4'])
  })
  it('are that of a release that was rolled back from, too: what it did stays done', () => {
    const marked = change(all, 'r3', { afterDrain: { at, outcome: 'done' } })
    expect(passed(marked, 'r1', historyOf('deploy r1', 'deploy r2', 'deploy r3', 'rollback r2'), 'r2')).toEqual(['r3'])
  })
  it('are the same after a boot, which brings in nothing', () => {
    const marked = change(all, 'r3', { afterDrain: { at, outcome: 'done' } })
    expect(passed(marked, 'r2', historyOf('deploy r1', 'deploy r2', 'deploy r3', 'rollback r2', 'start r2', 'deploy r4'))).toEqual(['r3'])
  })
  it('are that of the live one, where the history does not tell of it', () => {
    expect(passed(change(all.slice(0, 3), 'r3', { afterDrain: { at, outcome: 'begun' } }), 'r2', historyOf('deploy r1', 'deploy r2'), 'r3')).toEqual(['r3'])
  })
  it('follow the age, without a history', () => {
    const marked = change(change(all, 'r3', { afterDrain: { at, outcome: 'done' } }), 'r1', { afterDrain: { at, outcome: 'done' } })
    expect(passed(marked, 'r2', [], 'r5')).toEqual(['r3'])
  })
  it('are none where nothing has one', () => expect(passed(all, 'r1')).toEqual([]))
  it('are none of a release that was brought in before the target was brought in again', () => {
    const again = historyOf('deploy r1', 'deploy r2', 'deploy r1', 'deploy r3')
    expect(passed(change(all, 'r2', { afterDrain: { at, outcome: 'done' } }), 'r1', again, 'r3')).toEqual([])
  })
})

describe('a release is named', () => {
  const list = [
    release('20260101-120000-aaaaaa', { version: '1.2.0', createdAt: '2026-01-01T12:00:00.000Z' }),
    release('20260102-120000-bbbbbb', { version: '1.2.0', createdAt: '2026-01-02T12:00:00.000Z' }),
    release('20260102-130000-cccccc', { version: '1.3.0', createdAt: '2026-01-02T13:00:00.000Z' }),
    release('20260102-130000-cccccc.2', { version: '20260101', createdAt: '2026-01-02T13:00:01.000Z' }),
  ]
  it.each([
    ['its id', '20260102-120000-bbbbbb', 1], ['its id, though that is the begin of another', '20260102-130000-cccccc', 2],
    ['the begin of its id', '20260102-12', 1], ['its version', '1.3.0', 2], ['the newest of a version', '1.2.0', 1],
    ['its version, though that is the begin of an id', '20260101', 3],
  ])('by %s', (_, word, index) => {
    expect(findRelease(list, word)).toBe(list[index])
    expect(findRelease([...list].reverse(), word)).toBe(list[index])
  })
  it.each([
    ['20260102-1', '20260102-1 is the begin of 3 releases: 20260102-130000-cccccc.2 (20260101), 20260102-130000-cccccc (1.3.0), 20260102-120000-bbbbbb (1.2.0)'],
    ['1.2', 'there is no release 1.2; on disk: 20260102-130000-cccccc.2 (20260101), 20260102-130000-cccccc (1.3.0), 20260102-120000-bbbbbb (1.2.0), 20260101-120000-aaaaaa (1.2.0)'],
    ['', 'there is no release ; on disk: '],
  ])('and not by %j', (word, message) => expect(() => findRelease(list, word)).toThrow(message))
  it('from at most ten', () => {
    expect(() => findRelease(releases(...Array.from({ length: 12 }, (_, i) => `r${i}`)), 'x')).toThrow(/r11, r10, .*, r2 and 2 older$/)
    expect(() => findRelease([], 'x')).toThrow('there is no release x; no release is on disk')
  })
})
