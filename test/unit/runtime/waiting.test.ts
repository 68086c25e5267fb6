import { describe, expect, test } from 'vitest'
import { formatWaiting, parseWaiting, type Waiting } from '../../../src/runtime/waiting.js'

const nothing: Waiting = { requests: 0, jobs: [], webSockets: 0, eventStreams: 0, tunnels: 0, connections: 0, hooks: 0 }

describe('what a drain waits for, in plain words', () => {
  test.each<[Partial<Waiting>, string]>([
    [{}, 'draining: nothing in flight'],
    [
      { requests: 3, jobs: [{ name: 'nightly-report', ageMs: 4 * 60_000 + 5 }], webSockets: 12 },
      'draining: 3 requests, 1 job (nightly-report, 4 min), 12 WebSockets',
    ],
    [{ eventStreams: 1, tunnels: 2, connections: 1, hooks: 1 }, 'draining: 1 event stream, 2 tunnels, 1 idle connection, 1 drain hook'],
    [
      { jobs: ['a', 'b', 'c', 'd', 'e'].map((name, index) => ({ name, ageMs: 3_900_000 - index * 1_000_000 })) },
      'draining: 5 jobs (a, 1 h 5 min; b, 48 min; c, 31 min; 2 more)',
    ],
    [{ jobs: [{ name: 'mail (to: a, b)\n2', ageMs: 0 }] }, 'draining: 1 job (mail to: a, b 2, 0 s)'],
  ])('%j', (waiting, text) => {
    const whole = { ...nothing, ...waiting }
    expect(formatWaiting(whole)).toBe(text)
    expect(parseWaiting(text)).toEqual({ ...whole, jobs: whole.jobs.length })
  })

  test.each(['', 'serving http', "drained; waiting for the app's own SIGTERM handler to exit", 'draining: 3 apples', 'draining: soon'])(
    '%j has no numbers',
    (text) => expect(parseWaiting(text)).toBeUndefined(),
  )
})
