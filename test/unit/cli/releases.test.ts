import { chdir, cwd } from 'node:process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { chooseApp } from '../../../src/cli/choose-app.js'
import { historyText } from '../../../src/cli/history.js'
import { pruneAnswer, pruneText } from '../../../src/cli/prune.js'
import { releasesText } from '../../../src/cli/releases.js'
import { durationWords } from '../../../src/cli/words.js'
import { readDrainSums } from '../../../src/deploy/observe/drain-sums.js'
import { listHistory } from '../../../src/deploy/observe/list-history.js'
import { rowsOf, type ListedFacts } from '../../../src/deploy/observe/list-releases.js'
import { folderBytes } from '../../../src/release/folder-size.js'
import type { HistoryEntry } from '../../../src/release/history.js'
import { pathsOf, placesOf } from '../../../src/release/paths.js'
import { sourceWords } from '../../../src/release/source-words.js'
import { parseJournal } from '../../../src/systemd/systemctl.js'
import type { JournalEntry, JournalQuery, Systemd } from '../../../src/systemd/systemd.js'
import { historyOf, release } from '../deploy/releases.js'

const paths = pathsOf(placesOf('system'), 'shop')
const commit = '3fa9c1d'.padEnd(40, '0')

describe('a source in a few words', () => {
  const directory = { kind: 'directory' as const, path: '/srv/shop', snapshot: true }
  it.each([
    [{ source: directory }, '/srv/shop'],
    [{ source: { ...directory, snapshot: false } }, '/srv/shop in place'],
    [{ source: { kind: 'archive' as const, name: 'shop-1.2.zip', sha256: 'x' } }, 'shop-1.2.zip'],
    [{ source: { kind: 'archive' as const, name: 'standard input', sha256: 'x' } }, 'standard input'],
    [{ source: { kind: 'archive' as const, name: 'x.tgz', url: 'https://builds.example/shop/releases/x.tgz', sha256: 'x' } }, 'https://…/x.tgz'],
    [{ source: { kind: 'archive' as const, name: 'x.tgz', url: 'https://a.example/x.tgz', sha256: 'x' } }, 'https://a.example/x.tgz'],
    [{ source: { kind: 'git' as const, repository: 'git@git.example.org:company/team/shop.git', branch: 'main', commit } }, 'main@3fa9c1d of git@…/shop.git'],
    [{ source: { kind: 'git' as const, repository: 'ssh://git@git.example.org/company/shop.git', branch: 'main', commit } }, 'main@3fa9c1d of ssh://…/shop.git'],
    [{ source: { kind: 'git' as const, repository: '/srv/git/shop.git', branch: 'main', commit }, overlay: { name: 'x.tgz', sha256: 'x' } }, 'main@3fa9c1d of /srv/git/shop.git + overlay x.tgz'],
  ])('%#', (given, words) => expect(sourceWords(given)).toBe(words))
})

const facts = (change: Partial<ListedFacts>): ListedFacts => ({
  releases: [], live: undefined, held: undefined, wanted: undefined, waiting: undefined, rollbackTarget: undefined, instances: [], sizeOf: () => undefined, ...change,
})

describe('the list of releases', () => {
  const listed = facts({
    releases: [
      release('r1', { createdAt: '2026-01-01T00:00:00.000Z', sizeBytes: 1, afterDrain: { at: '2026-01-01T00:00:00.000Z', outcome: 'done' } }),
      release('r2', { createdAt: '2026-01-02T00:00:00.000Z', version: '1.2.0' }),
      release('r3', { createdAt: '2026-01-02T20:00:00.000Z', outcome: 'failed', failure: 'shop@3.1.service exited\u001b[2J with status 1' }),
      release('r4', { createdAt: '2026-01-02T22:00:00.000Z', source: { kind: 'git', repository: '/srv/git/shop.git', branch: 'main', commit } }),
      release('r5', { createdAt: '2026-01-02T23:00:00.000Z', outcome: 'untried' }),
    ],
    live: { generation: 4, release: 'r4' },
    wanted: 'r5',
    waiting: 'r4',
    rollbackTarget: 'r2',
    instances: [
      { release: 'r4', generation: 4, phase: 'live' }, { release: 'r2', generation: 2, phase: 'draining' }, { release: 'r2', generation: 2, phase: 'draining' },
      { release: 'r1', generation: 1, phase: 'failed' }, { release: 'r5', generation: 5, phase: 'starting' },
    ],
    sizeOf: ({ id }) => (id === 'r5' ? undefined : 47_500_000),
  })

  it('has a line for each, newest first', () => {
    expect(releasesText(rowsOf(listed), Date.parse('2026-01-03T00:00:00.000Z'))).toBe([
      'RELEASE  VERSION  AGE  SIZE   SOURCE                             STATE',
      'r5       -        1 h  -      /srv/shop                          generation 5 runs, wanted, untried',
      'r4       -        2 h  45.3M  main@3fa9c1d of /srv/git/shop.git  live (generation 4), after_drain waits, good',
      'r3       -        4 h  45.3M  /srv/shop                          failed: shop@3.1.service exited [2J with status 1',
      'r2       1.2.0    1 d  45.3M  /srv/shop                          generation 2 drains, rollback goes here, good',
      'r1       -        2 d  45.3M  /srv/shop                          after_drain done, good',
    ].join('\n'))
  })
  it.each([['hold', 'held'], ['canary', 'canary']] as const)('tells what waits: %s', (kind, word) => {
    const rows = rowsOf({ ...listed, held: { generation: 5, release: 'r5', kind }, instances: [{ release: 'r5', generation: 5, phase: word }] })
    expect(releasesText(rows, Date.parse('2026-01-03T00:00:00.000Z'))).toContain(`  ${word} (generation 5), wanted, untried\n`)
    expect(rows[0]).toMatchObject({ held: { generation: 5, kind }, running: [] })
  })
  it('tells a candidate that nobody has let in yet', () => {
    const rows = rowsOf({ ...listed, instances: [{ release: 'r5', generation: 5, phase: 'standby' }] })
    expect(rows[0]?.running).toEqual([5])
  })
  it('has for programs every key of each, null for what there is not', () => {
    expect(rowsOf(listed)[1]).toEqual({
      id: 'r4', version: null, createdAt: '2026-01-02T22:00:00.000Z', source: { kind: 'git', repository: '/srv/git/shop.git', branch: 'main', commit },
      overlay: null, sourceText: 'main@3fa9c1d of /srv/git/shop.git', commit, sizeBytes: 47_500_000, outcome: 'good', failure: null,
      live: 4, held: null, draining: [], running: [], wanted: false, rollbackTarget: false, afterDrain: 'waiting',
    })
    expect(rowsOf(listed)[0]).toMatchObject({ sizeBytes: null, commit: null, live: null, running: [5], wanted: true, afterDrain: null })
    expect(rowsOf(listed)[3]).toMatchObject({ draining: [2], rollbackTarget: true, version: '1.2.0' })
    expect(rowsOf(listed)[4]).toMatchObject({ draining: [], running: [], afterDrain: 'done' })
  })
})

it('the size is that of all files', () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-size-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  mkdirSync(join(folder, 'a/b'), { recursive: true })
  writeFileSync(join(folder, 'a/b/c'), 'x'.repeat(1000))
  writeFileSync(join(folder, 'd'), 'x'.repeat(234))
  expect(folderBytes(folder)).toBe(1234)
  expect(folderBytes(join(folder, 'd'))).toBe(234)
  expect(folderBytes(join(folder, 'gone'))).toBeUndefined()
})

describe('the requests of a drain', () => {
  const history: HistoryEntry[] = historyOf('deploy r1', 'deploy r2', 'deploy r3!', 'deploy r4')
  const at = (iso: string): number => Date.parse(iso)
  const drained = (unit: string, when: string, counts: Record<string, string> = {}): JournalEntry => ({ at: at(when), fields: { _SYSTEMD_UNIT: unit, DURATION_MS: '10', ...counts } })
  const sums = async (entries: JournalEntry[], shown = history): Promise<{ queries: JournalQuery[]; rows: ReturnType<typeof listHistory> }> => {
    const queries: JournalQuery[] = []
    const systemd = { journal: async (query: JournalQuery) => (queries.push(query), entries) } as unknown as Systemd
    return { queries, rows: listHistory(shown, await readDrainSums(paths, systemd, history, shown)) }
  }

  it('are asked for once, of the generations that were replaced', async () => {
    const { queries } = await sums([])
    expect(queries).toEqual([expect.objectContaining({
      match: { HOLDFAST_APP: ['shop'], HOLDFAST_GENERATION: ['1', '2'], PHASE: ['drained', 'drain-cut'] }, since: '2026-01-01T00:58:59.000Z',
    })])
    expect((await sums([], history.slice(0, 1))).queries).toEqual([])
    expect((await sums([], history.slice(3))).queries[0]?.match['HOLDFAST_GENERATION']).toEqual(['2'])
  })
  it('are summed over the processes, and told at the handover that began the drain', async () => {
    const { rows } = await sums([
      drained('shop@1.1.service', '2026-01-01T01:00:01Z', { REQUESTS_ANSWERED: '5' }),
      drained('shop@2.1.service', '2026-01-01T03:15:00Z', { REQUESTS_CUT: '2', REQUESTS_ANSWERED: '3' }),
      drained('shop@2.2.service', '2026-01-01T03:15:00Z', { REQUESTS_CUT: '10', REQUESTS_ABORTED: '1' }),
    ])
    expect(rows.map(({ release, drain }) => [release, drain])).toEqual([
      ['r4', { requestsAnswered: 3, requestsAborted: 1, requestsCut: 12 }], ['r3', null], ['r2', { requestsAnswered: 5, requestsAborted: 0, requestsCut: 0 }], ['r1', null],
    ])
    const text = historyText(rows).split('\n')
    expect(text[1]).toMatch(/ r2 +r4 +1\.0 s +12 cut +live as generation 4$/)
    expect(text[2]).toMatch(/ r2 +r3 +1\.0 s +- +failed: it broke$/)
    expect(text[3]).toMatch(/ r1 +r2 +1\.0 s +0 +live as generation 2$/)
    expect(text[4]).toMatch(/ - +r1 +1\.0 s +- +live as generation 1$/)
  })
  it('are unknown of an earlier app of that name, of another unit, of a line that is no sum', async () => {
    const { rows } = await sums([
      drained('shop@1.1.service', '2026-01-01T00:30:00Z', { REQUESTS_CUT: '9' }),
      drained('evil.service', '2026-01-01T01:00:01Z', { REQUESTS_CUT: '9' }),
      { at: at('2026-01-01T01:00:02Z'), fields: { _SYSTEMD_UNIT: 'shop@1.1.service', PHASE: 'drain-cut' } },
    ])
    expect(rows.every(({ drain }) => drain === null)).toBe(true)
  })
  it('are read from the journal as it comes', () => {
    expect(parseJournal('{"__REALTIME_TIMESTAMP":"1700000000123456","A":"1","B":["x","y"],"C":null}\nnonsense\n')).toEqual([
      { at: 1_700_000_000_123.456, fields: { __REALTIME_TIMESTAMP: '1700000000123456', A: '1' } },
    ])
    expect(parseJournal('')).toEqual([])
  })
})

describe('the history', () => {
  const entries: HistoryEntry[] = [
    { at: '2026-01-01T00:00:00.000Z', generation: 1, release: 'r1', outcome: 'live', durationMs: 2345 },
    { at: '2026-01-01T01:00:00.000Z', kind: 'deploy', by: 'ann@laptop', step: 'migrate', generation: 2, from: 'r1', outcome: 'failed', reason: 'the hook\nfailed', durationMs: 90_000 },
    { at: '2026-01-01T02:00:00.000Z', kind: 'deploy', by: 'ann', step: 'fetch', generation: 2, from: 'r1', outcome: 'interrupted', durationMs: 100 },
    { at: '2026-01-01T03:00:00.000Z', kind: 'start', generation: 2, release: 'r1', from: 'r1', outcome: 'live', durationMs: 2000 },
  ]
  it('has a line for each, newest first; what old lines do not tell is -', () => {
    const lines = historyText(listHistory(entries, new Map())).split('\n').map((line) => line.replace(/^\S+ \S+ +/, ''))
    expect(lines).toEqual([
      expect.stringMatching(/WHAT +FROM +TO +TOOK +REQUESTS +OUTCOME$/),
      '-           start   r1    r1  2.0 s       -         live as generation 2',
      'ann         deploy  r1    -   0.1 s       -         interrupted in step fetch',
      'ann@laptop  deploy  r1    -   1 min 30 s  -         failed in step migrate: the hook failed',
      '-           -       -     r1  2.3 s       -         live as generation 1',
    ])
  })
  it('has for programs every key of each, null for what there is not', () => {
    const [, interrupted, failed, first] = listHistory(entries, new Map())
    expect(first).toEqual({
      at: '2026-01-01T00:00:00.000Z', kind: null, by: null, generation: 1, from: null, release: 'r1', outcome: 'live', step: null, reason: null, durationMs: 2345, drain: null,
    })
    expect(failed).toEqual({
      at: '2026-01-01T01:00:00.000Z', kind: 'deploy', by: 'ann@laptop', generation: null, from: 'r1', release: null, outcome: 'failed', step: 'migrate',
      reason: 'the hook\nfailed', durationMs: 90_000, drain: null,
    })
    expect(interrupted).toMatchObject({ outcome: 'interrupted', step: 'fetch', reason: null })
  })
})

it.each([[0, '0.0 s'], [2345, '2.3 s'], [59_949, '59.9 s'], [59_960, '1 min'], [125_000, '2 min 5 s'], [3_599_600, '1 h'], [7_500_000, '2 h 5 min']])('%i ms took %s', (ms, text) => expect(durationWords(ms)).toBe(text))

describe('what was pruned', () => {
  const remove = [release('r1', { version: '1.0.0' }), release('r2')]
  const pruning = {
    paths,
    plan: { remove, keep: [{ release: release('r4', { version: '1.3.0' }), why: 'live' }, { release: release('r3'), why: 'rollback goes here' }] },
    leftovers: ['/var/lib/holdfast/shop/git/aa.git'],
    sizes: new Map([['/var/lib/holdfast/shop/releases/r1', 1_048_576], ['/var/lib/holdfast/shop/releases/r2', undefined], ['/var/lib/holdfast/shop/git/aa.git', 524_288]]),
  }
  const pruned = { releases: remove, leftovers: pruning.leftovers, stayed: [] }
  it('is told with what stays and why', () => {
    expect(pruneText(pruneAnswer(pruning, pruned, { dryRun: false }))).toBe([
      'removed  r1                                 1.0.0  1.0M',
      'removed  r2                                 -      -',
      'removed  /var/lib/holdfast/shop/git/aa.git  -      512.0K',
      'kept     r4                                 1.3.0  live',
      'kept     r3                                 -      rollback goes here',
      '1.5M freed.',
    ].join('\n'))
    expect(pruneText(pruneAnswer(pruning, pruned, { dryRun: true }))).toMatch(/^would go {2}r1 .*\n(.*\n)*1\.5M would be freed\.$/)
    expect(pruneText(pruneAnswer(pruning, { releases: [], leftovers: [], stayed: [] }, { dryRun: false }))).toMatch(/\nNothing of shop is to be removed\.$/)
  })
  it('tells what stayed although it was to go', () => {
    const stayed = [{ release: release('r2'), why: 'somebody deploys shop' }]
    expect(pruneText(pruneAnswer(pruning, { releases: [], leftovers: [], stayed }, { dryRun: false }))).toMatch(/\nkept +r2 +- +somebody deploys shop\nNothing of shop is to be removed\.$/)
  })
  it('has a shape for programs', () => {
    expect(pruneAnswer(pruning, { ...pruned, releases: remove.slice(0, 1) }, { dryRun: true })).toEqual({
      app: 'shop', dryRun: true, removed: [{ release: 'r1', version: '1.0.0', sizeBytes: 1_048_576 }],
      leftovers: [{ path: '/var/lib/holdfast/shop/git/aa.git', sizeBytes: 524_288 }],
      kept: [{ release: 'r4', version: '1.3.0', why: 'live' }, { release: 'r3', version: null, why: 'rollback goes here' }], freedBytes: 1_572_864,
    })
  })
})

describe('the app that a command is about', () => {
  const machine = (apps: string[], config?: string) => {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-app-'))
    const before = cwd()
    onTestFinished(() => {
      chdir(before)
      rmSync(folder, { recursive: true })
    })
    for (const app of apps) {
      mkdirSync(join(folder, app), { recursive: true })
      writeFileSync(join(folder, app, 'manifest.json'), '{}')
    }
    if (config !== undefined) writeFileSync(join(folder, 'holdfast.toml'), config)
    chdir(folder)
    return { ...placesOf('system'), state: folder }
  }
  it('is the one that is named', () => expect(chooseApp('other', machine(['shop'], 'app = "here"\n'))).toBe('other'))
  it('is that of the folder, whatever else is wrong in its configuration', () => expect(chooseApp(undefined, machine(['shop', 'blog'], 'app = "here"\ncommand = 7\n'))).toBe('here'))
  it('is the only one', () => expect(chooseApp(undefined, machine(['shop']))).toBe('shop'))
  it('is the only one where the folder does not tell', () => expect(chooseApp(undefined, machine(['shop'], 'app = \n'))).toBe('shop'))
  it('must be named among several', () => expect(() => chooseApp(undefined, machine(['shop', 'blog']))).toThrow('which app? installed: blog, shop'))
  it('must be there', () => expect(() => chooseApp(undefined, machine([]))).toThrow('no app is installed'))
})
