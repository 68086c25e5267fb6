// A worker of the queue "report" in Redis: what it takes out of the queue becomes an item of the list "reports".
import { setTimeout as delay } from 'node:timers/promises'
import { WaitingError, Worker } from 'bullmq'
import { instance, job, onDrain } from 'holdfast'
import { Redis } from 'ioredis'

const redis = new Redis(process.env.REDIS_URL, { maxRetriesPerRequest: null })

async function writeReport({ number, pages }, signal) {
  for (let page = 1; page <= pages; page++) await delay(100, undefined, { signal })
  await redis.rpush('reports', JSON.stringify({ number, instance: instance?.name, endedAt: Date.now() }))
}

const worker = new Worker('report', (report, token) => job(`report ${report.data.number}`, async ({ signal }) => {
  try {
    await writeReport(report.data, signal)
  } catch (error) {
    if (!signal.aborted) throw error
    // The drain's deadline nears: the next generation begins anew, and this attempt is not counted.
    await report.moveToWait(token)
    throw new WaitingError()
  }
}), { connection: redis })
worker.on('error', (error) => console.error(error))
await worker.waitUntilReady()

// In a drain: take no new report, finish the one that was begun, and let BullMQ write down that it is done.
onDrain(() => worker.close())
