/** Jobs and exclusive work of real instances: real time limits of systemd, scaled down. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { checkout, expectSuccess, holdfast, journal, makeApp, mustRun, registerModule, show, systemctl, uniqueApp, units, waitFor, type TestApp } from './harness.js'

const library = JSON.stringify(join(checkout, 'dist/runtime/index.js'))

/** A worker without a listener, that has a folder of its own to write to. */
async function install(prefix: string, code: string, { top = '', drain }: { top?: string; drain: string }): Promise<TestApp & { data: string }> {
  const name = uniqueApp(prefix)
  const app = await makeApp({
    name,
    files: { 'worker.js': `import { appendFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { draining, exclusive, instance, job, ready } from ${library}
const write = (what) => appendFileSync(process.env.STATE_DIRECTORY + '/story', Date.now() + ' ' + instance.name + ' ' + what + '\\n')
setInterval(() => {}, 60_000)
${code}`, 'package.json': '{"type":"module"}' },
    config: `command = ["node", "--import", ${JSON.stringify(registerModule)}, "worker.js"]
data = true
${top}
[start]
settle = "300ms"
[drain]
${drain}`,
  })
  expectSuccess(await holdfast('install', app.config))
  return { ...app, data: `/var/lib/holdfast/${name}/data` }
}

interface Entry {
  at: number
  who: string
  what: string
}

async function story(app: { data: string }): Promise<Entry[]> {
  const text = await readFile(join(app.data, 'story'), 'utf8').catch(() => '')
  return text.split('\n').filter((line) => line !== '').map((line) => {
    const [at, who = '', ...what] = line.split(' ')
    return { at: Number(at), who, what: what.join(' ') }
  })
}

/** The structured entries of an app with these fields, oldest first. */
async function entries(app: TestApp, ...fields: string[]): Promise<Record<string, string>[]> {
  await mustRun('journalctl', ['--sync'])
  const text = await mustRun('journalctl', ['--output=json', `HOLDFAST_APP=${app.name}`, ...fields])
  return text.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Record<string, string>)
}

const untilTold = (app: { data: string }, who: string, what: string): Promise<unknown> =>
  waitFor(`${who} ${what}`, async () => (await story(app)).some((entry) => entry.who === who && entry.what === what), { timeoutMs: 30_000 })

const stateOf = async (app: TestApp, instance: string): Promise<string> => (await show(`${app.name}@${instance}.service`, 'ActiveState')).ActiveState

describe('a job', () => {
  it('of 15 s outlives three deploys under a TimeoutStopSec= of 7 s, and systemctl status says what is waited for', async () => {
    const app = await install('long', `
if (instance.name === '1.1') await Promise.all([job('nightly-report', async () => {
  write('begins')
  for (let step = 1; step <= 150; step++) await delay(100)
  write('ends')
}), ready()])
`, { drain: 'timeout = "1min"\nhang_timeout = "2s"' })
    const unit = `${app.name}@1.1.service`
    await untilTold(app, '1.1', 'begins')
    expect((await show(unit, 'TimeoutStopUSec')).TimeoutStopUSec).toBe('7s')
    for (const generation of [2, 3, 4]) {
      expectSuccess(await systemctl('restart', app.name))
      expect(await stateOf(app, `${generation}.1`)).toBe('active')
      expect(await stateOf(app, '1.1')).toBe('deactivating')
    }
    await waitFor('the status names it', async () => /^draining: 1 job \(nightly-report, [1-9]\d* s\)$/.test((await show(unit, 'StatusText')).StatusText))
    await untilTold(app, '1.1', 'ends')
    await waitFor('it has ended', async () => (await units(`${app.name}@*.service`, 'active', 'deactivating')).join() === `${app.name}@4.1.service`)
    const told = await story(app)
    expect(told.map(({ who, what }) => `${who} ${what}`)).toEqual(['1.1 begins', '1.1 ends'])
    const [ledger] = await entries(app, 'PHASE=drained', 'HOLDFAST_INSTANCE=1.1')
    expect(ledger).toMatchObject({ MESSAGE: expect.stringMatching(/^drained in \d+\.\d s: .*1 job finished; nothing was cut$/), JOBS_FINISHED: '1' })
    // Far longer than systemd alone would have waited.
    expect(Number(ledger?.['DURATION_MS'])).toBeGreaterThan(8_000)
    const text = await journal(app.name)
    expect(text).not.toMatch(/SIGKILL|timed out/)
  })

  it('that blocks the event loop in a drain is killed at the hang limit', async () => {
    const app = await install('hung', `
if (instance.name === '1.1') void job('loops', async () => {
  await new Promise((resolve) => draining.addEventListener('abort', resolve))
  await delay(500)
  write('blocks')
  for (;;) {}
})
`, { drain: 'timeout = "1min"\nhang_timeout = "2s"' })
    expectSuccess(await systemctl('restart', app.name))
    await untilTold(app, '1.1', 'blocks')
    await waitFor('it is killed', async () => (await units(`${app.name}@1.1.service`, 'active', 'deactivating')).length === 0, { timeoutMs: 15_000, everyMs: 100 })
    const tookMs = Date.now() - ((await story(app)).find(({ what }) => what === 'blocks')?.at ?? 0)
    expect(tookMs).toBeGreaterThan(1_000)
    expect(tookMs).toBeLessThan(8_000)
    expect(await journal(app.name)).toMatch(/@1\.1\.service: State 'stop-sigterm' timed out\. Killing\./)
    expect(await stateOf(app, '2.1')).toBe('active')
  })

  it('that falls silent is let go, long before the deadline', async () => {
    const app = await install('silent', `
if (instance.name === '1.1') void job('import', ({ heartbeat, signal }) => {
  signal.addEventListener('abort', () => write('is let go'))
  const timer = setInterval(heartbeat, 200)
  draining.addEventListener('abort', () => setTimeout(() => clearInterval(timer), 1_000))
  return new Promise(() => {})
}, { heartbeatTimeoutMs: 1_000 })
`, { drain: 'timeout = "1min"\nhang_timeout = "2s"' })
    expectSuccess(await systemctl('restart', app.name))
    await untilTold(app, '1.1', 'is let go')
    await waitFor('it has ended', async () => (await units(`${app.name}@1.1.service`, 'active', 'deactivating')).length === 0)
    expect(await entries(app, 'PHASE=drain-cut', 'HOLDFAST_INSTANCE=1.1')).toMatchObject([
      { MESSAGE: expect.stringMatching(/^drained in [5-9]\.\d s: .*; cut: 1 silent job$/), JOBS_LET_GO: '1' },
    ])
    const text = await journal(app.name)
    expect(text).toMatch(/job import has sent no heartbeat for 1\.\d s: the drain does not wait for it any longer/)
    expect(text).not.toMatch(/SIGKILL|timed out/)
  })

  it('past the deadline gets its signal before, and is counted as cut', async () => {
    const app = await install('cut', `
if (instance.name === '1.1') void job('endless', ({ signal }) => {
  signal.addEventListener('abort', () => write('hears: ' + signal.reason.message))
  return new Promise(() => {})
})
`, { drain: 'timeout = "5s"\nhang_timeout = "2s"' })
    expectSuccess(await systemctl('restart', app.name))
    await untilTold(app, '1.1', 'hears: the drain of this instance ends in 0.5 s')
    await waitFor('it has ended', async () => (await units(`${app.name}@1.1.service`, 'active', 'deactivating')).length === 0)
    expect(await entries(app, 'PHASE=drain-cut')).toMatchObject([
      { MESSAGE: expect.stringMatching(/^job endless is cut after \d+\.\d s: the drain's time is over$/), JOB: 'endless', PRIORITY: '4' },
      { MESSAGE: expect.stringMatching(/drained in 5\.\d s: .*; cut: 1 job$/), JOBS_CUT: '1', PRIORITY: '4' },
    ])
  })
})

describe('exclusive work', () => {
  /** Ticks while it is its turn; the first generation takes long to say goodbye, and has a job that lasts still longer. */
  const code = `
void exclusive('ticker', async ({ signal }) => {
  write('begins')
  while (!signal.aborted) {
    write('ticks')
    await delay(20)
  }
  if (instance.generation === 1) await delay(1_000)
  write('ends')
})
if (instance.name === '1.1') void job('long', () => delay(12_000))
`

  /** Who had it in turn; fails where one ticked in another's time. */
  async function turns(app: { data: string }): Promise<{ who: string; from: number; to: number }[]> {
    const result: { who: string; from: number; to: number }[] = []
    for (const { who, what, at } of await story(app)) {
      const last = result.at(-1)
      if (what === 'begins') result.push({ who, from: at, to: at })
      else if (last?.who === who) last.to = at
      else throw new Error(`${who} ${what} at ${at}, in the time of ${last?.who}`)
    }
    return result
  }

  const gaps = (list: { from: number; to: number }[]): number[] => list.slice(1).map(({ from }, index) => from - (list[index]?.to ?? 0))

  it('passes through three generations, one at a time and without a gap, while the oldest still drains', async () => {
    const app = await install('ticker', code, { drain: 'timeout = "1min"' })
    await untilTold(app, '1.1', 'ticks')
    for (const generation of [2, 3]) {
      expectSuccess(await systemctl('restart', app.name))
      await untilTold(app, `${generation}.1`, 'ticks')
    }
    expect(await stateOf(app, '1.1')).toBe('deactivating')
    const list = await turns(app)
    expect(list.map(({ who }) => who)).toEqual(['1.1', '2.1', '3.1'])
    expect(Math.min(...gaps(list))).toBeGreaterThanOrEqual(0)
    expect(Math.max(...gaps(list))).toBeLessThan(1_000)
    expect(await journal(app.name)).toMatch(/exclusive work ticker waits until 1\.1 has ended it[^]*exclusive work ticker runs here now, after 1\.1/)
  })

  it('of two processes: when one is killed the other goes on at once, and a deploy takes it from both', async () => {
    const app = await install('several', code, { top: 'processes = 2', drain: 'timeout = "1min"' })
    const [holder, other] = await waitFor('one has it', async () => {
      const [turn] = await turns(app)
      return turn && (turn.who === '1.1' ? ['1.1', '1.2'] : ['1.2', '1.1'])
    })
    await waitFor('the other waits', async () => (await journal(app.name)).includes(`exclusive work ticker waits until ${holder} has ended it`))
    await systemctl('kill', '--signal=SIGKILL', `${app.name}@${holder}.service`)
    await untilTold(app, other ?? '', 'ticks')
    expectSuccess(await systemctl('restart', app.name))
    await waitFor('generation 2 has it', async () => (await turns(app)).at(-1)?.who.startsWith('2.'))
    const list = await turns(app)
    expect(list.slice(0, 2).map(({ who }) => who)).toEqual([holder, other])
    expect(Math.min(...gaps(list))).toBeGreaterThanOrEqual(0)
    expect(Math.max(...gaps(list))).toBeLessThan(1_000)
  })
})
