import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { followDeploy } from '../../../../src/deploy/operation/deploy-unit.js'
import { findEnd } from '../../../../src/deploy/operation/lost-end.js'
import type { StepName } from '../../../../src/deploy/operation/progress.js'
import type { HistoryEntry } from '../../../../src/release/history.js'
import { pathsOf, placesOf, type AppPaths } from '../../../../src/release/paths.js'
import type { Live } from '../../../../src/release/state.js'
import type { Systemd } from '../../../../src/systemd/systemd.js'
import { unitState } from '../unit-state.js'

const begunAt = Date.UTC(2026, 0, 5, 10)
const after = (ms: number): string => new Date(begunAt + ms).toISOString()
const request = { id: 'd1', kind: 'deploy' as const, by: 'ann', again: 'holdfast deploy shop /srv/x' }
const live: Live = { generation: 7, release: 'r7', processes: 1, since: after(5_000) }
const line = (over: Partial<HistoryEntry>): HistoryEntry => ({ at: after(6_000), kind: 'deploy', by: 'ann', generation: 7, release: 'r7', outcome: 'live', durationMs: 5_500, ...over })
const record = { id: 'd1', kind: 'deploy', by: 'ann', what: '/srv/x', since: after(400), step: 'handover', release: 'r7' }

interface Remains {
  live?: Live
  history?: HistoryEntry[]
  record?: object
  /** What the client was told of last. */
  step?: StepName
}

/** An app whose deploy has ended, and whose last event is not there. */
function settle({ live: recorded, history = [], record: left }: Remains): { paths: AppPaths; systemd: Systemd } {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-lost-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const paths = pathsOf({ ...placesOf('system'), state: folder, run: join(folder, 'run') }, 'shop')
  mkdirSync(paths.state, { recursive: true })
  mkdirSync(join(paths.run, 'deploys'), { recursive: true })
  writeFileSync(join(paths.state, 'state.json'), JSON.stringify({ version: 1, generation: 9, ...(recorded === undefined ? {} : { live: recorded }) }))
  writeFileSync(join(paths.state, 'history.jsonl'), history.map((entry) => `${JSON.stringify(entry)}\n`).join(''))
  if (left !== undefined) writeFileSync(join(paths.state, 'deploy.json'), JSON.stringify(left))
  const systemd = { show: async (units: string[]) => units.map((unit) => unitState({ unit, active: 'inactive' })), list: async () => [], property: async () => '' } as unknown as Systemd
  return { paths, systemd }
}

const follow = (remains: Remains) => findEnd(settle(remains), { request, step: remains.step, output: [], begunAt })

describe('a deploy whose last words are lost', () => {
  it.each<[string, Remains]>([
    ['the history says', { live, history: [line({ generation: 6, outcome: 'failed', at: after(-1_000) }), line({})] }],
    ['the history lacks, but not the state', { live }],
    ['only cut off while it removed what is old', { live, history: [line({})], record: { ...record, step: 'prune' } }],
  ])('went live, as %s', async (_, remains) => {
    expect(await follow(remains)).toMatchObject({ outcome: 'live', status: 0, generation: 7, release: 'r7' })
  })

  it('failed with the reason and at the step that stand in the history, though somebody else went live meanwhile', async () => {
    const history = [line({ outcome: 'failed', reason: 'the hook ended with status 1', step: 'migrate' }), line({ by: 'ben', generation: 8 }), line({ kind: 'restart', generation: 8 })]
    expect(await follow({ live, history })).toMatchObject({
      outcome: 'failed', status: 1, failure: { step: 'migrate', message: 'the hook ended with status 1. Nothing serves.', hint: 'mend it, then: holdfast deploy shop /srv/x' },
    })
  })

  it('is told of by whoever follows it', async () => {
    expect(await followDeploy(settle({ live, history: [line({})] }), request, begunAt, () => {})).toMatchObject({ outcome: 'live', status: 0 })
  })

  it('ran its hooks alone', async () => {
    expect(await follow({ history: [line({ outcome: 'migrated' })] })).toMatchObject({ outcome: 'migrated', status: 0 })
  })

  it.each<[string, Remains]>([
    ['with its record still there', { record: { ...record, step: 'migrate' } }],
    ['while a handover goes on', { record, live, step: 'handover' }],
    ['before its release went live', { record: { ...record, step: 'prune' }, live: { ...live, since: after(-1) } }],
  ])('was killed %s', async (_, remains) => {
    const { status, failure } = await follow(remains)
    expect(status).toBe(1)
    expect(failure?.message).toMatch(/^the deploy was killed at step \w+\. /)
    expect(failure?.hint).toContain('finishes or undoes')
  })

  it.each<[string, HistoryEntry[]]>([
    ['nothing', []],
    ['what it found of an earlier one', [line({ outcome: 'interrupted', durationMs: 0 })]],
    ['one that began before', [line({ durationMs: 7_000 })]],
  ])('came to nobody knows what, where the history has only %s', async (_, history) => {
    const { status, failure } = await follow({ history, live: { ...live, since: after(-1) } })
    expect(status).toBe(1)
    expect(failure?.message).toBe('the deploy ended, and what it told of that was lost. Nothing serves.')
  })
})
