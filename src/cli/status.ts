import { exitStatusOf, statusOf, type AppStatus } from '../deploy/observe/app-status.js'
import { observeApp } from '../deploy/observe/observe-app.js'
import { checkRunning } from '../deploy/install/preflight.js'
import { HoldfastError } from '../errors.js'
import { installedApps } from '../release/manifest.js'
import { Systemctl } from '../systemd/systemctl.js'
import { placesFor, type GlobalOptions } from './context.js'
import { print, printError } from './output.js'
import { listText, statusText } from './status-text.js'

/** @returns the exit status: that of the app, or the worst of all apps */
export async function statusCommand(app: string | undefined, options: GlobalOptions & { json?: boolean }): Promise<number> {
  const places = placesFor(options)
  checkRunning(places.scope)
  const systemd = new Systemctl(places.scope)
  if (app !== undefined) {
    const status = statusOf(await observeApp(places, app, systemd))
    print(options.json === true ? JSON.stringify(status, null, 2) : statusText(status, Date.now()))
    return exitStatusOf(status)
  }

  let worst = 0
  const all: AppStatus[] = []
  for (const name of installedApps(places).sort()) {
    try {
      const status = statusOf(await observeApp(places, name, systemd))
      all.push(status)
      worst = Math.max(worst, exitStatusOf(status))
    } catch (error) {
      // One app whose record cannot be read hides no other.
      if (!(error instanceof HoldfastError) || error.code !== 'state-corrupt') throw error
      worst = Math.max(worst, printError(error))
    }
  }
  if (options.json === true) print(JSON.stringify(all, null, 2))
  else if (all.length > 0) print(listText(all, Date.now()))
  else if (worst === 0) print('No app is installed. In the folder of one: holdfast init, then: holdfast install')
  return worst
}
