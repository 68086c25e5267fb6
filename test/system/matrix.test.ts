/** Every kind of client at an app that is handed over again and again. scripts/endurance runs this with more handovers. */
import { expect, it } from 'vitest'
import { activeState, expectSuccess, holdfast, journal, systemctl, units, waitFor } from './harness.js'
import { describe as describeLedger, makeHarbour, Sightings, visitAll } from './matrix.js'

const handovers = Number(process.env['HANDOVERS'] ?? 10)
const perHandoverMs = 30_000

it(`loses nothing of any client in ${handovers} handovers`, { timeout: 60_000 + handovers * perHandoverMs }, async () => {
  const harbour = await makeHarbour('matrix', '[start]\nsettle = "300ms"\n[drain]\ntimeout = "5min"\nreconnect_window = "1s"')
  expectSuccess(await holdfast('install', harbour.config))
  const traffic = visitAll(harbour, { maxMs: 60_000 + handovers * perHandoverMs, maxRequests: 5_000_000 })
  const seen = new Sightings(traffic.ledger)
  const seenByAll = (generation: number) =>
    traffic.until(() => seen.kindsWithout(generation).length === 0, { timeoutMs: perHandoverMs }).catch((error: Error) => {
      throw new Error(`generation ${generation} was not seen by ${seen.kindsWithout(generation).join(', ')}: ${error.message}`)
    })
  let ledger = traffic.ledger
  try {
    await seenByAll(1)
    for (let n = 2; n <= handovers + 1; n += 1) {
      await harbour.release(String(n))
      expectSuccess(await systemctl('restart', harbour.name))
      await seenByAll(n)
      if (process.env['HANDOVERS'] && (n - 1) % 10 === 0) {
        process.stdout.write(`${n - 1} handovers, ${ledger.requests} requests, ${ledger.failures.length} failed\n`)
      }
    }
  } finally {
    ledger = await traffic.stop()
    process.stdout.write(`\n${describeLedger(ledger)}\n\n`)
  }

  expect(ledger.failures.slice(0, 10)).toEqual([])
  await waitFor('the older generations have ended', async () => (await units(`${harbour.name}@*.service`, 'active', 'deactivating')).length === 1, { timeoutMs: 30_000 })
  expect(await activeState(`${harbour.name}.service`)).toBe('active')
  // The drains tell the same story: each came to its end, and cut nothing.
  const story = await journal(harbour.name)
  expect(story.match(/drained in/g)?.length).toBe(handovers)
  expect(story).not.toContain('the time of this drain was over')
})
