import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { HoldfastError } from '../errors.js'
import { writeDurably } from './durable-file.js'
import type { AppPaths } from './paths.js'

/** What is recorded of an app: `state.json`. Readable by all; holds no secret. */
export interface State {
  version: 1
  /** Counts the writes, so that a writer knows whether it began from what is on disk. Absent: 0. */
  revision?: number
  /** The last generation number that was given out; numbers only grow. */
  generation: number
  /** The release that the next start brings up. Equals the live one but during a handover. */
  wanted?: string
  /** The generation that became ready and settled last. */
  live?: Live
  /** `hooks.after_drain` of the live release, as long as it waits or runs. */
  afterDrain?: AfterDrain
}

export interface AfterDrain {
  release: string
  /** It waits for every instance of an older generation. */
  generation: number
  /** ISO 8601, UTC: when that generation went live. */
  since: string
  /** ISO 8601, UTC: when it was begun; absent while it waits. */
  begun?: string
  /** Why it failed: it is then run again by hand only. */
  failed?: string
}

export interface Live {
  generation: number
  release: string
  processes: number
  /** ISO 8601, UTC. */
  since: string
}

const stateFile = (paths: AppPaths): string => join(paths.state, 'state.json')

/**
 * The recorded state; a fresh one where nothing is recorded yet.
 * @throws HoldfastError `state-corrupt`
 */
export function readState(paths: AppPaths): State {
  const file = stateFile(paths)
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { version: 1, generation: 0 }
    throw corrupt(file, (error as Error).message, error)
  }
  let state: unknown
  try {
    state = JSON.parse(text)
  } catch (error) {
    throw corrupt(file, 'it is not JSON', error)
  }
  if (!isState(state)) throw corrupt(file, 'it is not a state of version 1')
  return state
}

export function writeState(paths: AppPaths, state: State): void {
  writeDurably(stateFile(paths), `${JSON.stringify(state, null, 2)}\n`)
}

function isState(value: unknown): value is State {
  if (typeof value !== 'object' || value === null) return false
  const { version, generation, wanted, live } = value as Partial<State>
  return (
    version === 1 &&
    Number.isSafeInteger(generation) &&
    (generation as number) >= 0 &&
    (wanted === undefined || typeof wanted === 'string') &&
    (live === undefined || (Number.isSafeInteger(live.generation) && typeof live.release === 'string' && live.processes >= 1))
  )
}

function corrupt(file: string, why: string, cause?: unknown): HoldfastError {
  return new HoldfastError('state-corrupt', `${file} cannot be read: ${why}`, {
    hint: `Move ${file} away and run the command again: the release that runs is kept, and the next restart records anew.`,
    cause,
  })
}
