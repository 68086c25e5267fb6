/** A thousand WebSockets on one app: after a deploy they come back spread over time, and never faster than the cap. */
import { readFile } from 'node:fs/promises'
import { expect, it, onTestFinished } from 'vitest'
import { Crowd, peakWithin } from '../traffic/crowd.js'
import { expectSuccess, holdfast, journal, show, systemctl, waitFor } from './harness.js'
import { makeHarbour } from './matrix.js'

const count = 1_000
const perSecond = 150
/**
 * On a busy machine either side may stand still for a while, after which what was due meanwhile comes at once: 150 ms of that are
 * 15 % of a second. Moments that are random and not spread would exceed the cap by 25 %, and those of a window of 1 s by 500 %.
 */
const peakAtMost = perSecond * 1.15

it.each([
  { name: 'spread over the window', window: '10s', leastMs: 9_000, mostMs: 11_000 },
  { name: 'at the cap, where the window is too short for all', window: '1s', leastMs: (count / perSecond) * 1_000 - 500, mostMs: (count / perSecond) * 1_000 + 1_000 },
])('1,000 WebSockets come back $name', { timeout: 90_000 }, async ({ window, leastMs, mostMs }) => {
  const harbour = await makeHarbour('crowd', `[start]\nsettle = "300ms"\n[drain]\nreconnect_window = "${window}"\nreconnect_rate = ${perSecond}`)
  expectSuccess(await holdfast('install', harbour.config))
  const { MainPID } = await show(`${harbour.name}@1.1.service`, 'MainPID')
  expect(openFileLimit(await readFile(`/proc/${MainPID}/limits`, 'utf8'))).toBeGreaterThan(4 * count)
  const crowd = new Crowd(`ws://${harbour.address}/`, count)
  onTestFinished(() => crowd.leave())
  await waitFor('all are connected', () => crowd.openedBy(1) === count, { timeoutMs: 20_000 })

  await harbour.release('2')
  expectSuccess(await systemctl('restart', harbour.name))
  await waitFor('all are back', () => crowd.openedBy(2) === count, { timeoutMs: 30_000 })

  expect(crowd.faults).toEqual([])
  const closed = crowd.closedWith(1001)
  expect(closed.length).toBe(count)
  const spreadMs = (closed.at(-1) ?? 0) - (closed[0] ?? 0)
  const peak = peakWithin(closed, 1_000)
  const opened = crowd.events.flatMap((event) => (event.kind === 'open' && event.generation === '2' ? event.atMs : [])).sort((a, b) => a - b)
  process.stdout.write(
    `${count} WebSockets, window ${window}, cap ${perSecond}/s: closed within ${(spreadMs / 1_000).toFixed(1)} s, ` +
      `peak ${peak} closed and ${peakWithin(opened, 1_000)} opened in a second\n`,
  )
  expect(peak).toBeLessThanOrEqual(peakAtMost)
  expect(spreadMs).toBeGreaterThan(leastMs)
  expect(spreadMs).toBeLessThan(mostMs)
  // Evenly: no second of it without its share.
  const share = count / (spreadMs / 1_000)
  for (let from = closed[0] ?? 0; from + 1_000 < (closed.at(-1) ?? 0); from += 1_000) {
    expect(closed.filter((moment) => moment >= from && moment < from + 1_000).length).toBeGreaterThan(share * 0.7)
  }
  await waitFor('the old instance tells of it', async () => (await journal(harbour.name)).includes(`${count} WebSockets moved`))
})

/** The soft limit, of /proc/PID/limits. */
function openFileLimit(limits: string): number {
  return Number(/^Max open files +(\d+)/m.exec(limits)?.[1])
}
