import { describe, expect, it } from 'vitest'
import { addSpans, ratesOf, ratesOfAll, SampleWindow } from '../../../../src/deploy/observe/watch-rates.js'
import type { Report } from '../../../../src/runtime/report.js'
import { report } from '../../cli/watched.js'

const start = Date.parse('2026-01-01T00:00:00Z')
const at = (seconds: number, change: Partial<Report> = {}): { at: number; report: Report } => ({ at: start + seconds * 1000, report: report(change) })
/** Of a process that has run long before. */
const old = (): SampleWindow => new SampleWindow(5_000, start + 1_000_000)

describe('rates of an instance', () => {
  it('need two reports, and are those of the time in between', () => {
    const window = old()
    window.add(at(100, { requests: 1000, errors: 10, latency: [5] }))
    expect(window.counted()).toBeUndefined()
    window.add(at(101, { requests: 1100, errors: 11, latency: [105] }))
    expect(window.counted()).toMatchObject({ seconds: 1, requests: 100, errors: 1, latency: [100] })
    expect(ratesOf(window.counted() as never)).toEqual({ seconds: 1, requests: 100, errors: 1, requestsPerSecond: 100, errorsPerSecond: 1, p50Ms: 0.13, p95Ms: 0.24 })
  })

  it('look back over the window, and no further', () => {
    const window = old()
    for (let second = 0; second <= 20; second += 1) window.add(at(100 + second, { requests: second < 10 ? 0 : (second - 10) * 50 }))
    expect(window.counted()).toMatchObject({ seconds: 5, requests: 250 })
  })

  it.each([['another pid', { pid: 103 }], ['another start', { startedAt: '2026-01-01T00:01:40.500Z' }], ['fewer requests', {}]])('begin anew after a restart: %s', (_, change) => {
    const window = old()
    window.add(at(100, { requests: 5000 }))
    window.add(at(101, { requests: 40, ...change }))
    const counted = window.counted()
    if ('startedAt' in change) expect(counted).toMatchObject({ seconds: 0.5, requests: 40 })
    else expect(counted).toBeUndefined()
    window.add(at(102, { requests: 90, ...change }))
    expect(window.counted()?.requests).toBe('startedAt' in change ? 90 : 50)
  })

  it('begin anew also after a restart that has answered more than the process before', () => {
    const window = old()
    window.add(at(100, { requests: 10 }))
    window.add(at(101, { requests: 900, pid: 103 }))
    expect(window.counted()).toBeUndefined()
  })

  it('of one that is younger than the watching are whole from the first report on', () => {
    const window = new SampleWindow(1_000, start - 1)
    window.add(at(4, { requests: 80 }))
    expect(window.counted()).toMatchObject({ seconds: 4, requests: 80 })
  })

  it('survive a clock that goes back', () => {
    const window = old()
    window.add(at(100, { requests: 10 }))
    window.add(at(90, { requests: 20 }))
    expect(window.counted()).toBeUndefined()
  })
})

it('those of several instances are added', () => {
  const span = { seconds: 5, requests: 100, errors: 1, latency: [50, 50] }
  expect(addSpans([span, { seconds: 2, requests: 10, errors: 0, latency: [0, 0, 10] }])).toEqual({ seconds: 5, requests: 110, errors: 1, latency: [50, 50, 10] })
  expect(addSpans([])).toBeUndefined()
})

it('what all answer in a second is the sum of what each does, however long each was counted', () => {
  const all = ratesOfAll([{ seconds: 5, requests: 0, errors: 0, latency: [] }, { seconds: 1.5, requests: 120, errors: 3, latency: [120] }])
  expect(all).toMatchObject({ seconds: 5, requests: 120, errors: 3, requestsPerSecond: 80, errorsPerSecond: 2 })
  expect(ratesOfAll([])).toBeUndefined()
})
