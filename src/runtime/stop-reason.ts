import { readFileSync } from 'node:fs'
import type { StopReason } from './environment.js'

/**
 * Why root stops this instance: the word in the file that HOLDFAST_STOP_FILE names. Without a readable one, somebody stopped the
 * unit itself: `stop`.
 */
export function readStopReason(path: string | undefined): StopReason {
  if (!path) return 'stop'
  try {
    const word = readFileSync(path, 'utf8').trim()
    return word === 'deploy' || word === 'shutdown' ? word : 'stop'
  } catch {
    return 'stop'
  }
}
