import { describe, expect, it } from 'vitest'
import { listText, statusText } from '../../../src/cli/status-text.js'
import { exitStatusOf, statusOf } from '../../../src/deploy/observe/app-status.js'
import type { AppObservation } from '../../../src/deploy/observe/observe-app.js'
import type { HistoryEntry } from '../../../src/release/history.js'
import { release } from '../deploy/releases.js'
import { instance, listener, observed, unit } from './observed.js'

const now = Date.parse('2026-01-01T02:05:00Z')
const noLive: Partial<AppObservation> = { live: undefined, lastHandover: undefined, instances: [], releases: new Map() }
const failed = { active: 'failed', sub: 'failed', result: 'exit-code' }
const inactive = { active: 'inactive', sub: 'dead' }

describe('the state of an app', () => {
  const cases: [string, Partial<AppObservation>, string, 0 | 1 | 3][] = [
    ['as recorded', {}, 'live', 0],
    ['with an older generation that drains', { instances: [instance(2), instance(1, { active: 'deactivating', sub: 'stop-sigterm' })] }, 'live', 0],
    ['a worker without listeners', { listeners: [], activate: undefined }, 'live', 0],
    ['a handover', { service: unit('shop.service', { active: 'activating', sub: 'start' }), instances: [instance(2), instance(3, { active: 'activating', sub: 'start' })] }, 'handover', 0],
    ['a reload whose candidate settles', { service: unit('shop.service', { active: 'reloading', sub: 'reload' }), instances: [instance(2), instance(3)] }, 'handover', 0],
    ['the first handover', { ...noLive, service: unit('shop.service', { active: 'activating', sub: 'start' }), instances: [instance(1, { active: 'activating', sub: 'start' })] }, 'handover', 3],
    ['a failed deploy', { service: unit('shop.service', failed) }, 'failed-deploy', 0],
    ['a failed deploy, and nothing up', { service: unit('shop.service', failed), instances: [] }, 'down', 3],
    ['systemd waiting to try again', { service: unit('shop.service', { active: 'activating', sub: 'auto-restart' }), instances: [] }, 'down', 3],
    ['the live instance stopped by hand', { instances: [instance(2, inactive)] }, 'idle', 3],
    ['the live instance gone from memory', { instances: [] }, 'idle', 3],
    ['a worker stopped by hand', { instances: [], listeners: [], activate: undefined }, 'down', 3],
    ['an activation', { instances: [], activate: unit('shop-activate.service', { active: 'activating', sub: 'start' }) }, 'starting', 3],
    ['one of two processes gone', { live: { generation: 2, release: 'r2', processes: 2, since: '2026-01-01T00:00:00.000Z' } }, 'degraded', 1],
    ['a leftover of a handover', { instances: [instance(2), instance(3)] }, 'degraded', 1],
    ['only a leftover', { instances: [instance(3)] }, 'degraded', 1],
    ['a socket that failed', { listeners: [listener({ active: 'failed', result: 'resources' })] }, 'degraded', 1],
    ['the drain unit stopped by hand', { drain: unit('shop-drain.service', inactive), instances: [], listeners: [listener(inactive)] }, 'down', 3],
    ['the drain unit never started', { drain: unit('shop-drain.service', inactive) }, 'degraded', 1],
    ['the release deleted', { missingFiles: ['/x/release'] }, 'degraded', 1],
    ['a stop under way', { service: unit('shop.service', inactive), drain: unit('shop-drain.service', { active: 'deactivating', sub: 'stop' }), instances: [instance(2, { active: 'deactivating' })] }, 'stopping', 3],
    ['stopped', { service: unit('shop.service', inactive), drain: unit('shop-drain.service', inactive), listeners: [listener(inactive)], instances: [] }, 'stopped', 3],
    ['stopped after a failed deploy', { service: unit('shop.service', failed), drain: unit('shop-drain.service', inactive), listeners: [listener(inactive)], instances: [] }, 'stopped', 3],
    ['a restart that stops the app', { service: unit('shop.service', { active: 'deactivating', sub: 'stop' }), drain: unit('shop-drain.service', { active: 'deactivating', sub: 'stop' }), jobs: { service: 'restart', drain: 'restart' } }, 'handover', 0],
    ['a restart between its stop and its start', { service: unit('shop.service', inactive), drain: unit('shop-drain.service', inactive), jobs: { service: 'start', drain: 'start' } }, 'handover', 0],
    ['a restart whose drain unit is up again', { service: unit('shop.service', inactive), jobs: { service: 'start', drain: undefined } }, 'handover', 0],
    ['a restart after a failed deploy', { service: unit('shop.service', failed), drain: unit('shop-drain.service', { active: 'deactivating', sub: 'stop' }), jobs: { service: 'start', drain: 'restart' } }, 'handover', 0],
    ['a start of what was stopped', { service: unit('shop.service', inactive), drain: unit('shop-drain.service', inactive), jobs: { service: 'start', drain: 'start' }, listeners: [listener(inactive)], instances: [] }, 'handover', 3],
    ['a stop that is about to begin', { service: unit('shop.service', inactive), jobs: { service: undefined, drain: 'stop' } }, 'stopping', 0],
    ['nothing recorded', noLive, 'empty', 3],
    ['nothing recorded, and the first deploy failed', { ...noLive, service: unit('shop.service', failed) }, 'down', 3],
  ]
  it.each(cases)('%s', (_, change, state, exit) => {
    const status = statusOf(observed(change))
    expect(status.state).toBe(state)
    expect(exitStatusOf(status)).toBe(exit)
  })
})

it('a restart has no problems of its own, and a preview that it has yet to open is none', () => {
  const preview = { address: '127.0.0.1:8090', state: unit('shop-preview.socket', inactive) }
  for (const drain of [unit('shop-drain.service', { active: 'deactivating', sub: 'stop' }), unit('shop-drain.service', inactive), unit('shop-drain.service')]) {
    const restarted = { preview, drain, service: unit('shop.service', inactive) }
    expect(statusOf(observed({ ...restarted, jobs: { service: 'start', drain: 'restart' } })).problems).toEqual([])
    expect(statusOf(observed({ ...restarted, service: unit('shop.service', { active: 'activating', sub: 'start' }) })).problems.map(({ what }) => what)).not.toContain('shop.service is stopped, but instances run')
  }
})

it('what is wanted is told while nothing is brought up', () => {
  const wanted = { word: '1.3.0', release: 'r3' }
  expect(statusText(statusOf(observed({ wanted })), now)).toContain('wanted    1.3.0 (release r3): systemctl restart shop brings it up')
  expect(statusText(statusOf(observed({ wanted, service: unit('shop.service', { active: 'activating', sub: 'start' }) })), now)).not.toContain('wanted')
  expect(statusText(statusOf(observed({ wanted, deploy: { isRunning: true, record: undefined } })), now)).not.toContain('wanted')
  expect(statusOf(observed({ wanted, deploy: { isRunning: true, record: undefined } })).wanted).toEqual({ text: '1.3.0', release: 'r3' })
})

it.each([['hold', 'held'], ['canary', 'canary']] as const)('the line of an app tells what waits: %s', (kind, word) => {
  const held = { generation: 43, release: 'r43', processes: 1, kind, since: '2026-01-01T00:00:00.000Z', afterDrain: false }
  expect(listText([statusOf(observed({ held, instances: [instance(2), instance(43)] }))], now)).toMatch(new RegExp(`^shop {2}live, ${word} 43 {2}generation 2 {2}`))
})

describe('a problem names the units and a command', () => {
  const problemsOf = (change: Partial<AppObservation>) => statusOf(observed(change)).problems
  it('for the recorded generation that does not run', () => {
    expect(problemsOf({ instances: [] })).toEqual([
      { what: 'generation 2 is recorded as live, but shop@2.1.service is inactive', mend: 'systemctl start shop@2.1.service' },
    ])
  })
  it('and stops a leftover only while the live one serves', () => {
    expect(problemsOf({ instances: [instance(2), instance(3)] })[0]?.mend).toBe('systemctl stop shop@3.1.service')
    expect(problemsOf({ instances: [instance(3)] }).map(({ mend }) => mend)).toEqual(['systemctl start shop@2.1.service', 'systemctl restart shop'])
  })
  it('for a socket, by whether the address is still held', () => {
    const listeners = [listener({ active: 'failed', result: 'resources' })]
    expect(problemsOf({ listeners })[0]).toEqual({
      what: 'shop-http.socket is failed (resources): only what runs now still answers on 127.0.0.1:8080, and no later generation can',
      mend: 'systemctl stop shop; systemctl start shop   # refuses new connections to 127.0.0.1:8080 for about a second',
    })
    expect(problemsOf({ listeners, instances: [] })[1]?.mend).toBe('systemctl start shop-http.socket')
  })
  it('for a preview that nobody can open, which makes nothing of the app worse', () => {
    const preview = { address: '127.0.0.1:8090', state: unit('shop-preview.socket', { active: 'failed', result: 'resources' }) }
    expect(statusOf(observed({ preview }))).toMatchObject({
      state: 'live',
      preview: { address: '127.0.0.1:8090', unit: 'shop-preview.socket', active: 'failed' },
      problems: [{ what: 'shop-preview.socket is failed (resources): nobody sees a held release on 127.0.0.1:8090', mend: 'systemctl start shop-preview.socket' }],
    })
    expect(problemsOf({ preview: { ...preview, state: unit('shop-preview.socket') } })).toEqual([])
    const down = { active: 'inactive', sub: 'dead' }
    expect(problemsOf({ preview, service: unit('shop.service', down), drain: unit('shop-drain.service', down), listeners: [listener(down)], instances: [] })).toEqual([])
  })
  it('for an instance that keeps crashing', () => {
    const instances = [instance(2, { active: 'activating', sub: 'auto-restart', restarts: 4, exit: { how: 'exited', status: 3 }, result: 'exit-code' })]
    expect(problemsOf({ instances })).toEqual([
      { what: 'shop@2.1.service keeps ending: its last run exited with status 3; restarted 4 times', mend: 'journalctl -u shop@2.1.service -n 50' },
    ])
  })
  it('in a user’s own manager too', () => {
    const base = observed({ instances: [] })
    expect(statusOf({ ...base, paths: { ...base.paths, scope: 'user' } }).problems[0]?.mend).toBe('systemctl --user start shop@2.1.service')
  })
})

describe('the text', () => {
  it('shows what serves, what drains and what they say', () => {
    const instances = [
      instance(1, { active: 'deactivating', sub: 'stop-sigterm', status: 'draining: 2 requests' }),
      instance(2, { status: 'serving\u001b[2J all', restarts: 1 }),
    ]
    expect(statusText(statusOf(observed({ instances, releases: new Map([[1, 'r1'], [2, 'r2']]) })), now).split('\n').slice(0, 8)).toEqual([
      'shop: live',
      expect.stringMatching(/^ {2}live {6}generation 2, release r2, since 2026-01-01 .* \(2 h 5 min ago\)$/),
      '  service   shop.service is active',
      '  listener  http  127.0.0.1:8080  listening (shop-http.socket)',
      '  handover  2 h 5 min ago: live after 1.2 s',
      '',
      '  2.1  live      2 h 5 min  pid 102  50.0M  restarted once; "serving [2J all"',
      '  1.1  draining  2 h 4 min  pid 101  50.0M  waits for 2 requests',
    ])
  })
  it('shows what a drain waits for, in numbers too', () => {
    const older = (change: Parameters<typeof instance>[1]) => statusOf(observed({ instances: [instance(2), instance(1, change)] })).instances[1]
    const text = 'draining: 3 requests, 1 job (nightly-report, 4 min), 12 WebSockets'
    expect(older({ active: 'deactivating', status: text })).toMatchObject({
      status: text, waiting: { requests: 3, jobs: 1, webSockets: 12, eventStreams: 0, tunnels: 0, connections: 0, hooks: 0 },
    })
    const shown = statusText(statusOf(observed({ instances: [instance(1, { active: 'deactivating', status: text })] })), now)
    expect(shown).toMatch(/50\.0M {2}waits for 3 requests, 1 job \(nightly-report, 4 min\), 12 WebSockets$/m)
    expect(older({ active: 'deactivating', status: 'draining: nothing in flight' })?.waiting).toMatchObject({ requests: 0, hooks: 0 })
    expect(older({ active: 'deactivating', status: 'finishing what I do' })?.waiting).toBeNull()
    // What an app that is not told to drain says of itself is its own matter.
    expect(older({ status: text })?.waiting).toBeNull()
  })
  it('tells why the last handover failed, and the mend of each problem', () => {
    const text = statusText(
      statusOf(observed({
        service: unit('shop.service', failed),
        lastHandover: { at: '2026-01-01T02:04:00.000Z', generation: 3, release: 'r3', outcome: 'failed', reason: 'shop@3.1.service exited with status 1 before it was ready', durationMs: 300 },
        instances: [instance(2), instance(9)],
      })),
      now,
    )
    expect(text).toContain('shop: serving, but not as recorded\n')
    expect(text).toContain('  handover  1 min ago: generation 3, release r3, failed after 0.3 s: shop@3.1.service exited with status 1 before it was ready\n')
    expect(text).toContain('  Problem: shop@9.1.service runs beside generation 2')
    expect(text).toContain('\n  Try: systemctl stop shop@9.1.service')
  })
  it('calls what became of the last handover by its name', () => {
    const shown = (outcome: HistoryEntry['outcome'], reason?: string): string =>
      statusText(statusOf(observed({ lastHandover: { at: '2026-01-01T02:04:00.000Z', generation: 3, release: 'r3', outcome, durationMs: 300, ...(reason === undefined ? {} : { reason }) } })), now)
    const begin = '  handover  1 min ago: generation 3, release r3,'
    expect(shown('held')).toContain(`${begin} held after 0.3 s\n`)
    expect(shown('migrated')).toContain(`${begin} migrated only, after 0.3 s\n`)
    expect(shown('aborted', 'anna aborted it')).toContain(`${begin} discarded: anna aborted it\n`)
    expect(shown('rolled-back', 'it was slow')).toContain(`${begin} rolled back after 0.3 s: it was slow\n`)
    expect(shown('interrupted')).toContain(`${begin} interrupted after 0.3 s: no reason recorded\n`)
  })
  it('has a line for each app', () => {
    expect(listText([statusOf(observed()), statusOf(observed({ ...noLive }))], now)).toBe(
      'shop  live   generation 2  r2  2 h 5 min ago  127.0.0.1:8080\nshop  empty  -             -   -              127.0.0.1:8080',
    )
  })
})

describe('what is recorded beyond what runs', () => {
  const record = { id: 'd1', by: 'ann@laptop', what: 'shop-1.2.zip', since: '2026-01-01T02:00:00.000Z', step: 'migrate' as const }
  const lines = (change: Partial<AppObservation>): string[] => statusText(statusOf(observed(change)), now).split('\n')

  it('has the version and the source of what is live', () => {
    const liveRelease = release('r2', { version: '1.2.0', source: { kind: 'archive', name: 'shop-1.2.zip', sha256: 'x' } })
    expect(statusOf(observed({ liveRelease })).live).toMatchObject({ version: '1.2.0', source: 'shop-1.2.zip' })
    expect(statusOf(observed()).live).toMatchObject({ version: null, source: null })
    expect(lines({ liveRelease })).toEqual(expect.arrayContaining([expect.stringMatching(/^ {2}live {6}generation 2, release r2 \(1\.2\.0\), since /), '  source    shop-1.2.zip']))
  })
  it('tells a deploy that is under way', () => {
    const change = { deploy: { isRunning: true, record } }
    const status = statusOf(observed(change))
    expect(status).toMatchObject({ state: 'live', problems: [], deploy: { running: true, id: 'd1', by: 'ann@laptop', what: 'shop-1.2.zip', since: record.since, step: 'migrate' } })
    expect(lines(change)).toContainEqual(expect.stringMatching(/^ {2}deploy {4}ann@laptop deploys shop-1\.2\.zip since .* \(5 min ago\), step migrate$/))
    expect(lines({ deploy: { isRunning: true, record: { ...record, kind: 'rollback', what: 'release r1' } } })).toContainEqual(expect.stringMatching(/ann@laptop rolls back to release r1 since/))
    expect(lines({ deploy: { isRunning: true, record: undefined } })).toContain('  deploy    one has just begun')
    expect(statusOf(observed({ deploy: { isRunning: true, record: undefined } })).deploy).toEqual({ running: true, kind: 'deploy', id: null, by: null, what: null, since: null, step: null })
  })
  it('tells one that was interrupted, with its mend; what runs is as it should be', () => {
    const status = statusOf(observed({ deploy: { isRunning: false, record } }))
    expect(status).toMatchObject({ state: 'live', serving: true, deploy: { running: false, step: 'migrate' } })
    expect(exitStatusOf(status)).toBe(1)
    expect(status.problems).toEqual([{
      what: 'the deploy of shop-1.2.zip by ann@laptop, begun at 2026-01-01T02:00:00.000Z, was interrupted in step migrate: shop-deploy.service no longer runs',
      mend: 'holdfast apply shop   # or deploy again',
    }])
    expect(lines({ deploy: { isRunning: false, record } }).some((line) => line.startsWith('  deploy '))).toBe(false)
    // Its release is live: only its last words are missing.
    expect(statusOf(observed({ deploy: { isRunning: false, record: { ...record, step: 'handover', release: 'r2' } } })).problems).toEqual([])
  })

  const afterDrain = { release: 'r2', generation: 2, since: '2026-01-01T02:00:00.000Z' }
  const older = [instance(2), instance(1, { active: 'deactivating', sub: 'stop-sigterm' }), instance(1, { active: 'deactivating' }, 2), instance(0, { active: 'failed' })]
  it('tells an after_drain that waits, and for whom', () => {
    const status = statusOf(observed({ afterDrain, instances: older }))
    expect(status).toMatchObject({ state: 'live', problems: [], afterDrain: { release: 'r2', state: 'waiting', since: afterDrain.since, waitsFor: [1] } })
    expect(lines({ afterDrain, instances: older })).toContainEqual(expect.stringMatching(/^ {2}after_drain {2}waits for generation 1: the hook of release r2, since .* \(5 min ago\)$/))
  })
  it('tells one that runs', () => {
    const change = { afterDrain: { ...afterDrain, begun: '2026-01-01T02:04:00.000Z' } }
    expect(statusOf(observed(change)).afterDrain).toEqual({ release: 'r2', state: 'running', since: '2026-01-01T02:04:00.000Z', waitsFor: [] })
    expect(lines(change)).toContainEqual(expect.stringMatching(/^ {2}after_drain {2}runs: the hook of release r2, since .* \(1 min ago\)$/))
  })
  it('tells one that failed, with its mend', () => {
    const change = { afterDrain: { ...afterDrain, begun: '2026-01-01T02:04:00.000Z', failed: 'it exited with status 1' } }
    expect(statusOf(observed(change))).toMatchObject({
      state: 'live', afterDrain: { state: 'failed' },
      problems: [{ what: 'hooks.after_drain of release r2 is not done: it exited with status 1', mend: 'systemctl start shop-after-drain.service' }],
    })
    const liveRelease = release('r2', { afterDrain: { at: '2026-01-01T02:04:00.000Z', outcome: 'failed' } })
    expect(statusOf(observed({ liveRelease })).problems.map(({ what }) => what)).toEqual(['hooks.after_drain of release r2 is not done: it failed at 2026-01-01T02:04:00.000Z'])
    expect(statusOf(observed({ liveRelease: release('r2', { afterDrain: { at: '', outcome: 'done' } }) })).problems).toEqual([])
  })
  it('tells what somebody wrote into the file `wanted`', () => {
    expect(statusOf(observed({ wanted: { word: '1.3', release: 'r3' } }))).toMatchObject({ state: 'live', problems: [], wanted: { text: '1.3', release: 'r3' } })
    expect(lines({ wanted: { word: '1.3', release: 'r3' } })).toContain('  wanted    1.3 (release r3): systemctl restart shop brings it up')
    expect(lines({ wanted: { word: 'r3', release: 'r3' } })).toContain('  wanted    r3: systemctl restart shop brings it up')
    expect(lines({ wanted: { word: '1.4', release: undefined } })).toContain('  wanted    1.4, not on disk yet: systemctl restart shop brings it up')
    expect(statusOf(observed({ wanted: { word: '1.4', release: undefined } })).wanted).toEqual({ text: '1.4', release: null })
  })
})
