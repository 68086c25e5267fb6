import { setTimeout as delay } from 'node:timers/promises'
import { readShutdownTimeoutMs } from '../release/instance.js'
import { writeStopReason } from '../release/stop-reason.js'
import { stopGraceMs } from '../units/render.js'
import type { InstalledUnits } from './app.js'
import { hasEnded, observeInstances } from './observe.js'

/** Where an instance's files do not tell, in milliseconds. */
const defaultTimeoutMs = 90_000

/**
 * The `ExecStart=` of the shutdown unit, which systemd starts when the machine shuts down (of a user's own manager:
 * when that ends). systemd itself has told every instance to stop by then, and would wait for as long as a drain may
 * take. Says to each that has not ended why, those too that drain for another reason; kills it when its
 * `drain.shutdown_timeout` and the time to log what was cut are over. Needs no configuration.
 */
export async function boundShutdown({ paths, systemd, story }: InstalledUnits): Promise<void> {
  const { app } = paths
  if ((await systemd.systemState()) !== 'stopping') return
  const begin = performance.now()
  const elapsedMs = (): number => performance.now() - begin
  const killed = new Set<string>()
  for (let isTold = false; ; await delay(250)) {
    const left = (await observeInstances(systemd, app)).filter((instance) => !hasEnded(instance))
    if (left.length === 0) break
    // Each time: a drain or a handover that is being stopped itself may have written after us.
    writeStopReason(paths, left, 'shutdown')
    const limits = left.map((instance) => ({ ...instance, limitMs: readShutdownTimeoutMs(paths, instance) ?? defaultTimeoutMs }))
    if (!isTold) {
      const longestMs = Math.max(...limits.map(({ limitMs }) => limitMs))
      story.tell('shutdown-began', `The machine shuts down: what runs of ${app} has ${longestMs / 1000} s to finish.`)
      isTold = true
    }
    for (const { state, limitMs } of limits) {
      if (elapsedMs() < limitMs + stopGraceMs) continue
      if (!killed.has(state.unit)) story.tell('shutdown-killed', `${state.unit} did not end within ${limitMs / 1000} s of the shutdown, and was killed.`)
      killed.add(state.unit)
      await systemd.kill(state.unit, 'SIGKILL')
    }
  }
}
