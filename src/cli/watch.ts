import type { ReadStream } from 'node:tty'
import type { DeployEvent } from '../deploy/operation/progress.js'
import { checkRunning } from '../deploy/install/preflight.js'
import { watchApps } from '../deploy/observe/watch-loop.js'
import { historyStory, readStory, type StoryLine } from '../deploy/observe/watch-story.js'
import type { View } from '../deploy/observe/watch-view.js'
import { HoldfastError } from '../errors.js'
import { readHistory } from '../release/history.js'
import { pathsOf } from '../release/paths.js'
import { Systemctl } from '../systemd/systemctl.js'
import { placesFor, type GlobalOptions } from './context.js'
import { Screen, type Output } from './terminal-screen.js'
import { mostEvents, watchFrame, type FrameSize } from './watch-frame.js'
import { listFrame } from './watch-list-frame.js'
import { watchJson } from './watch-json.js'
import type { Line } from './terminal-line.js'

export interface WatchCommandOptions extends GlobalOptions {
  json?: boolean
  /** Seconds, as typed. */
  interval?: string
}

/** Rates are those of so many milliseconds: in one second there is too little to tell a percentile from. */
const windowMs = 5_000
const redrawMs = 1_000

/** @returns the exit status */
export async function watchCommand(app: string | undefined, options: WatchCommandOptions): Promise<number> {
  const places = placesFor(options)
  checkRunning(places.scope)
  if (options.json === true) return watchJson(app, places, readInterval(options.interval))
  if (options.interval !== undefined) throw new HoldfastError('usage', '--interval is of --json: the live view is drawn once a second', { hint: 'holdfast watch --json --interval 10' })
  requireTerminal(app)
  return watchOnTerminal(app, options)
}

/** What a person looks at until `q` or Ctrl-C. */
async function watchOnTerminal(app: string | undefined, options: GlobalOptions): Promise<number> {
  const places = placesFor(options)
  const systemd = new Systemctl(places.scope)
  const end = new AbortController()
  const apps = new Map<string, WatchedApp>()
  const frame = (size: FrameSize): Line[] => {
    const now = Date.now()
    if (app === undefined) return listFrame([...apps.values()].sort((a, b) => (a.app < b.app ? -1 : 1)), size, now)
    return watchFrame(apps.get(app) ?? newApp(app), size, now)
  }
  const screen = new Screen(process.stdout as Output, process.stdin as ReadStream, { colour: !process.env['NO_COLOR'], frame, quit: () => end.abort() })
  let timer: NodeJS.Timeout | undefined
  const known = (name: string): WatchedApp => {
    const one = apps.get(name) ?? newApp(name)
    apps.set(name, one)
    return one
  }
  let isGone = false
  try {
    await watchApps(places, systemd, {
      app, windowMs, everyMs: () => redrawMs, asking: () => true, signal: end.signal,
      async looked(name, look, before) {
        const one = known(name)
        one.fault = undefined
        one.view = look.view
        if (app !== undefined && before === undefined) {
          const told = await readStory(systemd, name, mostEvents)
          one.story = told.length > 0 ? told : historyStory(readHistory(pathsOf(places, name)).slice(-mostEvents))
        } else if (app !== undefined && !one.isTold) one.addStory(historyStory(look.ended))
        one.addDeployEvents(look.deployEvents)
      },
      story(name, line) {
        const one = known(name)
        one.isTold = true
        one.addStory([line])
        screen.draw()
      },
      failed(name, error) {
        if (timer === undefined && app !== undefined) throw error
        known(name).fault = error.message
      },
      gone(name) {
        apps.delete(name)
        isGone = name === app
      },
      passed() {
        // Not before there is something to show: a mistake on the command line is told where it was made.
        if (timer === undefined) {
          screen.open()
          timer = setInterval(() => screen.draw(), redrawMs)
        }
        screen.draw()
      },
    })
  } finally {
    clearInterval(timer)
    screen.close()
  }
  if (isGone) process.stdout.write(`${app} was uninstalled.\n`)
  return 0
}

/** What the view keeps of one app. */
class WatchedApp {
  view: View | undefined
  fault: string | undefined
  deploy: DeployEvent[] = []
  story: StoryLine[] = []
  /** Whether the journal tells of it. */
  isTold = false
  private deployId: string | undefined

  constructor(readonly app: string) {}

  addStory(lines: readonly StoryLine[]): void {
    const fresh = lines.filter((line) => !this.story.some((known) => known.at === line.at && known.text === line.text))
    this.story = [...this.story, ...fresh].slice(-mostEvents)
  }

  addDeployEvents(events: readonly { id: string; event: DeployEvent }[]): void {
    for (const { id, event } of events) {
      if (id !== this.deployId) this.deploy = []
      this.deployId = id
      // Of what is told again and again, the last alone is shown.
      if (event.type === 'progress' || event.type === 'output') this.deploy = this.deploy.filter((old) => old.type !== event.type)
      this.deploy.push(event)
    }
  }
}

const newApp = (app: string): WatchedApp => new WatchedApp(app)

/** @throws HoldfastError `usage` */
function requireTerminal(app: string | undefined): void {
  const hint = `holdfast watch${app === undefined ? '' : ` ${app}`} --json`
  if (process.stdout.isTTY !== true) throw new HoldfastError('usage', 'standard output is no terminal, which a live view needs', { hint })
  if (process.env['TERM'] === 'dumb') throw new HoldfastError('usage', 'this terminal cannot move its cursor (TERM=dumb), which a live view needs', { hint })
}

/** @throws HoldfastError `usage` */
function readInterval(text = '5'): number {
  const seconds = /^\d{1,5}$/.test(text) ? Number(text) : 0
  if (seconds >= 1) return seconds * 1000
  throw new HoldfastError('usage', `--interval ${text}: expected a number of seconds, from 1`, { hint: 'holdfast watch --json --interval 5' })
}
