import { describe, expect, it } from 'vitest'
import { lineWidth, renderLine } from '../../../src/cli/terminal-line.js'
import { watchFrame, type WatchModel } from '../../../src/cli/watch-frame.js'
import { listFrame } from '../../../src/cli/watch-list-frame.js'
import type { DeployEvent } from '../../../src/deploy/operation/progress.js'
import { instance, listener, unit } from './observed.js'
import { model, now, rates, report, view } from './watched.js'

const release = '20261121-104101-463437'
const live = { generation: 43, release, processes: 2, since: '2026-01-01T00:03:10.000Z' }
const story = [
  { at: now - 14_000, event: 'deploy-started', text: `Starting generation 43 from the new release ${release}; generation 42 is live.`, generation: 43, release },
  { at: now - 10_000, event: 'deploy-live', text: `Generation 43 is live: release ${release}, after 2.8 s.`, generation: 43, release },
]
/** Two processes that serve, one that drains, one that failed. */
const busy = model({
  view: view({
    live, releases: new Map([[43, release], [42, '20261120-091500-41d0be']]),
    instances: [
      instance(43, { status: 'serving http (127.0.0.1:8080)', activeSince: '2026-01-01T00:03:08Z' }, 1),
      instance(43, { mainPid: 200, activeSince: '2026-01-01T00:03:08Z' }, 2),
      instance(42, { active: 'deactivating', sub: 'stop-sigterm', status: 'draining: 3 requests, 1 job (nightly-report, 4 min), 12 WebSockets' }),
      instance(41, { active: 'failed', sub: 'failed', result: 'exit-code', exit: { how: 'exited', status: 1 } }),
    ],
  }, {
    '43.1': { report: report({ connections: 480, inFlight: 12, webSockets: 30, eventStreams: 4 }), rates: rates() },
    '43.2': { report: report({ connections: 310, inFlight: 7 }), rates: rates({ requestsPerSecond: 811, errors: 3, errorsPerSecond: 0.6, p95Ms: 230 }) },
    '42.1': { report: report({ connections: 15, inFlight: 3, webSockets: 12, jobs: 1 }), rates: rates({ requestsPerSecond: 0.4, p50Ms: 1830, p95Ms: 2400 }) },
  }, rates({ requestsPerSecond: 2045.4, errors: 3, errorsPerSecond: 0.6 })),
  story,
})

const drawn = (from: WatchModel, columns: number, rows = 24, colour = false): string[] =>
  watchFrame(from, { columns, rows }, now).map((line) => renderLine(line, { colour }))

/** The first line is told apart: the time in it is that of where the test runs. */
const text = (from: WatchModel, columns: number, rows?: number): string => drawn(from, columns, rows).slice(1).join('\n').replace(/^  \d\d:\d\d:\d\d  /gm, '  TT:TT:TT  ')

describe('the live view of an app', () => {
  it('at 80 columns: notes stand below their row, what has no column among them', () => {
    expect(`\n${text(busy, 80)}`).toBe(`
  live      generation 43, release ${release}, 10 s ago
  listener  http 127.0.0.1:8080

        PHASE        FOR  MEMORY  REQ/S  ERR/S     P50     P95  IN FLIGHT  CONNS
  43.1  live        12 s   50.0M   1234      0  1.2 ms   12 ms         12    480
        30 WebSockets, 4 event streams
  43.2  live        12 s   50.0M    811    0.6  1.2 ms  230 ms          7    310
  42.1  draining   2 min   50.0M    0.4      0   1.8 s   2.4 s          3     15
        waits for 3 requests, 1 job (nightly-report, 4 min), 12 WebSockets
  41.1  failed     2 min   50.0M      -      -       -       -          -      -
        exited with status 1
  all                     200.0M   2045    0.6  1.2 ms   12 ms         22    805

  TT:TT:TT  Starting generation 43 from the new release ${release};…
  TT:TT:TT  Generation 43 is live: release ${release}, after 2.8 s.`)
    expect(drawn(busy, 80)[0]).toMatch(/^shop: live {53}\d\d:\d\d:\d\d  q quits$/)
  })

  it('at 200 columns: a column for each number, notes behind the row', () => {
    const shown = text(busy, 200)
    expect(shown).toContain('        PHASE        FOR  MEMORY  REQ/S  ERR/S     P50     P95  IN FLIGHT  CONNS  WEBSOCKETS  STREAMS  JOBS  PID  RELEASE\n')
    expect(shown).toContain(`  43.1  live        12 s   50.0M   1234      0  1.2 ms   12 ms         12    480          30        4     0  143  ${release}\n`)
    expect(shown).toContain('41d0be  waits for 3 requests, 1 job (nightly-report, 4 min), 12 W')
    expect(shown).toContain(`Starting generation 43 from the new release ${release}; generation 42 is live.\n`)
  })

  it.each([[200, 60], [80, 24], [80, 9], [61, 12], [40, 5], [20, 3], [7, 2], [1, 1]])('is never larger than a screen of %i columns and %i rows', (columns, rows) => {
    for (const one of [busy, model({ fault: 'systemctl show ended with status 1: '.repeat(9) }), model({ app: '日本'.repeat(30) })]) {
      const lines = watchFrame(one, { columns, rows }, now)
      expect(lines.length).toBeLessThanOrEqual(rows)
      for (const line of lines) expect(lineWidth(line)).toBeLessThanOrEqual(columns)
    }
  })

  it('tells how much there is no room for, events first of all', () => {
    const lines = drawn(busy, 80, 14)
    expect(lines.join('\n')).not.toContain('Starting')
    expect(lines).toHaveLength(13)
    expect(drawn(busy, 80, 17).join('\n')).toMatch(/all .*\n\n.*Starting.*\n.*is live/)
    expect(drawn(busy, 80, 10).at(-1)).toBe('  … 4 more')
  })

  it('has columns that stay where they are while numbers grow', () => {
    const at = (requestsPerSecond: number, p95Ms: number): number[] => {
      const one = view({}, { '2.1': { report: report({ inFlight: 3 }), rates: rates({ requestsPerSecond, p95Ms }) } })
      const head = drawn(model({ view: one }), 80).find((line) => line.includes('REQ/S')) as string
      return ['REQ/S', 'P95', 'IN FLIGHT'].map((word) => head.indexOf(word))
    }
    expect(at(0, 0.4)).toEqual(at(99_999, 9_400))
  })

  it('shows a deploy with its step, what it says and how far it is', () => {
    const change: Parameters<typeof view>[0] = { deploy: { isRunning: true, record: { id: 'x', kind: 'deploy', by: 'anna@192.0.2.7', what: 'shop-1.4.2.tar.gz', since: '2026-01-01T00:03:00Z', step: 'install', release: 'r3' } } }
    const begun = { type: 'deploy', kind: 'deploy', id: 'x', app: 'shop', by: 'anna', what: 'y', at: '', steps: ['fetch', 'unpack', 'install'] } satisfies DeployEvent
    const shown = text(model({
      view: view(change),
      deploy: [begun, { type: 'step', step: 'install', state: 'began', at: '2026-01-01T00:03:03Z' }, { type: 'output', step: 'install', line: '\u001b[31madded 412 packages' }],
    }), 80)
    expect(shown).toContain('  deploy    anna@192.0.2.7 deploys shop-1.4.2.tar.gz, 20 s\n  step      install (3 of 3)  17 s\n            added 412 packages\n')
    const fetching = text(model({ view: view(change), deploy: [begun, { type: 'step', step: 'fetch', state: 'began', at: '2026-01-01T00:03:19Z' }, { type: 'progress', step: 'fetch', done: 50 * 2 ** 20, total: 100 * 2 ** 20, unit: 'bytes' }] }), 80)
    expect(fetching).toContain('  step      fetch (1 of 3)  1 s  [############------------]  50.0M of 100.0M\n')
    // Whoever may not read the events has the record.
    expect(text(model({ view: view(change) }), 80)).toContain('  step      install\n')
  })

  it('shows what is held, and what takes it on', () => {
    const held = { generation: 3, release: 'r3', processes: 1, kind: 'hold', since: '2026-01-01T00:01:00Z', expires: '2026-01-01T01:01:00Z', afterDrain: false } as const
    const shown = text(model({ view: view({ held, instances: [{ ...instance(3), heldBack: true }, instance(2)] }) }), 80)
    expect(shown).toContain('  held      generation 3, release r3, 2 min ago, expires in 57 min\n            holdfast promote shop, or holdfast abort shop\n')
    expect(shown).toMatch(/^  3\.1  held +3 min /m)
    const canary = text(model({ view: view({ held: { ...held, kind: 'canary', processes: 2 } }) }), 80)
    expect(canary).toContain('  canary    generation 3, release r3, 2 processes, 2 min ago, expires in 57 min\n')
  })

  it('names problems with their mend, what has failed, and what does not listen', () => {
    const shown = text(model({ view: view({
      instances: [], service: unit('shop.service', { active: 'failed' }), listeners: [listener(), listener({ active: 'failed', result: 'resources' })],
      lastHandover: { at: '2026-01-01T00:03:00Z', generation: 3, release: 'r3', outcome: 'failed', reason: 'it crashed\u001b[2J', durationMs: 900 },
    }) }), 80)
    expect(shown).toContain('  handover  20 s ago: generation 3, release r3, failed after 0.9 s: it crashed\n            [2J\n')
    expect(shown).toContain('  listener  http 127.0.0.1:8080: shop-http.socket is failed\n')
    const held = { at: '2026-01-01T00:03:00Z', generation: 3, release: 'r3', outcome: 'held', durationMs: 900 } as const
    expect(text(model({ view: view({ lastHandover: held }) }), 80)).not.toContain('handover')
    expect(shown).toContain('  service   shop.service is failed: systemctl status shop.service\n')
    expect(shown).toContain('  Problem: generation 2 is recorded as live, but shop@2.1.service is inactive\n  Try: systemctl start shop@2.1.service\n')
  })

  it('says who sees more, and from when it is', () => {
    expect(text(model({ view: { ...view(), mayAsk: false } }), 200)).toContain('  Requests, latency and connections are for root to see: sudo holdfast status shop --watch')
    expect(text(model(), 200)).not.toContain('sudo')
    expect(text(model({ view: { ...view(), at: now - 5_000 }, fault: 'no bus' }), 80)).toContain('  As of 5 s ago; since then: no bus\n')
    expect(text(model({ view: undefined, fault: 'no bus' }), 80)).toBe('  Not seen yet: no bus')
  })

  it('keeps what apps say from the terminal', () => {
    const shown = drawn(model({
      view: view({ instances: [instance(2, { status: 'a\u001b[2J\u0007b\u202e' })] }),
      story: [{ at: now, event: 'x', text: 'fine', generation: null, release: null }],
    }), 200).join('\n')
    // eslint-disable-next-line no-control-regex
    expect(shown).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/)
    expect(shown).toContain('"a [2J b"')
  })

  it('has colours, and none', () => {
    const coloured = drawn(busy, 80, 24, true).join('\n')
    expect(coloured).toContain('\u001b[32m  live    \u001b[0m')
    expect(coloured).toContain('\u001b[33m  draining\u001b[0m')
    expect(coloured).toContain('\u001b[31m    0.6\u001b[0m')
    expect(drawn(busy, 80).join('\n')).not.toContain('\u001b')
    // Colours change nothing else.
    // eslint-disable-next-line no-control-regex
    expect(coloured.replace(/\u001b\[\d+m/g, '').split('\n').map((line) => line.trimEnd())).toEqual(drawn(busy, 80))
  })
})

describe('the list of apps', () => {
  const list = (columns: number): string[] => listFrame([
    { app: 'shop', view: view({ instances: [instance(2), instance(1, { active: 'deactivating' })] }, { '2.1': { report: report(), rates: rates() } }, rates()), fault: undefined },
    { app: 'worker', view: view({ instances: [] }), fault: undefined },
    { app: 'broken', view: undefined, fault: 'state.json cannot be read' },
  ], { columns, rows: 24 }, now).map((line) => renderLine(line, { colour: false }))

  it('has a line for each', () => {
    expect(list(80)[0]).toMatch(/^holdfast: 3 apps, 2 with problems +\d\d:\d\d:\d\d  q quits$/)
    expect(list(80).slice(1)).toEqual([
      '',
      '  APP     STATE    GEN    FOR  REQ/S  ERR/S    P95  RUNS',
      '  shop    live       2  3 min   1234      0  12 ms  1 live, 1 draining',
      '  worker  idle       2  3 min      -      -      -  generation 2 is recorded as…',
      '  broken  unknown    -      -      -      -      -  state.json cannot be read',
    ])
    for (const line of list(30)) expect(line.length).toBeLessThanOrEqual(30)
  })

  it('says what to do with none', () => {
    expect(listFrame([], { columns: 80, rows: 24 }, now).map((line) => renderLine(line, { colour: false })).at(-1)).toContain('holdfast init')
  })
})
