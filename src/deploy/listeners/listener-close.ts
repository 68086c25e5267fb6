import { closeTarget, closeTemplate } from '../../units/names.js'
import type { Systemd } from '../../systemd/systemd.js'

/**
 * Stops socket units of listeners, and waits for it. They refuse a stop by name (`RefuseManualStop=`), so a unit that conflicts with each is
 * started; those that an older version of Holdfast has installed have no such unit.
 * @param installed the units of the app, as they were installed last
 */
export async function closeListeners(systemd: Systemd, app: string, sockets: readonly string[], installed: readonly string[]): Promise<void> {
  if (sockets.length === 0) return
  if (!installed.includes(closeTemplate(app))) {
    await systemd.run('stop', sockets)
    return
  }
  const targets = sockets.map((socket) => closeTarget(app, socket))
  // Its start waits for the stop of what it conflicts with, which it is ordered after. It has then done its work.
  const { ok } = await systemd.run('start', targets)
  await systemd.run('stop', targets)
  // Its file is gone, or masked: an app must be stopped all the same.
  if (!ok) await systemd.runTransient(conflictingUnit(app, sockets))
}

/** The same as a transient unit, under a name of systemd's choice. */
const conflictingUnit = (app: string, sockets: readonly string[]): string[] => [
  '--collect', `--description=Close listeners of ${app}`, ...sockets.flatMap((socket) => [`--property=Conflicts=${socket}`, `--property=After=${socket}`]), '--', '/bin/true',
]
