// Ticks into FILE while it is its turn: one line per event, with the time in milliseconds.
import { appendFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { draining, exclusive, instance } from 'holdfast'

const write = (what) => appendFileSync(process.env.FILE, `${Date.now()} ${instance?.name ?? 'none'} ${what}\n`)
const goodbyeMs = Number(process.env.GOODBYE_MS ?? 0)

setInterval(() => {}, 60_000)
draining.addEventListener('abort', () => write('drains'))
await Promise.resolve()
const work = exclusive(process.env.NAME ?? 'ticks', async ({ signal }) => {
  write('begins')
  while (!signal.aborted) {
    write('ticks')
    await delay(20)
  }
  await delay(goodbyeMs)
  write('ends')
})
work.then(() => write('settled'))
console.log('asked')
