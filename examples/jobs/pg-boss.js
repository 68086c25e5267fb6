// A worker of the queue "report" in PostgreSQL: what it takes out of the queue becomes a row of the table "reports".
import { setTimeout as delay } from 'node:timers/promises'
import { instance, job, onDrain } from 'holdfast'
import pg from 'pg'
import PgBoss from 'pg-boss'

const connectionString = process.env.DATABASE_URL
const database = new pg.Pool({ connectionString })
const boss = new PgBoss({ connectionString })
boss.on('error', (error) => console.error(error))
await boss.start()
await boss.createQueue('report', { retryLimit: 5 })

async function writeReport({ number, pages }, signal) {
  for (let page = 1; page <= pages; page++) await delay(100, undefined, { signal })
  await database.query('INSERT INTO reports (number, instance) VALUES ($1, $2)', [number, instance?.name])
}

// When the drain's deadline nears, the signal makes the report fail, and pg-boss gives it to the next generation.
await boss.work('report', { pollingIntervalSeconds: 0.5 }, ([{ data }]) =>
  job(`report ${data.number}`, ({ signal }) => writeReport(data, signal)))

// In a drain: take no new report, finish the one that was begun, and let pg-boss write down that it is done.
onDrain(({ timeoutMs }) => boss.stop({ timeout: timeoutMs }))
