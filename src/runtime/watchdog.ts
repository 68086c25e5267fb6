import { longestTimerMs } from './limits.js'
import { notifyWatchdog } from './notify.js'

/**
 * How often to ping, in milliseconds: half of WATCHDOG_USEC, as sd_watchdog_enabled(3) recommends. Undefined when no watchdog
 * is set, or when it is meant for another process (WATCHDOG_PID).
 */
export function watchdogIntervalMs(env: NodeJS.ProcessEnv, pid: number): number | undefined {
  const usec = Number(env.WATCHDOG_USEC)
  if (!Number.isSafeInteger(usec) || usec <= 0) return undefined
  if (env.WATCHDOG_PID && env.WATCHDOG_PID !== String(pid)) return undefined
  return Math.min(Math.max(1, Math.floor(usec / 2000)), longestTimerMs)
}

/**
 * Pings from the event loop, so that a blocked one stops the pings and systemd replaces the process. The timer does not keep
 * the process alive. Does nothing when no watchdog is set.
 * @returns whether pings are sent
 */
export function startWatchdog(env: NodeJS.ProcessEnv = process.env): boolean {
  const intervalMs = watchdogIntervalMs(env, process.pid)
  if (intervalMs === undefined) return false
  notifyWatchdog()
  setInterval(notifyWatchdog, intervalMs).unref()
  return true
}
