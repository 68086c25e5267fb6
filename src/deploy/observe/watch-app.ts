import { readHistory, type HistoryEntry } from '../../release/history.js'
import { pathsOf, type AppPaths, type Places } from '../../release/paths.js'
import type { Report } from '../../runtime/report.js'
import type { Systemd } from '../../systemd/systemd.js'
import { statusOf, type AppStatus } from './app-status.js'
import { observeApp } from './observe-app.js'
import type { DeployEvent } from '../operation/progress.js'
import { readReport } from '../checks/reports.js'
import { DeployWatch } from './watch-deploys.js'
import { ratesOf, ratesOfAll, SampleWindow } from './watch-rates.js'
import { mayAskInstances, type View, type WatchedInstance } from './watch-view.js'

/** What a look has found that was not there at the look before. */
export interface Look {
  view: View
  /** Operations that have ended, oldest first. */
  ended: HistoryEntry[]
  deployEvents: { id: string; event: DeployEvent }[]
}

export interface AppWatchOptions {
  /** The time over which rates are counted, in milliseconds. */
  windowMs: number
  /** The seam for tests. */
  read?: (paths: AppPaths, instance: { generation: number; process: number }) => Promise<Report | undefined>
}

/** Looks at one app again and again. */
export class AppWatch {
  private readonly paths: AppPaths
  private readonly windows = new Map<string, SampleWindow>()
  private deploys: DeployWatch | undefined
  private status: AppStatus | undefined
  private readonly releases = new Map<number, string>()
  private entries: number | undefined
  private readonly begunAt = Date.now()

  constructor(private readonly places: Places, app: string, private readonly systemd: Systemd, private readonly options: AppWatchOptions) {
    this.paths = pathsOf(places, app)
  }

  /**
   * @param asking whether the instances are asked for their reports
   * @param fresh whether systemd is asked and the record read, too; else that is as at the last look
   * @throws HoldfastError `not-installed`, `state-corrupt` or `systemd-failed`
   */
  async look({ asking, fresh }: { asking: boolean; fresh: boolean }): Promise<Look> {
    const { paths } = this
    const isFresh = fresh || this.status === undefined
    const status = isFresh ? statusOf(await observeApp(this.places, paths.app, this.systemd)) : (this.status as AppStatus)
    this.status = status
    const mayAsk = mayAskInstances(paths)
    const reports = asking && mayAsk ? await Promise.all(status.instances.map((instance) => this.ask(instance))) : []
    const at = Date.now()
    this.forget(status.instances.map(({ unit }) => unit))
    const instances = status.instances.map((instance, i): WatchedInstance => {
      const report = reports[i] ?? null
      const counted = report === null ? undefined : this.count(instance.unit, at, report)
      return { ...instance, release: this.releaseOf(instance), report, rates: counted === undefined ? null : ratesOf(counted) }
    })
    const total = ratesOfAll(instances.flatMap(({ unit, report }) => (report === null ? [] : (this.windows.get(unit)?.counted() ?? []))))
    this.deploys ??= new DeployWatch(paths, status.deploy?.running === true ? (status.deploy.id ?? undefined) : undefined)
    return {
      view: { at, status: { ...status, instances }, rates: total ?? null, mayAsk },
      ended: isFresh ? this.readEnded() : [],
      deployEvents: this.deploys.read(),
    }
  }

  private async ask({ generation, process, pid }: { generation: number; process: number; pid: number | null }): Promise<Report | undefined> {
    return pid === null ? undefined : (this.options.read ?? readReport)(this.paths, { generation, process })
  }

  private count(unit: string, at: number, report: Report): ReturnType<SampleWindow['counted']> {
    const window = this.windows.get(unit) ?? new SampleWindow(this.options.windowMs, this.begunAt)
    this.windows.set(unit, window)
    window.add({ at, report })
    return window.counted()
  }

  /** An instance that drains may outlive its files, which name its release. */
  private releaseOf({ generation, release }: { generation: number; release: string | null }): string | null {
    if (release !== null) this.releases.set(generation, release)
    return this.releases.get(generation) ?? null
  }

  private forget(present: readonly string[]): void {
    for (const unit of this.windows.keys()) if (!present.includes(unit)) this.windows.delete(unit)
  }

  /** The lines of the history that have come since. */
  private readEnded(): HistoryEntry[] {
    const history = readHistory(this.paths)
    const known = this.entries ?? history.length
    this.entries = history.length
    return history.slice(known)
  }
}
