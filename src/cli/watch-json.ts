import { changeEvents, findDrained, ratesEvent, snapshotEvent, storyEvent, type WatchEvent } from '../deploy/observe/watch-events.js'
import { watchApps } from '../deploy/observe/watch-loop.js'
import { readDrain, type DrainedRequests } from '../deploy/observe/watch-story.js'
import type { Look } from '../deploy/observe/watch-app.js'
import type { View } from '../deploy/observe/watch-view.js'
import type { Places } from '../release/paths.js'
import type { Systemd } from '../systemd/systemd.js'
import { Systemctl } from '../systemd/systemctl.js'
import { jsonText, print } from './output.js'

/** While something is under way, and where the journal would not say that something begins: between looks, in milliseconds. */
const busyMs = 1_000
/** An instance has logged its drain a moment before systemd takes it for ended. */
const slackMs = 2_000

/** Prints events until a signal, or until nobody reads them. @returns the exit status */
export async function watchJson(app: string | undefined, places: Places, intervalMs: number): Promise<number> {
  const systemd = new Systemctl(places.scope)
  const end = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => end.abort())
  process.stdout.on('error', () => end.abort())
  const write = (event: WatchEvent): void => print(jsonText(event))
  const faults = new Map<string, string>()
  let askedAt = -Infinity
  const isDue = (): boolean => performance.now() - askedAt >= intervalMs - 5
  let asks = false
  await watchApps(places, systemd, {
    app, windowMs: intervalMs, signal: end.signal,
    asking: () => (asks ||= isDue()),
    everyMs(isBusy) {
      const dueMs = Math.max(0, askedAt + intervalMs - performance.now())
      return isBusy ? Math.min(dueMs, busyMs) : dueMs
    },
    async looked(name, look, before) {
      faults.delete(name)
      if (before === undefined) write(snapshotEvent(look.view))
      else for (const event of changeEvents(before, look, await readDrains(systemd, name, before, look))) write(event)
      if (before !== undefined && asks) write(ratesEvent(look.view))
    },
    story: (name, line) => write(storyEvent(name, line)),
    failed(name, error) {
      if (faults.get(name) === error.message) return
      faults.set(name, error.message)
      write({ type: 'error', at: new Date().toISOString(), app: name, message: error.message })
    },
    gone(name) {
      faults.delete(name)
      write({ type: 'uninstalled', at: new Date().toISOString(), app: name })
    },
    async passed() {
      // With no app there is nobody to ask.
      if (asks || isDue()) askedAt = performance.now()
      asks = false
      // A reader that is slow makes us slow.
      if (process.stdout.writableNeedDrain) await new Promise<void>((resolve) => {
        process.stdout.once('drain', resolve)
        end.signal.addEventListener('abort', () => resolve(), { once: true })
      })
    },
  })
  return 0
}

async function readDrains(systemd: Systemd, app: string, before: View, { view }: Look): Promise<Map<number, DrainedRequests>> {
  const drains = new Map<number, DrainedRequests>()
  for (const { generation, since } of findDrained(before, view)) {
    const drain = await readDrain(systemd, app, generation, (since ?? before.at) - slackMs)
    if (drain !== undefined) drains.set(generation, drain)
  }
  return drains
}
