/** Deploys of workers of real job queues, while their jobs run. */
import { cp, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import { startPostgresql, startRedis } from './databases.js'
import { activeState, checkout, expectSuccess, holdfast, journal, makeApp, mustRun, registerModule, systemctl, uniqueApp, units, waitFor, type TestApp } from './harness.js'

const examples = join(checkout, 'examples/jobs')
const require = createRequire(join(examples, 'package.json'))

/** A report that was written: by which instance, and when the queue gave it to that. */
interface Done {
  number: number
  instance: string
  startedAt: number
  endedAt: number
}

interface Queue {
  /** What the worker is to know. */
  env: Record<string, string>
  enqueue(reports: { number: number; pages: number }[]): Promise<void>
  /** What was written so far, in order. */
  done(): Promise<Done[]>
  /** How many no worker has taken. */
  waiting(): Promise<number>
  /** How many are with a worker now. */
  active(): Promise<number>
  /** How many the queue takes for done. */
  completed(): Promise<number>
}

async function openPgBoss(): Promise<Queue> {
  const url = await startPostgresql()
  const { Pool } = require('pg')
  const database = new Pool({ connectionString: url })
  await database.query('CREATE TABLE reports (number int, instance text, ended_at timestamptz DEFAULT clock_timestamp())')
  const boss = new (require('pg-boss'))(url)
  boss.on('error', console.error)
  await boss.start()
  await boss.createQueue('report', { retryLimit: 5 })
  onTestFinished(async () => {
    await boss.stop({ graceful: false })
    await database.end()
  })
  const count = async (state: string): Promise<number> =>
    Number((await database.query("SELECT count(*) FROM pgboss.job WHERE name = 'report' AND state = $1", [state])).rows[0].count)
  return {
    env: { DATABASE_URL: url },
    enqueue: (reports) => boss.insert(reports.map((data) => ({ name: 'report', data, retryLimit: 5 }))),
    done: async () => {
      const { rows } = await database.query(
        "SELECT number, instance, ended_at, started_on FROM reports JOIN pgboss.job ON name = 'report' AND (data->>'number')::int = number ORDER BY ended_at",
      )
      return rows.map((row: { number: number; instance: string; started_on: Date; ended_at: Date }) => (
        { number: row.number, instance: row.instance, startedAt: row.started_on.getTime(), endedAt: row.ended_at.getTime() }
      ))
    },
    waiting: () => count('created'),
    active: () => count('active'),
    completed: () => count('completed'),
  }
}

async function openBullmq(): Promise<Queue> {
  const url = await startRedis()
  const { Queue: BullQueue } = require('bullmq')
  const { Redis } = require('ioredis')
  const redis = new Redis(url, { maxRetriesPerRequest: null })
  const queue = new BullQueue('report', { connection: redis })
  onTestFinished(async () => {
    await queue.close()
    redis.disconnect()
  })
  return {
    env: { REDIS_URL: url },
    enqueue: (reports) => queue.addBulk(reports.map((data) => ({ name: 'report', data, opts: { jobId: `report-${data.number}` } }))),
    done: async () => Promise.all((await redis.lrange('reports', 0, -1)).map(async (text: string) => {
      const { number, instance, endedAt } = JSON.parse(text)
      return { number, instance, endedAt, startedAt: (await queue.getJob(`report-${number}`)).processedOn }
    })),
    waiting: () => queue.getWaitingCount(),
    active: () => queue.getActiveCount(),
    completed: () => queue.getCompletedCount(),
  }
}

/** Workers as the libraries' documentation has them: nothing of Holdfast in the code, and an end of their own on SIGTERM. */
const unmodified = {
  'pg-boss': `
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import PgBoss from 'pg-boss'
const database = new pg.Pool({ connectionString: process.env.DATABASE_URL })
const boss = new PgBoss(process.env.DATABASE_URL)
boss.on('error', console.error)
await boss.start()
await boss.createQueue('report', { retryLimit: 5 })
await boss.work('report', { pollingIntervalSeconds: 0.5 }, async ([{ data }]) => {
  await delay(data.pages * 100)
  await database.query('INSERT INTO reports (number, instance) VALUES ($1, $2)', [data.number, process.env.HOLDFAST_INSTANCE])
})
process.on('SIGTERM', async () => {
  await boss.stop({ graceful: true })
  process.exit(0)
})
`,
  bullmq: `
import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'bullmq'
import { Redis } from 'ioredis'
const redis = new Redis(process.env.REDIS_URL, { maxRetriesPerRequest: null })
const worker = new Worker('report', async ({ data }) => {
  await delay(data.pages * 100)
  await redis.rpush('reports', JSON.stringify({ number: data.number, instance: process.env.HOLDFAST_INSTANCE, endedAt: Date.now() }))
}, { connection: redis })
worker.on('error', console.error)
process.on('SIGTERM', async () => {
  await worker.close()
  process.exit(0)
})
`,
}

/** Does not look at its signal, so that the hard end cuts its report; a report that nobody works on is found within seconds. */
const deaf = `
import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'bullmq'
import { instance, job, onDrain } from 'holdfast'
import { Redis } from 'ioredis'
const redis = new Redis(process.env.REDIS_URL, { maxRetriesPerRequest: null })
const worker = new Worker('report', ({ data }) => job('report ' + data.number, async () => {
  await delay(data.pages * 100)
  await redis.rpush('reports', JSON.stringify({ number: data.number, instance: instance?.name, endedAt: Date.now() }))
}), { connection: redis, lockDuration: 6000, stalledInterval: 2000 })
worker.on('error', console.error)
onDrain(() => worker.close())
`

const example = (kind: string): Promise<string> => readFile(join(examples, `${kind}.js`), 'utf8')

async function install(worker: string, queue: Queue, drain: string): Promise<TestApp> {
  const app = await makeApp({
    name: uniqueApp('queue'),
    files: { 'worker.js': worker, 'package.json': '{"type":"module"}' },
    config: `command = ["node", "--import", ${JSON.stringify(registerModule)}, "worker.js"]
env = { ${Object.entries(queue.env).map(([name, value]) => `${name} = ${JSON.stringify(value)}`).join(', ')} }
[start]
settle = "300ms"
[drain]
${drain}`,
  })
  const modules = join(app.folder, 'node_modules')
  await cp(join(examples, 'node_modules'), modules, { recursive: true })
  for (const part of ['package.json', 'dist']) await cp(join(checkout, part), join(modules, 'holdfast', part), { recursive: true })
  expectSuccess(await holdfast('install', app.config))
  return app
}

/** When the drain of an instance began, in milliseconds. */
async function drainBegan(app: TestApp, instance: string): Promise<number> {
  await mustRun('journalctl', ['--sync'])
  const text = await mustRun('journalctl', ['--output=json', `HOLDFAST_APP=${app.name}`, `HOLDFAST_INSTANCE=${instance}`, 'PHASE=drain'])
  return Number(JSON.parse(text.split('\n')[0] ?? '').__REALTIME_TIMESTAMP) / 1000
}

/** The report that two deploys pass over: the second one that is enqueued. */
const long = { number: 1, pages: 200 }

/** Enqueues reports of 2 s, so that each worker always finds one, and the long one among them. */
function feed(queue: Queue): { stop: () => Promise<number[]> } {
  const numbers: number[] = []
  let isFed = false
  const fed = (async () => {
    while (!isFed) {
      if ((await queue.waiting()) < 2) {
        const number = numbers.push(numbers.length) - 1
        await queue.enqueue([number === long.number ? long : { number, pages: 20 }])
      }
      await delay(50)
    }
  })()
  const stop = async (): Promise<number[]> => {
    isFed = true
    await fed
    return numbers
  }
  onTestFinished(() => stop().then(() => {}, () => {}))
  return { stop }
}

const untilAlone = (app: TestApp, generation: number): Promise<unknown> =>
  waitFor('the older generations have ended', async () => (await units(`${app.name}@*.service`, 'active', 'activating', 'deactivating')).join() === `${app.name}@${generation}.1.service`, { timeoutMs: 30_000 })

describe.each([['pg-boss', openPgBoss], ['bullmq', openBullmq]] as const)('%s', (kind, open) => {
  it.each([
    ['as in examples/jobs', () => example(kind)],
    ['with a SIGTERM handler of its own and nothing of Holdfast', () => unmodified[kind]],
  ])('%s: reports that are written while two deploys pass are written once', async (_, worker) => {
    // What setup has installed is not for systemd to start.
    expect(await Promise.all(['postgresql.service', 'redis-server.service'].map(activeState))).toEqual(['inactive', 'inactive'])
    const queue = await open()
    const app = await install(await worker(), queue, 'timeout = "1min"')
    const feeder = feed(queue)
    const writes = (generation: number): Promise<unknown> =>
      waitFor(`generation ${generation} has written a report`, async () => (await queue.done()).some(({ instance }) => instance === `${generation}.1`), { timeoutMs: 30_000 })
    await writes(1)
    await waitFor('generation 1 has the long one', async () => (await queue.completed()) === 1 && (await queue.active()) === 1)
    const restartedAt: { began: number; ended: number }[] = []
    for (const generation of [2, 3]) {
      const began = Date.now()
      expectSuccess(await systemctl('restart', app.name))
      restartedAt.push({ began, ended: Date.now() })
      // One is done, so that the next one is its own as well.
      await writes(generation)
    }
    const numbers = await feeder.stop()
    await waitFor('all are done', async () => (await queue.completed()) === numbers.length, { timeoutMs: 60_000 })
    await untilAlone(app, 3)

    const done = await queue.done()
    expect(done.map(({ number }) => number).sort((a, b) => a - b)).toEqual(numbers)
    expect(await queue.active()).toBe(0)
    expect([...new Set(done.map(({ instance }) => instance))].sort()).toEqual(['1.1', '2.1', '3.1'])
    const passed = done.find(({ number }) => number === long.number)
    expect(passed?.instance).toBe('1.1')
    expect(passed?.startedAt).toBeLessThan(restartedAt[0]?.began ?? 0)
    expect(passed?.endedAt).toBeGreaterThan(restartedAt[1]?.ended ?? Infinity)
    for (const instance of ['1.1', '2.1']) {
      const began = await drainBegan(app, instance)
      const own = done.filter((report) => report.instance === instance)
      // What it had was finished; what a query already under way brought may have come in the first moment.
      expect(own.filter(({ endedAt }) => endedAt > began).length).toBeGreaterThanOrEqual(1)
      expect(own.filter(({ startedAt }) => startedAt > began + 250)).toEqual([])
    }
    expect(await journal(app.name)).not.toMatch(/cut: |drain-cut|SIGKILL/)
  })

  it('a report that the deadline cuts off is written by the next generation, once', async () => {
    const queue = await open()
    const app = await install(await example(kind), queue, 'timeout = "8s"')
    await queue.enqueue([{ number: 1, pages: 200 }])
    await waitFor('generation 1 has it', async () => (await queue.active()) === 1)
    expectSuccess(await systemctl('restart', app.name))
    await untilAlone(app, 2)
    expect(await queue.done()).toEqual([])
    await waitFor('it is done', async () => (await queue.completed()) === 1, { timeoutMs: 90_000 })
    const done = await queue.done()
    expect(done.map(({ number, instance }) => ({ number, instance }))).toEqual([{ number: 1, instance: '2.1' }])
    await mustRun('journalctl', ['--sync'])
    expect(await mustRun('journalctl', ['--output=cat', `HOLDFAST_APP=${app.name}`, 'HOLDFAST_INSTANCE=1.1', 'PHASE=drained']))
      .toMatch(/^drained in [78]\.\d s: .*1 job failed; nothing was cut\n$/)
  })
})

it('bullmq: a report that the hard end cuts off because it does not hear its signal is written by the next generation, once', async () => {
  const queue = await openBullmq()
  const app = await install(deaf, queue, 'timeout = "4s"')
  await queue.enqueue([{ number: 1, pages: 200 }])
  await waitFor('generation 1 has it', async () => (await queue.active()) === 1)
  expectSuccess(await systemctl('restart', app.name))
  await untilAlone(app, 2)
  expect(await queue.done()).toEqual([])
  await waitFor('it is done', async () => (await queue.completed()) === 1, { timeoutMs: 60_000 })
  expect((await queue.done()).map(({ number, instance }) => ({ number, instance }))).toEqual([{ number: 1, instance: '2.1' }])
  expect(await queue.active()).toBe(0)
  await mustRun('journalctl', ['--sync'])
  const said = await mustRun('journalctl', ['--output=cat', `HOLDFAST_APP=${app.name}`, 'HOLDFAST_INSTANCE=1.1', 'PHASE=drain-cut'])
  expect(said).toMatch(/^job report 1 is cut after \d+\.\d s: the drain's time is over$/m)
  expect(said).toMatch(/^the time of this drain was over\. It drained in [34]\.\d s: .*cut: .*1 job/m)
})
