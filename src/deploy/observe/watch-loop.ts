import { HoldfastError } from '../../errors.js'
import { installedApps } from '../../release/manifest.js'
import type { Places } from '../../release/paths.js'
import type { Systemd } from '../../systemd/systemd.js'
import { AppWatch, type Look } from './watch-app.js'
import { Attention } from './watch-attention.js'
import { canReadJournal, followStory, type StoryLine } from './watch-story.js'
import type { View } from './watch-view.js'

export interface WatchOptions {
  /** Undefined: every app that is installed, those that will be too. */
  app: string | undefined
  /** The time over which rates are counted, in milliseconds. */
  windowMs: number
  /** How long until all are looked at again, in milliseconds; asked after each time, with whether something is under way. */
  everyMs(isBusy: boolean): number
  /** Whether the next look is to ask the instances for their reports. */
  asking(): boolean
  looked(app: string, look: Look, before: View | undefined): void | Promise<void>
  story(app: string, line: StoryLine): void
  /** Its record or systemd could not be asked; it goes on. */
  failed(app: string, error: HoldfastError): void
  /** Uninstalled. */
  gone(app: string): void | Promise<void>
  /** What was to be looked at has been. */
  passed(): void | Promise<void>
  signal: AbortSignal
}

/** After something has happened, the next thing waits so long at least, in milliseconds. */
const gapMs = 500
/** Where nothing is under way and the journal would tell, systemd is asked so often, in milliseconds. */
const calmMs = 5_000
/** Looking at all apps takes no larger share of the time than this. */
const mostShare = 0.25

/**
 * Looks at apps again and again, and at one at once where the journal says that something has happened to it. Ends with
 * the signal, and where the one app is gone.
 * @throws HoldfastError `not-installed` at the first look
 */
export async function watchApps(places: Places, systemd: Systemd, options: WatchOptions): Promise<void> {
  const { signal } = options
  const watched = new Map<string, { watch: AppWatch; last: View | undefined; askedAt: number }>()
  const pause = new Pause(signal)
  const attention = new Attention(await canReadJournal(systemd))
  const happened = (app: string): void => {
    attention.happened(app, performance.now())
    pause.wake(app)
  }
  const stop = followStory(places.scope, () => [...watched.keys()], (app, line) => {
    options.story(app, line)
    happened(app)
  }, (unit) => {
    for (const app of watched.keys()) if (unit === `${app}.service` || unit.startsWith(`${app}@`) || unit.startsWith(`${app}-`)) happened(app)
  })

  const forget = async (app: string): Promise<void> => {
    watched.delete(app)
    attention.forget(app)
    await options.gone(app)
  }
  const look = async (app: string): Promise<void> => {
    const one = watched.get(app) ?? { watch: new AppWatch(places, app, systemd, options), last: undefined, askedAt: -Infinity }
    watched.set(app, one)
    const now = performance.now()
    // A timer may be a little early.
    const isFresh = attention.isNeededBy(app, now) || now - one.askedAt > calmMs * 0.9
    try {
      const seen = await one.watch.look({ asking: options.asking(), fresh: isFresh })
      if (signal.aborted) return
      if (isFresh) one.askedAt = now
      attention.seen(app, seen.view)
      await options.looked(app, seen, one.last)
      one.last = seen.view
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error
      if (error.code !== 'not-installed') options.failed(app, error)
      else if (options.app !== undefined && one.last === undefined) throw error
      else await forget(app)
    }
  }

  try {
    for (let dueAt = -Infinity; !signal.aborted; ) {
      const began = performance.now()
      const isDue = began >= dueAt
      const names = options.app === undefined ? installedApps(places).sort() : [options.app]
      for (const app of watched.keys()) if (!names.includes(app)) await forget(app)
      const woken = pause.takeWoken()
      for (const app of isDue ? names : names.filter((name) => woken.has(name))) {
        await look(app)
        if (signal.aborted || (options.app !== undefined && !watched.has(app))) return
      }
      await options.passed()
      const now = performance.now()
      const everyMs = options.everyMs([...watched.keys()].some((app) => attention.isNeededBy(app, now)))
      if (isDue) dueAt = now + Math.max(everyMs - (now - began), (now - began) * (1 / mostShare - 1))
      else dueAt = Math.min(dueAt, now + everyMs)
      await pause.wait({ atLeastMs: Math.min(gapMs, dueAt - now), atMostMs: dueAt - now })
    }
  } finally {
    stop()
  }
}

/** A pause that something may end early. */
class Pause {
  private woken = new Set<string>()
  private end: (() => void) | undefined

  constructor(private readonly signal: AbortSignal) {
    signal.addEventListener('abort', () => this.end?.())
  }

  wake(app: string): void {
    this.woken.add(app)
    this.end?.()
  }

  /** What has happened from now on may be too late for the look that is begun. */
  takeWoken(): ReadonlySet<string> {
    const woken = this.woken
    this.woken = new Set()
    return woken
  }

  async wait({ atLeastMs, atMostMs }: { atLeastMs: number; atMostMs: number }): Promise<void> {
    await this.sleep(atLeastMs, () => this.signal.aborted)
    await this.sleep(atMostMs - atLeastMs, () => this.woken.size > 0 || this.signal.aborted)
  }

  private async sleep(ms: number, isOver: () => boolean): Promise<void> {
    if (isOver() || ms <= 0) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.end = () => {
        if (!isOver()) return
        clearTimeout(timer)
        resolve()
      }
    })
    this.end = undefined
  }
}
