import { formatOpenMetrics, formatPrometheus } from '../deploy/observe/metrics-text.js'
import { metricFamilies, type AppMetrics } from '../deploy/observe/metrics-families.js'
import { observeMetrics } from '../deploy/observe/metrics.js'
import { checkRunning } from '../deploy/install/preflight.js'
import { notInstalled } from '../deploy/install/uninstall.js'
import { HoldfastError } from '../errors.js'
import { installedApps, readManifest } from '../release/manifest.js'
import { pathsOf, type Places } from '../release/paths.js'
import { Systemctl } from '../systemd/systemctl.js'
import type { Systemd } from '../systemd/systemd.js'
import { placesFor, type GlobalOptions } from './context.js'
import { checkTextfile, writeTextfile } from './metrics-file.js'
import { printError } from './output.js'
import { version } from './version.js'

/** Apps that are looked at side by side: each starts some programs of systemd's. */
const appsAtOnce = 4

/** Tells the metrics of one installed app, or of all. An app that cannot be looked at hides no other. */
export async function metricsCommand(app: string | undefined, options: GlobalOptions & { textfile?: string }): Promise<void> {
  const places = placesFor(options)
  const { textfile } = options
  if (textfile !== undefined) checkTextfile(textfile)
  checkRunning(places.scope)
  if (app !== undefined && readManifest(pathsOf(places, app)) === undefined) throw notInstalled(places, app)
  const begin = performance.now()
  const { apps, failed } = await observeAll(places, app === undefined ? installedApps(places).sort() : [app], new Systemctl(places.scope))
  const families = metricFamilies({ version, apps, failed, durationMs: performance.now() - begin })
  if (textfile === undefined) process.stdout.write(formatOpenMetrics(families))
  else writeTextfile(textfile, formatPrometheus(families))
}

async function observeAll(places: Places, names: readonly string[], systemd: Systemd): Promise<{ apps: AppMetrics[]; failed: string[] }> {
  const seen = new Map<string, AppMetrics>()
  const failed: string[] = []
  const left = [...names]
  const work = async (): Promise<void> => {
    for (let name = left.shift(); name !== undefined; name = left.shift()) {
      try {
        seen.set(name, await observeMetrics(places, name, systemd))
      } catch (error) {
        // Uninstalled meanwhile.
        if (error instanceof HoldfastError && error.code === 'not-installed') continue
        failed.push(name)
        printError(error)
      }
    }
  }
  await Promise.all(Array.from({ length: appsAtOnce }, work))
  return { apps: names.flatMap((name) => seen.get(name) ?? []), failed }
}
