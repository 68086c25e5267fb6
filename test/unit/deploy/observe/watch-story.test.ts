import { describe, expect, it } from 'vitest'
import { canReadJournal, historyStory, readDrain, storyLine } from '../../../../src/deploy/observe/watch-story.js'
import type { JournalEntry, JournalQuery, Systemd } from '../../../../src/systemd/systemd.js'

const told = { HOLDFAST_APP: 'shop', SYSLOG_IDENTIFIER: 'holdfast', _UID: '0', HOLDFAST_PHASE: 'deploy-live', HOLDFAST_GENERATION: '7', HOLDFAST_RELEASE: 'r7', MESSAGE: 'Generation 7 is live.\nAnd more.' }
const drained = { HOLDFAST_APP: 'shop', _UID: '61184', PHASE: 'drained', DURATION_MS: '400', REQUESTS_ANSWERED: '12', REQUESTS_CUT: '1', _SYSTEMD_UNIT: 'shop@7.1.service', MESSAGE: 'drained in 0.4 s' }
const line = (fields: JournalEntry['fields']): unknown => storyLine('shop', 'system', { at: 5, fields })

describe('a sentence of the story', () => {
  it('is its first line, without what a terminal acts on', () => {
    expect(line(told)).toEqual({ at: 5, event: 'deploy-live', text: 'Generation 7 is live.', generation: 7, release: 'r7' })
    expect(line({ ...told, MESSAGE: 'a\u001b[2Jb', HOLDFAST_RELEASE: 'r\u0007' })).toMatchObject({ text: 'a [2Jb', release: 'r' })
    expect(line({ ...told, HOLDFAST_GENERATION: undefined, HOLDFAST_RELEASE: undefined })).toMatchObject({ generation: null, release: null })
  })
  it('of a drain has the instance before it', () => {
    expect(line(drained)).toEqual({ at: 5, event: 'drained', text: '7.1 drained in 0.4 s', generation: 7, release: null })
  })
  it.each([
    ["another app's", { ...told, HOLDFAST_APP: 'shopify' }],
    ['of somebody who is not root', { ...told, _UID: '1000' }],
    ['of another program', { ...told, SYSLOG_IDENTIFIER: 'shop' }],
    ['of a unit that is no instance of it', { ...drained, _SYSTEMD_UNIT: 'evil.service' }],
    ['of a drain that has not ended', { ...drained, DURATION_MS: undefined }],
    ['without a message', { ...told, MESSAGE: undefined }],
  ])('is none %s', (_, fields) => expect(line(fields)).toBeUndefined())
})

it('for whom the journal is closed, the history is the story', () => {
  const common = { at: '2026-01-01T00:00:00Z', generation: 3, durationMs: 2_600 }
  expect(historyStory([
    { ...common, release: 'r3', outcome: 'live' },
    { ...common, release: 'r4', outcome: 'failed', reason: 'it crashed.\nMore' },
    { ...common, outcome: 'failed', reason: 'no memory' },
  ]).map(({ text }) => text)).toEqual(['Generation 3, release r3, is live, after 2.6 s.', 'Generation 3, release r4, failed: it crashed.', 'A release failed: no memory.'])
})

describe('the journal', () => {
  const journal = (entries: JournalEntry['fields'][]): { systemd: Systemd; asked: JournalQuery[] } => {
    const asked: JournalQuery[] = []
    return { asked, systemd: { scope: 'system', journal: async (query: JournalQuery) => (asked.push(query), entries.map((fields) => ({ at: 0, fields }))) } as unknown as Systemd }
  }

  it('tells what became of the requests of a drain, of each process once', async () => {
    const { systemd, asked } = journal([drained, { ...drained, REQUESTS_CUT: '2' }, { ...drained, _SYSTEMD_UNIT: 'shop@7.2.service' }, { ...drained, _SYSTEMD_UNIT: 'shop@6.1.service' }])
    expect(await readDrain(systemd, 'shop', 7, 1_000)).toEqual({ requestsAnswered: 24, requestsAborted: 0, requestsCut: 3 })
    expect(asked[0]).toMatchObject({ since: '1970-01-01T00:00:01.000Z', match: { HOLDFAST_GENERATION: ['7'] } })
    expect(await readDrain(journal([]).systemd, 'shop', 7, 0)).toBeUndefined()
  })
  it('is closed to whom it shows nothing of the manager', async () => {
    expect(await canReadJournal(journal([]).systemd)).toBe(false)
    const { systemd, asked } = journal([{ _PID: '1' }])
    expect(await canReadJournal(systemd)).toBe(true)
    expect(asked[0]).toMatchObject({ match: { _PID: ['1'] }, limit: 1 })
  })
})
