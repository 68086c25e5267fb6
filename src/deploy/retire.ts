import { setTimeout as delay } from 'node:timers/promises'
import { writeStopReason } from '../release/stop-reason.js'
import type { InstalledApp } from './app.js'
import type { Systemd } from '../systemd/systemd.js'
import { privateSocketPattern, privateSocketUnit } from '../units/names.js'
import { hasEnded, isServing, isUp, observeInstances, type RunningInstance } from './observe.js'

/**
 * Before the instances are told to end, and waited for: a connection that came later would start them again. In one go with
 * the instances, systemd would stop the sockets after them.
 */
export async function closePrivateSockets(systemd: Systemd, app: string, instances: readonly RunningInstance[]): Promise<void> {
  const open = new Set(await systemd.list(privateSocketPattern(app)))
  const sockets = instances.map(({ generation, process }) => privateSocketUnit(app, generation, process)).filter((unit) => open.has(unit))
  if (sockets.length > 0) await systemd.run('stop', sockets)
}

/** The same for all of an app that is to stop: also of an instance that has ended long ago, which a connection would start again. */
export async function closeAllPrivateSockets(systemd: Systemd, app: string): Promise<void> {
  const open = await systemd.list(privateSocketPattern(app))
  if (open.length > 0) await systemd.run('stop', open)
}

/** How long systemd may take to act on an order, in milliseconds; the drain itself is not waited for. */
const orderMs = 20_000

/** Tells instances to stop accepting and to drain, because others have taken their place. */
export async function retire({ systemd, paths }: Pick<InstalledApp, 'systemd' | 'paths'>, instances: readonly RunningInstance[]): Promise<void> {
  writeStopReason(paths, instances.filter(isUp), 'deploy')
  await closePrivateSockets(systemd, paths.app, instances)
  await systemd.beginStop(instances.map((instance) => instance.state.unit))
}

/**
 * Tells every instance but those of one generation to stop accepting and to drain. Looks until each has the order:
 * one may have been started meanwhile, and one that was told to end by somebody else is to restart after that, which
 * only an order of systemd's own prevents.
 * @returns units that are still up: systemd did not act on the order
 */
export async function retireAllBut({ systemd, paths }: InstalledApp, generation: number): Promise<string[]> {
  for (const deadline = Date.now() + orderMs; ; await delay(100)) {
    const others = (await observeInstances(systemd, paths.app)).filter((instance) => instance.generation !== generation && !hasEnded(instance))
    await retire({ systemd, paths }, others)
    const up = others.filter(isUp)
    if (up.length === 0 || Date.now() > deadline) return up.map((instance) => instance.state.unit)
  }
}

/**
 * Ends a generation that failed or was abandoned, and leaves no trace of it in systemd. An instance that is ready may
 * be in the middle of answering: it drains by itself. One that is not is killed: a hung start heeds no SIGTERM.
 */
export async function discard({ systemd, paths }: InstalledApp, generation: number): Promise<void> {
  const instances = (await observeInstances(systemd, paths.app)).filter((instance) => instance.generation === generation)
  const unready = instances.filter((instance) => !isServing(instance)).map((instance) => instance.state.unit)
  await retire({ systemd, paths }, instances)
  // Its process may have been forked only after the kill: until it is gone, again.
  for (const deadline = Date.now() + orderMs; Date.now() < deadline; await delay(50)) {
    const left = (await observeInstances(systemd, paths.app)).filter((instance) => unready.includes(instance.state.unit) && !hasEnded(instance))
    if (left.length === 0) break
    for (const instance of left) await systemd.kill(instance.state.unit, 'SIGKILL')
  }
  await systemd.resetFailed(unready)
}
