import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parseReport, readReport } from '../../../../src/deploy/checks/reports.js'
import { reportSocket } from '../../../../src/release/standby.js'
import { makeApp } from '../app-on-disk.js'
import { report, serveReports } from '../private-servers.js'

const instance = { generation: 2, process: 1 }

describe('readReport', () => {
  it('reads what an instance tells, up to the end of the line or of all', async () => {
    const { paths } = makeApp()
    let said: string | undefined
    await serveReports(paths, instance, (socket) => {
      if (said !== undefined) return said
      socket.write(`${JSON.stringify(report({ requests: 7 }))}\n`) // and does not end
      return undefined
    })
    expect(await readReport(paths, instance)).toEqual(report({ requests: 7 }))
    said = JSON.stringify(report({ requests: 8 }))
    expect(await readReport(paths, instance)).toEqual(report({ requests: 8 }))
    said = `${JSON.stringify(report({ requests: 9 }))}\nmore`
    expect(await readReport(paths, instance)).toEqual(report({ requests: 9 }))
  })

  it('has none where there is no socket, or no socket at its place', async () => {
    const { paths } = makeApp()
    expect(await readReport(paths, instance)).toBeUndefined()
    mkdirSync(dirname(reportSocket(paths, instance)), { recursive: true })
    writeFileSync(reportSocket(paths, instance), JSON.stringify(report()))
    expect(await readReport(paths, instance)).toBeUndefined()
  })

  it.each<[what: string, said: string | Buffer]>([
    ['nothing', ''],
    ['an empty line', '\n'],
    ['no JSON', 'hello\n'],
    ['half of it', JSON.stringify(report()).slice(0, -5)],
    ['bytes', Buffer.from([0xff, 0, 0xfe, 10])],
    ['more than 64 KiB', `${JSON.stringify({ ...report(), more: 'x'.repeat(70_000) })}\n`],
    ['no end', Buffer.alloc(10 << 20, 'x')],
  ])('takes %s for no report', async (_what, said) => {
    const { paths } = makeApp()
    await serveReports(paths, instance, () => said)
    expect(await readReport(paths, instance)).toBeUndefined()
  })

  it('waits only so long, also for one that sends a byte now and then', async () => {
    const { paths } = makeApp()
    await serveReports(paths, instance, (socket) => {
      const timer = setInterval(() => socket.write(' '), 20)
      socket.on('close', () => clearInterval(timer))
      return undefined
    })
    const began = performance.now()
    expect(await readReport(paths, instance, { timeoutMs: 150 })).toBeUndefined()
    expect(performance.now() - began).toBeLessThan(1000)
  })

  it('ends with the signal', async () => {
    const { paths } = makeApp()
    const abort = new AbortController()
    await serveReports(paths, instance, () => {
      abort.abort()
      return undefined
    })
    expect(await readReport(paths, instance, { timeoutMs: 60_000, signal: abort.signal })).toBeUndefined()
    expect(await readReport(paths, instance, { timeoutMs: 60_000, signal: abort.signal })).toBeUndefined()
  })
})

describe('parseReport', () => {
  const changed = (over: Record<string, unknown>): unknown => parseReport(JSON.stringify({ ...report(), ...over }))

  it('leaves out what it does not know', () => {
    expect(changed({ more: 1, requests: 5 })).toEqual(report({ requests: 5 }))
    expect(parseReport(`${JSON.stringify(report()).slice(0, -1)},"__proto__":{"requests":9}}`)).toEqual(report())
  })

  it.each<[Record<string, unknown>]>([
    [{ version: 2 }], [{ version: '1' }], [{ pid: 0 }], [{ pid: -1 }], [{ pid: 1.5 }], [{ pid: null }],
    [{ startedAt: 'yesterday' }], [{ startedAt: 5 }], [{ startedAt: '2026-13-01T00:00:00Z' }], [{ startedAt: '2026-01-01T00:00:00Z\u001b[2J' }],
    [{ accepting: 1 }], [{ draining: 'no' }], [{ connections: -1 }], [{ inFlight: '3' }], [{ webSockets: null }], [{ eventStreams: [] }], [{ jobs: {} }],
    [{ requests: -1 }], [{ requests: 1e300 }], [{ requests: 0.5 }], [{ errors: undefined }],
    [{ latency: undefined }], [{ latency: [] }], [{ latency: report().latency.slice(1) }], [{ latency: [...report().latency, 0] }], [{ latency: report().latency.map(() => -1) }],
    [{ latency: report().latency.map(() => '1') }], [{ latency: {} }], [{ latency: ['x'] }], [{ requests: '1} evil 1' }], [{ errors: null }], [{ jobs: null }],
  ])('takes %j for none', (over) => expect(changed(over)).toBeUndefined())

  it.each(['null', '[]', '1', '"x"', '{}', 'true'])('takes %s for none', (text) => expect(parseReport(text)).toBeUndefined())
})
