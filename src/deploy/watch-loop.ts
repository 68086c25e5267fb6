import { HoldfastError } from '../errors.js'
import { installedApps } from '../release/manifest.js'
import type { Places } from '../release/paths.js'
import type { Systemd } from '../systemd/systemd.js'
import { AppWatch, type Look } from './watch-app.js'
import { followStory, type StoryLine } from './watch-story.js'
import type { View } from './watch-view.js'

export interface WatchOptions {
  /** Undefined: every app that is installed, those that will be too. */
  app: string | undefined
  /** The time over which rates are counted, in milliseconds. */
  windowMs: number
  /** How long until the next look, in milliseconds; asked after each one. Never under a second, but for something that happens. */
  everyMs(): number
  /** Whether the next look is to ask the instances for their reports. */
  asking(): boolean
  looked(app: string, look: Look, before: View | undefined): void | Promise<void>
  story(app: string, line: StoryLine): void
  /** Its record or systemd could not be asked; it goes on. */
  failed(app: string, error: HoldfastError): void
  /** Uninstalled. */
  gone(app: string): void | Promise<void>
  /** All apps have been looked at. */
  passed(): void | Promise<void>
  signal: AbortSignal
}

/** After something has happened, the next thing waits so long at least, in milliseconds. */
const gapMs = 500
/** Looks take no larger share of the time than this. */
const mostShare = 0.1

/**
 * Looks at apps again and again, at once where the journal says that something has happened. Ends with the signal, and
 * where the one app is gone.
 * @throws HoldfastError `not-installed` at the first look
 */
export async function watchApps(places: Places, systemd: Systemd, options: WatchOptions): Promise<void> {
  const { signal } = options
  const watched = new Map<string, { watch: AppWatch; last: View | undefined }>()
  const pause = new Pause(signal)
  const ownsUnit = (unit: string): boolean => [...watched.keys()].some((app) => unit === `${app}.service` || unit.startsWith(`${app}@`) || unit.startsWith(`${app}-`))
  const stop = followStory(places.scope, () => [...watched.keys()], (app, line) => {
    options.story(app, line)
    pause.wake()
  }, (unit) => {
    if (ownsUnit(unit)) pause.wake()
  })
  try {
    for (let isFirst = true; !signal.aborted; isFirst = false) {
      const began = performance.now()
      const names = options.app === undefined ? installedApps(places).sort() : [options.app]
      for (const name of [...watched.keys()].filter((one) => !names.includes(one))) {
        watched.delete(name)
        await options.gone(name)
      }
      for (const name of names) {
        const one = watched.get(name) ?? { watch: new AppWatch(places, name, systemd, options), last: undefined }
        watched.set(name, one)
        try {
          const look = await one.watch.look({ asking: options.asking() })
          if (signal.aborted) return
          await options.looked(name, look, one.last)
          one.last = look.view
        } catch (error) {
          if (!(error instanceof HoldfastError) || (isFirst && options.app !== undefined && error.code === 'not-installed')) throw error
          if (error.code === 'not-installed') {
            watched.delete(name)
            await options.gone(name)
            if (options.app !== undefined) return
          } else options.failed(name, error)
        }
      }
      await options.passed()
      const tookMs = performance.now() - began
      await pause.wait({ atLeastMs: Math.max(gapMs, tookMs / mostShare) - tookMs, atMostMs: Math.max(options.everyMs(), tookMs / mostShare) - tookMs })
    }
  } finally {
    stop()
  }
}

/** A pause that something may end early. */
class Pause {
  private isAwake = false
  private end: (() => void) | undefined

  constructor(private readonly signal: AbortSignal) {
    signal.addEventListener('abort', () => this.end?.())
  }

  wake(): void {
    this.isAwake = true
    this.end?.()
  }

  async wait({ atLeastMs, atMostMs }: { atLeastMs: number; atMostMs: number }): Promise<void> {
    // What has happened during the look may have come too late for it.
    await this.sleep(atLeastMs, () => this.signal.aborted)
    await this.sleep(atMostMs - atLeastMs, () => this.isAwake || this.signal.aborted)
    this.isAwake = false
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
