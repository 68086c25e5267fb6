import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Log } from '../../../src/runtime/journal.js'
import { Jobs, type JobContext } from '../../../src/runtime/jobs.js'

/** Jobs with the means to begin a drain, and what they logged. */
function makeJobs(saveMs = 0): { jobs: Jobs; drain: () => void; logged: string[] } {
  const logged: string[] = []
  const write = (message: unknown): void => void logged.push(String(message))
  const log: Log = { debug: write, info: write, notice: write, warn: write, error: write, critical: write }
  const draining = new AbortController()
  return { jobs: new Jobs({ log, saveMs, draining: draining.signal }), drain: () => draining.abort(), logged }
}

/** A promise to be settled from outside. */
function pending<T = void>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: Error) => void } {
  let resolve: (value: T) => void = () => {}
  let reject: (error: Error) => void = () => {}
  const promise = new Promise<T>((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}

const names = (jobs: Jobs): string[] => jobs.waiting().map(({ name }) => name)

describe('run', () => {
  test('runs at once, returns the result, and rethrows the error, synchronous ones too', async () => {
    const { jobs } = makeJobs()
    let began = false
    const result = jobs.run('sum', () => {
      began = true
      return Promise.resolve(42)
    })
    expect(began).toBe(true)
    expect(await result).toBe(42)
    expect(await jobs.run('plain', () => 'value')).toBe('value')
    await expect(jobs.run('fails', () => Promise.reject(new Error('later')))).rejects.toThrow('later')
    await expect(jobs.run('throws', () => { throw new Error('at once') })).rejects.toThrow('at once')
    expect(names(jobs)).toEqual([])
    // Outside of a drain nothing is counted.
    expect(jobs.ledger).toEqual({ finished: 0, failed: 0, letGo: 0, cut: 0 })
  })

  test.each([
    ['no name', undefined, () => {}, {}, 'the name of a job must be a string, not undefined'],
    ['null as its name', null, () => {}, {}, 'the name of a job must be a string, not null'],
    ['an empty name', '', () => {}, {}, 'must not be empty'],
    ['a name of blanks', ' \n\t ', () => {}, {}, 'must not be empty'],
    ['no function', 'report', undefined, {}, 'a job must be a function, not undefined'],
    ['a promise for a function', 'report', Promise.resolve(), {}, 'a job must be a function, not object'],
    ['null as options', 'report', () => {}, null, 'options of a job must be an object'],
    ['a heartbeat of 0', 'report', () => {}, { heartbeatTimeoutMs: 0 }, 'above 0, not 0'],
    ['a heartbeat that is no number', 'report', () => {}, { heartbeatTimeoutMs: '5s' }, 'above 0, not 5s'],
    ['a heartbeat of NaN', 'report', () => {}, { heartbeatTimeoutMs: Number.NaN }, 'above 0, not NaN'],
  ])('refuses %s', async (_, name, fn, options, message) => {
    const { jobs } = makeJobs()
    const refused = jobs.run(name as string, fn as () => void, options as object)
    await expect(refused).rejects.toThrow(TypeError)
    await expect(refused).rejects.toThrow(message)
    expect(names(jobs)).toEqual([])
  })

  test('shows a name as one line that is not too long', () => {
    const { jobs } = makeJobs()
    const never = (): Promise<void> => new Promise(() => {})
    for (const name of ['  nightly\nreport\0\t2 ', 'x'.repeat(1_000_000)]) void jobs.run(name, never)
    expect(names(jobs)).toEqual(['nightly report 2', `${'x'.repeat(99)}…`])
  })

  test('100,000 short jobs leave nothing behind', async () => {
    const { jobs, drain } = makeJobs()
    const one = (): Promise<void> => jobs.run('short', () => {}, { heartbeatTimeoutMs: 60_000 })
    for (let n = 0; n < 1000; n++) {
      const all = Promise.all(Array.from({ length: 100 }, one))
      expect(jobs.waiting()).toHaveLength(100)
      await all
      expect(jobs.waiting()).toHaveLength(0)
    }
    drain()
    await jobs.ended()
    expect(jobs.ledger).toEqual({ finished: 0, failed: 0, letGo: 0, cut: 0 })
  })
})

describe('in a drain', () => {
  test('waits for all, new ones too, and counts how they end', async () => {
    const { jobs, drain } = makeJobs()
    const [first, second, third] = [pending(), pending(), pending()]
    const failing = jobs.run('second', () => second.promise)
    failing.catch(() => {})
    void jobs.run('first', () => first.promise)
    drain()
    void jobs.run('third', () => third.promise)
    expect(names(jobs)).toEqual(['second', 'first', 'third'])
    let isOver = false
    const ended = jobs.ended().then(() => (isOver = true))
    first.resolve()
    second.reject(new Error('no'))
    await expect(failing).rejects.toThrow('no')
    expect(isOver).toBe(false)
    third.resolve()
    await ended
    expect(jobs.ledger).toEqual({ finished: 2, failed: 1, letGo: 0, cut: 0 })
  })

  test('a job that follows upon another is waited for', async () => {
    const { jobs, drain } = makeJobs()
    const [first, second] = [pending(), pending()]
    const all = (async () => {
      await jobs.run('first', () => first.promise)
      await Promise.resolve()
      await jobs.run('second', () => second.promise)
    })()
    drain()
    let isOver = false
    const ended = jobs.ended().then(() => (isOver = true))
    first.resolve()
    await new Promise((resolve) => setImmediate(resolve))
    await new Promise((resolve) => setImmediate(resolve))
    expect(isOver).toBe(false)
    second.resolve()
    await Promise.all([all, ended])
  })

  test('the signal is aborted when the deadline nears, with the reason, also of jobs that come after that', async () => {
    const { jobs, drain } = makeJobs()
    const signals: AbortSignal[] = []
    const never = ({ signal }: JobContext): Promise<void> => {
      signals.push(signal)
      return new Promise(() => {})
    }
    void jobs.run('before', never)
    drain()
    expect(signals[0]?.aborted).toBe(false)
    jobs.abort(new Error('the drain ends in 3 s'))
    void jobs.run('after', never)
    expect(signals.map((signal) => [signal.aborted, String(signal.reason)])).toEqual(Array(2).fill([true, 'Error: the drain ends in 3 s']))
  })

  test('a signal that is asked for after it was aborted is aborted', async () => {
    const { jobs } = makeJobs()
    const asks = pending()
    const result = jobs.run('late', async (context) => {
      await asks.promise
      return context.signal.aborted
    })
    jobs.abort(new Error('over'))
    asks.resolve()
    expect(await result).toBe(true)
  })

  test('what lives at the hard end is counted and named', () => {
    const { jobs, drain, logged } = makeJobs()
    void jobs.run('endless', () => new Promise(() => {}))
    drain()
    expect(jobs.cut()).toBe(1)
    expect(jobs.ledger.cut).toBe(1)
    expect(logged).toEqual([expect.stringMatching(/^job endless is cut after 0\.\d s: the drain's time is over$/)])
  })
})

describe('heartbeats', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  /** A job that lives for ever, and its context. */
  function silent(jobs: Jobs, name: string, heartbeatTimeoutMs?: number): JobContext {
    let context: JobContext | undefined
    void jobs.run(name, (given) => {
      context = given
      return new Promise(() => {})
    }, heartbeatTimeoutMs === undefined ? {} : { heartbeatTimeoutMs })
    return context as unknown as JobContext
  }

  test('a silent job is logged once before the drain, and keeps its signal', () => {
    const { jobs, logged } = makeJobs()
    const { signal } = silent(jobs, 'import', 1000)
    vi.advanceTimersByTime(999)
    expect(logged).toEqual([])
    vi.advanceTimersByTime(100_000)
    expect(logged).toEqual(['job import has sent no heartbeat for 1.0 s: a drain would not wait for it'])
    expect(signal.aborted).toBe(false)
    expect(names(jobs)).toEqual(['import'])
  })

  test('the drain lets go of the silent one alone, and aborts its signal', async () => {
    const { jobs, drain, logged } = makeJobs()
    const mute = silent(jobs, 'mute', 1000)
    const beating = silent(jobs, 'beating', 1000)
    const unlimited = silent(jobs, 'unlimited')
    drain()
    for (let n = 0; n < 20; n++) {
      vi.advanceTimersByTime(400)
      beating.heartbeat()
    }
    expect(names(jobs)).toEqual(['beating', 'unlimited'])
    expect([mute, beating, unlimited].map(({ signal }) => signal.aborted)).toEqual([true, false, false])
    expect(String(mute.signal.reason)).toContain('job mute has sent no heartbeat for 1.0 s, and is let go')
    expect(logged).toEqual(['job mute has sent no heartbeat for 1.0 s: the drain does not wait for it any longer'])
    expect(jobs.ledger).toEqual({ finished: 0, failed: 0, letGo: 1, cut: 0 })
    expect(jobs.cut()).toBe(2)
  })

  test('the silent one has some time to save what it has, and counts as finished when it ends in it', async () => {
    const { jobs, drain } = makeJobs(3000)
    const saved = jobs.run('saves', ({ signal }) => new Promise<void>((resolve) => signal.addEventListener('abort', () => setTimeout(resolve, 2000))), { heartbeatTimeoutMs: 1000 })
    void jobs.run('mute', () => new Promise(() => {}), { heartbeatTimeoutMs: 1000 })
    drain()
    await vi.advanceTimersByTimeAsync(1500)
    expect(jobs.waiting().map(({ name }) => name)).toEqual(['saves', 'mute'])
    await vi.advanceTimersByTimeAsync(2000)
    await saved
    expect(jobs.ledger).toEqual({ finished: 1, failed: 0, letGo: 0, cut: 0 })
    await vi.advanceTimersByTimeAsync(1000)
    await jobs.ended()
    expect(jobs.ledger).toEqual({ finished: 1, failed: 0, letGo: 1, cut: 0 })
  })

  test('who was silent before the drain is let go at its beginning, and its end counts no more', async () => {
    const { jobs, drain } = makeJobs()
    const work = pending()
    const result = jobs.run('stuck', () => work.promise, { heartbeatTimeoutMs: 1000 })
    vi.advanceTimersByTime(60_000)
    drain()
    expect(names(jobs)).toEqual([])
    await jobs.ended()
    work.resolve()
    await result
    expect(jobs.ledger).toEqual({ finished: 0, failed: 0, letGo: 1, cut: 0 })
  })

  test('one that came back before the drain is waited for', () => {
    const { jobs, drain } = makeJobs()
    const { heartbeat } = silent(jobs, 'slow', 1000)
    vi.advanceTimersByTime(60_000)
    heartbeat()
    drain()
    vi.advanceTimersByTime(999)
    expect(names(jobs)).toEqual(['slow'])
    vi.advanceTimersByTime(1)
    expect(names(jobs)).toEqual([])
  })

  test('the shortest limit is kept, whenever its job came', () => {
    const { jobs, drain } = makeJobs()
    drain()
    silent(jobs, 'long', 10_000)
    silent(jobs, 'short', 1000)
    vi.advanceTimersByTime(1000)
    expect(names(jobs)).toEqual(['long'])
    vi.advanceTimersByTime(9000)
    expect(names(jobs)).toEqual([])
  })

  test('one timer does for all, and none is left', async () => {
    const { jobs } = makeJobs()
    const work = pending()
    const all = Promise.all(Array.from({ length: 1000 }, (_, n) => jobs.run('one', () => work.promise, { heartbeatTimeoutMs: 1000 + n })))
    expect(vi.getTimerCount()).toBe(1)
    work.resolve()
    await all
    expect(vi.getTimerCount()).toBe(0)
  })

  test('a blocked event loop is nobody’s silence', () => {
    const { jobs, drain } = makeJobs()
    drain()
    silent(jobs, 'innocent', 1000)
    // The clock goes on, the timer comes late.
    const now = performance.now()
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => now + 6000)
    vi.advanceTimersByTime(1000)
    clock.mockRestore()
    expect(names(jobs)).toEqual(['innocent'])
    vi.advanceTimersByTime(6000)
    expect(names(jobs)).toEqual([])
  })

  test('a limit longer than a timer can be is no limit at all', () => {
    const { jobs, drain } = makeJobs()
    drain()
    silent(jobs, 'patient', Infinity)
    silent(jobs, 'yearly', 40 * 24 * 3600 * 1000)
    vi.advanceTimersByTime(30 * 24 * 3600 * 1000)
    expect(names(jobs)).toEqual(['patient', 'yearly'])
  })
})
