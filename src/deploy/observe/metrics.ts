import { readHistory, type HistoryEntry } from '../../release/history.js'
import { pathsOf, type AppPaths, type Places } from '../../release/paths.js'
import type { Report } from '../../runtime/report.js'
import type { Systemd } from '../../systemd/systemd.js'
import { statusOf, type InstanceStatus } from './app-status.js'
import { findReplaced, readDrains, type DrainFigures } from './drain-sums.js'
import type { AppMetrics } from './metrics-families.js'
import { observeApp } from './observe-app.js'
import { readReport } from '../checks/reports.js'

/** An instance that hangs tells nothing: the others are not to wait for it. */
const reportTimeoutMs = 1_000

/** Of so many handovers the drains are looked up in the journal. */
const drainsShown = 10

/** Looks at an app as its metrics need it. @throws HoldfastError `not-installed` or `state-corrupt` */
export async function observeMetrics(places: Places, app: string, systemd: Systemd): Promise<AppMetrics> {
  const paths = pathsOf(places, app)
  const history = readHistory(paths)
  const [observation, drains] = await Promise.all([observeApp(places, app, systemd), readLatestDrains(paths, systemd, history)])
  const status = statusOf(observation)
  return { status, history, drains, reports: await readReports(paths, status.instances) }
}

async function readReports(paths: AppPaths, instances: readonly InstanceStatus[]): Promise<Map<string, Report>> {
  // The sockets of one that drains are closed: a connection would start it again.
  const asked = instances.filter(({ pid, phase }) => pid !== null && phase !== 'draining')
  const answers = await Promise.all(asked.map(async (instance) => [instance.unit, await readReport(paths, instance, { timeoutMs: reportTimeoutMs })] as const))
  return new Map(answers.filter((answer): answer is [string, Report] => answer[1] !== undefined))
}

async function readLatestDrains(paths: AppPaths, systemd: Systemd, history: readonly HistoryEntry[]): Promise<Map<number, DrainFigures>> {
  const drains = await readDrains(paths, systemd, findReplaced(history).slice(-drainsShown))
  return new Map([...drains].map(([{ generation }, figures]) => [generation, figures]))
}
