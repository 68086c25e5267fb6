import { instancePattern, parseInstance } from '../units/names.js'
import type { InstalledApp } from './app.js'
import { isDraining, isUp, observeInstances, type RunningInstance } from './observe.js'

/** Tells instances to stop accepting and to drain; waits for nothing. */
export async function retire({ systemd }: InstalledApp, instances: readonly RunningInstance[]): Promise<void> {
  await systemd.queueStop(instances.map((instance) => instance.state.unit))
}

/**
 * Ends a generation that failed, and leaves no trace of it in systemd. One that was ready may be in the
 * middle of answering: it drains by itself. One that never was is killed: a hung start heeds no SIGTERM.
 */
export async function discard({ systemd, paths }: InstalledApp, generation: number, options: { drain: boolean }): Promise<void> {
  const units = (await systemd.list(instancePattern(paths.app))).filter((unit) => parseInstance(paths.app, unit)?.generation === generation)
  await systemd.queueStop(units)
  if (options.drain) return
  // Its process may have been forked only after the kill: until it is gone, again.
  for (const deadline = Date.now() + 20_000; Date.now() < deadline; await new Promise((resolve) => setTimeout(resolve, 50))) {
    const left = (await observeInstances(systemd, paths.app)).filter(
      (instance) => instance.generation === generation && (isUp(instance) || isDraining(instance)),
    )
    if (left.length === 0) break
    for (const instance of left) await systemd.kill(instance.state.unit, 'SIGKILL')
  }
  await systemd.resetFailed(units)
}
