import { describe, expect, it } from 'vitest'
import { bake, type BakeOrder, type BakeResult, type Pace } from '../../../../src/deploy/checks/bake.js'
import type { Member } from '../../../../src/deploy/plan.js'
import { privateTemplate } from '../../../../src/units/names.js'
import type { Report } from '../../../../src/runtime/report.js'
import { addRelease, makeApp, type AppOnDisk } from '../app-on-disk.js'
import { answered, report, serveHttp, serveReports } from '../private-servers.js'

const fresh: Member = { generation: 43, process: 1, unit: 'shop@43.1.service' }
const second: Member = { generation: 43, process: 2, unit: 'shop@43.2.service' }
const older: Member = { generation: 42, process: 1, unit: 'shop@42.1.service' }

const pace: Pace = { pollMs: 10, soonMs: 5, silenceMs: 200 }

/** With the runtime, unless it is said otherwise. */
function makeBaked(start = 'standby = true'): AppOnDisk {
  const on = makeApp(start)
  on.app.units.push(privateTemplate('shop'))
  return on
}

function order(on: AppOnDisk, over: Partial<BakeOrder> = {}): BakeOrder & { told: string[] } {
  const told: string[] = []
  const forMs = over.forMs ?? 200
  return {
    bake: { forMs, maxErrors: 0.01, maxSlowdown: 3, minRequests: 50 }, config: on.app.config, release: addRelease(on, 'r1'),
    fresh: [fresh], older: [older], forMs, signal: new AbortController().signal, tell: (text) => void told.push(text), told, ...over,
  }
}

/** What an instance tells at its looks, the last of it for ever; what grows by each look is the function's own matter. */
async function tells(on: AppOnDisk, instance: Member, ...each: (Partial<Report> | 'nothing' | ((look: number) => Partial<Report>))[]): Promise<{ looks: number }> {
  const seen = { looks: 0 }
  await serveReports(on.paths, instance, () => {
    const told = each[Math.min(seen.looks, each.length - 1)]
    seen.looks += 1
    if (told === 'nothing') return ''
    return report(typeof told === 'function' ? told(seen.looks) : told)
  })
  return seen
}

const growing = (requests: number, errors = 0, ms = 10) => (look: number): Partial<Report> => answered(look * requests, look * errors, ms)
const reasonOf = (result: BakeResult): string => (result.ok ? '' : result.reason)

describe('a new generation that is well', () => {
  it('has its figures beside those of the older one, of the same time', async () => {
    const on = makeBaked()
    await tells(on, fresh, growing(10))
    await tells(on, older, { ...answered(5000, 70) }, { ...answered(5300, 70) })
    const baked = order(on)
    const result = await bake(on.app, baked, pace)
    expect(result).toMatchObject({ ok: true, figures: { older: { requests: 300, errors: 0 }, fresh: { errors: 0, seconds: expect.any(Number) }, minRequests: 50 } })
    expect(result.figures.fresh.requests).toBeGreaterThan(50)
    expect(result.figures.fresh.seconds).toBeGreaterThanOrEqual(0.2)
    expect(baked.told.length).toBeGreaterThan(0)
    expect(baked.told.length).toBeLessThanOrEqual(4)
    expect(baked.told.at(-1)).toMatch(/^Generation 43 has stood the bake: /)
    expect(baked.told[0]).toMatch(/^Generation 43: \d+ requests, 0 errors, .*; the older one \d+ requests/)
  })

  it('is so beside one that tells nothing: such an older one is not asked for ever', async () => {
    const on = makeBaked()
    await tells(on, fresh, growing(10))
    const silent = await tells(on, older, 'nothing')
    expect(await bake(on.app, order(on), pace)).toMatchObject({ ok: true, figures: { older: { requests: 0 } } })
    expect(silent.looks).toBe(3)
  })

  it('has only to accept where none is beside it, as at a boot', async () => {
    const on = makeBaked()
    const seen = await tells(on, fresh, { ...answered(1000, 1000), accepting: false }, answered(1000, 1000))
    const health = { probe: { kind: 'http' as const, path: '/', host: 'x', tls: false }, intervalMs: 1, timeoutMs: 10, successes: 1, deadlineMs: 100 }
    expect(await bake(on.app, order(on, { older: [], health, forMs: 60_000 }), pace)).toMatchObject({ ok: true, figures: { fresh: { errors: 1000 } } })
    expect(seen.looks).toBe(2)
  })

  it('is counted over the restarts of its process, and of the older one’s', async () => {
    const on = makeBaked()
    await tells(on, fresh, answered(30), answered(40), { ...answered(5), pid: 101 }, { ...answered(7), pid: 101 }, { ...answered(2), startedAt: '2026-01-01T00:00:09.000Z' })
    await tells(on, older, answered(100), answered(110), { ...answered(20), pid: 7 })
    expect(await bake(on.app, order(on), pace)).toMatchObject({ ok: true, figures: { fresh: { requests: 40 + 7 + 2 }, older: { requests: 10 + 20 } } })
  })

  it('is told to be unjudged where it has answered too little', async () => {
    const on = makeBaked()
    await tells(on, fresh, answered(35))
    await tells(on, older, growing(100))
    const baked = order(on)
    expect(await bake(on.app, baked, pace)).toMatchObject({ ok: true, figures: { fresh: { requests: 35 } } })
    expect(baked.told.at(-1)).toMatch(/^Generation 43 is through its bake, but its answers were not judged: 35 requests, 0 errors, .*, too few to judge \(bake\.min_requests is 50\); the older one \d+ requests/)
  })

  it('is waited for until it accepts', async () => {
    const on = makeBaked()
    const seen = await tells(on, fresh, { accepting: false }, { accepting: false }, {})
    expect(await bake(on.app, order(on, { forMs: 0 }), pace)).toMatchObject({ ok: true })
    expect(seen.looks).toBe(3)
  })

  it('tells with the preload also where it goes without standby, and has no health check to be asked for', async () => {
    const on = makeBaked('standby = false')
    on.app.config.command = ['node', '--import', 'holdfast/register', 'server.js']
    await tells(on, fresh, growing(10))
    await tells(on, older, growing(10))
    const { figures } = await bake(on.app, order(on), pace)
    expect(figures.fresh.requests).toBeGreaterThan(0)
  })

  it('without the runtime tells nothing, and nothing is expected', async () => {
    const on = makeBaked('standby = false')
    const baked = order(on, { forMs: 30 })
    const result = await bake(on.app, baked, pace)
    expect(baked.told).toEqual(['Generation 43 is through its bake, but its answers were not judged: without the preload nobody counts them.'])
    expect(result).toEqual({ ok: true, figures: { fresh: { requests: 0, errors: 0, errorShare: 0, seconds: 0 }, older: { requests: 0, errors: 0, errorShare: 0, seconds: 0 } } })
  })
})

describe('a new generation that fails', () => {
  it('by its errors ends the bake early', async () => {
    const on = makeBaked()
    await tells(on, fresh, growing(20, 1))
    await tells(on, second, growing(20))
    await tells(on, older, growing(20))
    const began = performance.now()
    const result = await bake(on.app, order(on, { fresh: [second, fresh], forMs: 60_000 }), pace)
    expect(performance.now() - began).toBeLessThan(5000)
    expect(result).toMatchObject({ ok: false, unit: fresh.unit })
    expect(reasonOf(result)).toMatch(/^\(with one other\) answered \d+ of \d+ requests with errors \(2\.5 %\) in 1 s, the older one 0 %: bake\.max_errors allows 1 % more$/)
    expect(result.figures.fresh.requests).toBeGreaterThanOrEqual(50)
  })

  it('by its slowness ends the bake early, and not at the first look', async () => {
    const on = makeBaked()
    await tells(on, fresh, growing(100, 0, 300))
    await tells(on, older, growing(100, 0, 20))
    const seen = await tells(on, second, growing(100, 0, 300))
    const result = await bake(on.app, order(on, { fresh: [fresh, second], forMs: 60_000 }), pace)
    expect(reasonOf(result)).toMatch(/^\(with one other\) answered 95 % of \d+ requests within \d+ ms in 1 s, the older one within \d+ ms: bake\.max_slowdown/)
    expect(seen.looks).toBeGreaterThanOrEqual(3)
  })

  it('by errors or slowness that no chance makes ends the bake early, however few its answers are', async () => {
    for (const [few, reason] of [[answered(44, 44), /^answered 44 of 44 requests with errors \(100 %\)/], [answered(35, 0, 80), /^took more than \d+ ms for half of 35 requests in 1 s, the older one at most 1\d ms for 95 %/]] as const) {
      const on = makeBaked()
      await tells(on, fresh, few)
      await tells(on, older, growing(100))
      expect(reasonOf(await bake(on.app, order(on, { forMs: 60_000 }), pace))).toMatch(reason)
    }
  })

  it('in few answers and at first only, as a process that is still cold, has not failed', async () => {
    const on = makeBaked()
    const cold = answered(28, 0, 300)
    await tells(on, fresh, cold, { requests: 49, latency: addLatency(cold.latency, answered(21).latency) })
    await tells(on, older, growing(100, 0, 10))
    expect(await bake(on.app, order(on), pace)).toMatchObject({ ok: true, figures: { fresh: { requests: 49 } } })
  })

  it('at first only, as a process that is still cold, has not failed', async () => {
    const on = makeBaked()
    await tells(on, fresh, answered(60, 0, 300), (look) => ({ requests: 60 + look * 20, latency: addLatency(answered(60, 0, 300).latency, answered(look * 20).latency) }))
    await tells(on, older, growing(100, 0, 10))
    expect(await bake(on.app, order(on), pace)).toMatchObject({ ok: true })
  })

  it('is judged at the end by less than on the way', async () => {
    const on = makeBaked()
    await tells(on, fresh, answered(50, 3))
    await tells(on, older, growing(50))
    const result = await bake(on.app, order(on), pace)
    expect(reasonOf(result)).toContain('3 of 50 requests with errors')
    expect(result.figures.fresh.seconds).toBeGreaterThanOrEqual(0.2)
  })

  it('is not judged without [bake] for, as that is only to see that it answers', async () => {
    const on = makeBaked()
    await tells(on, fresh, answered(1000, 1000))
    const limits = { maxErrors: 0.01, maxSlowdown: 3, minRequests: 50 }
    const baked = order(on, { bake: limits, forMs: 50 })
    const result = await bake(on.app, baked, pace)
    expect(result).toMatchObject({ ok: true, figures: { fresh: { errorShare: 1 } } })
    expect(result.figures.minRequests).toBeUndefined()
    expect(baked.told).toEqual([])
    expect((await bake(on.app, { ...baked, judgesAnswers: true }, pace)).ok).toBe(false)
  })

  it('by telling nothing', async () => {
    const on = makeBaked()
    await tells(on, fresh, {})
    expect(await bake(on.app, order(on, { fresh: [fresh, second], forMs: 60_000 }), pace)).toMatchObject({
      ok: false, unit: second.unit, reason: 'does not answer on its report socket, for 200ms',
    })
  })

  it('by falling silent', async () => {
    const on = makeBaked()
    await tells(on, fresh, {}, 'nothing', {}, 'nothing', {}, 'nothing')
    const result = await bake(on.app, order(on, { forMs: 60_000 }), pace)
    expect(reasonOf(result)).toContain('does not answer on its report socket')
  })

  it('but not by being silent now and then', async () => {
    const on = makeBaked()
    const often = Array.from({ length: 1000 }, (_, i) => (i % 3 === 0 ? {} : 'nothing' as const))
    const { looks } = await tells(on, fresh, ...often).then(async (seen) => {
      expect(await bake(on.app, order(on, { forMs: 500 }), pace)).toMatchObject({ ok: true })
      return seen
    })
    expect(looks).toBeGreaterThan(5)
  })

  it('by not accepting what it was let in to, if it listens at all', async () => {
    const on = makeBaked()
    await tells(on, fresh, { accepting: false })
    expect(await bake(on.app, order(on, { forMs: 0 }), pace)).toMatchObject({ ok: false, reason: 'has been let in and does not accept connections, for 200ms' })
    const worker = { ...on.app.config, listen: [] }
    expect(await bake(on.app, order(on, { forMs: 0, config: worker }), pace)).toMatchObject({ ok: true })
  })

  it('by its health check', async () => {
    const on = makeBaked()
    await tells(on, fresh, growing(1))
    let asked = 0
    await serveHttp(on.paths, fresh, (_request, response) => void response.writeHead(asked++ < 3 ? 200 : 503).end('no database'))
    const health = { probe: { kind: 'http' as const, path: '/healthz', host: 'localhost', tls: false }, intervalMs: 10, timeoutMs: 1000, successes: 1, deadlineMs: 1000 }
    const result = await bake(on.app, order(on, { health, forMs: 60_000 }), pace)
    expect(result).toMatchObject({ ok: false, unit: fresh.unit, reason: 'answered GET /healthz with 503 "no database" (expected 200 to 299), 3 times in a row' })
    expect(asked).toBe(6)
  })
})

const addLatency = (one: number[], other: number[]): number[] => one.map((count, i) => count + (other[i] ?? 0))

it('ends with the signal', async () => {
  const on = makeBaked()
  const abort = new AbortController()
  await tells(on, fresh, {}, () => {
    abort.abort(new Error('shop@43.1.service exited'))
    return {}
  })
  await expect(bake(on.app, order(on, { forMs: 60_000, signal: abort.signal }), pace)).rejects.toThrow('shop@43.1.service exited')
})

it('throws what keeps its probes from being made', async () => {
  const on = makeBaked()
  await tells(on, fresh, {})
  on.systemd.cat = () => Promise.reject(new Error('no bus'))
  const health = { probe: { kind: 'command' as const, command: { text: 'true', argv: ['/bin/true'] } }, intervalMs: 10, timeoutMs: 1000, successes: 1, deadlineMs: 1000 }
  await expect(bake(on.app, order(on, { health, forMs: 60_000 }), pace)).rejects.toThrow('no bus')
})
