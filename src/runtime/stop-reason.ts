import { closeSync, constants, openSync, readSync } from 'node:fs'
import type { StopReason } from './environment.js'

/**
 * Why root stops this instance: the word in the file that HOLDFAST_STOP_FILE names. Without a readable one, somebody stopped the
 * unit itself: `stop`.
 */
export function readStopReason(path: string | undefined): StopReason {
  if (!path) return 'stop'
  try {
    const word = readStart(path).trim()
    return word === 'deploy' || word === 'shutdown' ? word : 'stop'
  } catch {
    return 'stop'
  }
}

/** More than any reason is long. Whatever is there in place of a file, such as a FIFO that nobody writes to, is not waited for. */
function readStart(path: string): string {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const start = Buffer.alloc(64)
    return start.toString('latin1', 0, readSync(file, start))
  } finally {
    closeSync(file)
  }
}
