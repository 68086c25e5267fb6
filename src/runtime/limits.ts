/** How long a drain may take; all in milliseconds but the rate. */
export interface DrainLimits {
  /** From SIGTERM to the hard end. */
  timeoutMs: number
  /** To the hard end when the machine shuts down, counted from when that is known. */
  shutdownTimeoutMs: number
  /** systemd ends a draining instance that asks for no more time for so long. */
  hangTimeoutMs: number
  /** WebSockets and event streams are closed over this time. */
  reconnectWindowMs: number
  /** The most of them that are closed per second. */
  reconnectRate: number
}

/** About 25 days: node takes a timer that is longer for one of 1 ms. */
export const longestTimerMs = 2 ** 31 - 1

/** When nothing is said: below systemd's default TimeoutStopSec= of 90 s. */
const defaults: DrainLimits = {
  timeoutMs: 80_000,
  shutdownTimeoutMs: 80_000,
  hangTimeoutMs: 80_000,
  reconnectWindowMs: 30_000,
  reconnectRate: 100,
}

/** Reads the HOLDFAST_ variables that limit a drain; one that is missing or no number has its default. */
export function readDrainLimits(env: NodeJS.ProcessEnv): DrainLimits {
  return {
    timeoutMs: readNumber(env.HOLDFAST_DRAIN_TIMEOUT_MS, defaults.timeoutMs),
    shutdownTimeoutMs: readNumber(env.HOLDFAST_SHUTDOWN_TIMEOUT_MS, defaults.shutdownTimeoutMs),
    hangTimeoutMs: readNumber(env.HOLDFAST_HANG_TIMEOUT_MS, defaults.hangTimeoutMs),
    reconnectWindowMs: readNumber(env.HOLDFAST_RECONNECT_WINDOW_MS, defaults.reconnectWindowMs),
    reconnectRate: readNumber(env.HOLDFAST_RECONNECT_RATE, defaults.reconnectRate) || defaults.reconnectRate,
  }
}

function readNumber(text: string | undefined, otherwise: number): number {
  return text !== undefined && /^\d+(\.\d+)?$/.test(text) ? Math.min(Number(text), longestTimerMs) : otherwise
}
