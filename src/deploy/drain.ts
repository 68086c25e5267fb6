import { setTimeout as delay } from 'node:timers/promises'
import { pruneStopReasons, writeStopReason } from '../release/stop-reason.js'
import { activateService, appService, drainService, isListenerSocket } from '../units/names.js'
import type { InstalledUnits } from './app.js'
import { closeListeners } from './listeners/listener-close.js'
import { hasEnded, isUp, observeInstances } from './observe.js'
import { clearFolderRequest, requestFolder } from './request.js'
import { closeAllPrivateSockets } from './retire.js'

/**
 * The `ExecStop=` of the drain unit. On a restart of the app nothing stops; on a stop the listeners
 * close and every instance drains. Ends when all have, or as soon as the app is started again. Needs no
 * configuration, so that a faulty one never keeps an app from stopping.
 */
export async function drainApp({ units, paths, systemd, story }: InstalledUnits): Promise<void> {
  const { app } = paths
  const own = drainService(app)
  if ((await systemd.job(own)) === 'restart') {
    if ((await systemd.job(appService(app))) !== undefined) requestFolder(paths)
    return
  }
  // systemd then stops every unit itself, and takes no more orders: see shutdown.ts.
  if ((await systemd.systemState()) === 'stopping') return

  clearFolderRequest(paths)
  story.tell('app-stopping', `Stopping ${app}: its listeners close and every generation drains.`)
  // Waited for: no connection may start the app again.
  const sockets = units.filter(isListenerSocket)
  if (sockets.length > 0) {
    await closeListeners(systemd, app, sockets, units)
    await systemd.run('stop', [activateService(app)])
  }
  const begin = performance.now()
  for (;;) {
    await closeAllPrivateSockets(systemd, app)
    const left = (await observeInstances(systemd, app)).filter((instance) => !hasEnded(instance))
    if (left.length === 0) break
    const up = left.filter(isUp)
    // From here on it is a drain of a shutdown, whose orders are systemd's own.
    if ((await systemd.systemState()) === 'stopping') return
    writeStopReason(paths, up, 'stop')
    await systemd.beginStop(up.map((instance) => instance.state.unit))
    if ((await systemd.job(own)) !== 'stop') return // a start waits for us
    await delay(250)
  }
  pruneStopReasons(paths, new Set())
  story.tell('app-stopped', `${app} is stopped: every generation has ended.`, { durationMs: performance.now() - begin })
}
