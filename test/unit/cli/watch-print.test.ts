import { it } from 'vitest'
import { renderLine } from '../../../src/cli/terminal-line.js'
import { watchFrame } from '../../../src/cli/watch-frame.js'
import { instance, unit } from './observed.js'
import { model, now, rates, report, view } from './watched.js'
import { writeFileSync } from 'node:fs'

it('prints', () => {
  let out = ''
  const show = (m: ReturnType<typeof model>, columns: number, rows = 24) => {
    out += `---- ${columns}x${rows}\n` + watchFrame(m, { columns, rows }, now).map((l) => renderLine(l, { colour: false })).join('\n') + '\n'
  }
  const live = { generation: 43, release: '20261121-104101-463437', processes: 2, since: '2026-01-01T00:03:10.000Z' }
  const m = model({
    view: view({
      live, releases: new Map([[43, live.release], [42, '20261120-091500-41d0be']]),
      instances: [
        instance(43, { memory: 54 * 2 ** 20, status: 'serving http (127.0.0.1:8080)', activeSince: '2026-01-01T00:03:08Z' }, 1), instance(43, { mainPid: 200, activeSince: '2026-01-01T00:03:08Z' }, 2),
        instance(42, { active: 'deactivating', sub: 'stop-sigterm', status: 'draining: 3 requests, 1 job (nightly-report, 4 min), 12 WebSockets' }, 1),
        instance(41, { active: 'failed', sub: 'failed', result: 'exit-code', exit: { how: 'exited', status: 1 } }, 1),
      ],
    }, {
      '43.1': { report: report({ connections: 480, inFlight: 12, webSockets: 30, eventStreams: 4 }), rates: rates() },
      '43.2': { report: report({ connections: 310, inFlight: 7 }), rates: rates({ requestsPerSecond: 811, errors: 3, errorsPerSecond: 0.6, p95Ms: 230 }) },
      '42.1': { report: report({ connections: 15, inFlight: 3, webSockets: 12, jobs: 1 }), rates: rates({ requestsPerSecond: 0.4, p50Ms: 1830, p95Ms: 2400 }) },
    }, rates({ requestsPerSecond: 2045.4, errors: 3, errorsPerSecond: 0.6 })),
    story: [
      { at: now - 14000, event: 'deploy-started', text: 'Starting generation 43 from the new release 20261121-104101-463437; generation 42 is live. A restart takes /srv/shop.', generation: 43, release: null },
      { at: now - 12000, event: 'candidate-ready', text: 'Generation 43 is ready after 0.8 s; it is watched for 2 s.', generation: 43, release: null },
      { at: now - 10000, event: 'deploy-live', text: 'Generation 43 is live: release 20261121-104101-463437, after 2.8 s.', generation: 43, release: null },
      { at: now - 10000, event: 'drain-started', text: 'Generation 42 is told to stop accepting and to drain.', generation: 43, release: null },
    ],
  })
  show(m, 80); show(m, 200); show(m, 80, 10); show(m, 40)
  const d = model({
    view: view({
      deploy: { isRunning: true, record: { id: 'x', kind: 'deploy', by: 'anna@192.0.2.7', what: 'shop-1.4.2.tar.gz', since: '2026-01-01T00:03:00Z', step: 'install', release: 'r3' } },
      held: { generation: 3, release: '20261121-104101-463437', processes: 1, kind: 'hold', since: '2026-01-01T00:01:00Z', expires: '2026-01-01T01:01:00Z', afterDrain: false, by: 'anna' },
      instances: [{ ...instance(3), heldBack: true }, instance(2, { status: 'ünïcode 日本語 status \u001b[31m' })],
    }),
    deploy: [{ type: 'deploy', kind: 'deploy', id: 'x', app: 'shop', by: 'anna', what: 'y', at: '', steps: ['fetch', 'unpack', 'install'] }, { type: 'step', step: 'install', state: 'began', at: '2026-01-01T00:03:03Z' }, { type: 'output', step: 'install', line: 'added 412 packages in 9s' }],
  })
  d.view!.mayAsk = false
  show(d, 80); show(d, 200)
  show(model({ view: view({ instances: [instance(3)], service: unit('shop.service', { active: 'failed' }) }), fault: 'systemctl show ended with status 1: Transport endpoint is not connected' }), 80)
  writeFileSync('/tmp/h5-frames.txt', out)
})
