import { activateService, appService, drainService, socketUnit } from '../units/names.js'
import type { InstalledApp } from './app.js'
import { isDraining, isUp, observeInstances } from './observe.js'
import { clearFolderRequest, requestFolder } from './request.js'

/**
 * The `ExecStop=` of the drain unit. On a restart of the app nothing stops; on a stop the listeners
 * close and every instance drains. Ends when all have, or as soon as the app is started again.
 */
export async function drainApp({ config, paths, systemd, story }: InstalledApp): Promise<void> {
  const { app } = paths
  const own = drainService(app)
  if ((await systemd.job(own)) === 'restart') {
    if ((await systemd.job(appService(app))) !== undefined) requestFolder(paths)
    return
  }
  // systemd then stops every unit itself, and takes no more orders.
  if ((await systemd.systemState()) === 'stopping') return

  clearFolderRequest(paths)
  story.tell('app-stopping', `Stopping ${app}: its listeners close and every generation drains.`)
  // Sockets first, and waited for: no connection may start the app again.
  await systemd.run('stop', config.listen.map((listener) => socketUnit(app, listener.name)))
  await systemd.queueStop(config.listen.length === 0 ? [] : [activateService(app)])
  const begin = performance.now()
  for (;;) {
    const left = (await observeInstances(systemd, app)).filter((instance) => isUp(instance) || isDraining(instance))
    if (left.length === 0) break
    await systemd.queueStop(left.filter(isUp).map((instance) => instance.state.unit))
    if ((await systemd.job(own)) !== 'stop') return // a start waits for us
    await new Promise((resolve) => setTimeout(resolve, 250))
  }
  story.tell('app-stopped', `${app} is stopped: every generation has ended.`, { durationMs: performance.now() - begin })
}
