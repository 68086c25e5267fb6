import { linkSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { explainSystemError, HoldfastError } from '../errors.js'
import { swapDurably, writeDurably } from './durable-file.js'
import type { AppPaths } from './paths.js'

/** What is recorded of an app: `state.json`. Readable by all; holds no secret. */
export interface State {
  version: 1
  /** Counts the writes, so that a writer knows whether it began from what is on disk. Absent: 0. */
  revision?: number
  /** The last generation number that was given out; numbers only grow. */
  generation: number
  /** The release that the next start brings up. Equals the live one but during a handover. */
  wanted?: string | undefined
  /** The generation that became ready and settled last. */
  live?: Live
  /** A generation beside the live one that waits for somebody's word: `promote` or `abort`. */
  held?: Held
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
  begun?: string | undefined
  /** Why it failed: it is then run again by hand only. */
  failed?: string | undefined
}

export interface Held {
  generation: number
  release: string
  /** How many run by now. */
  processes: number
  /** `hold`: it accepts nothing public. `canary`: it does, beside the live one, with `processes` of its processes. */
  kind: 'hold' | 'canary'
  /** ISO 8601, UTC: since when it waits. */
  since: string
  /** The operation that started it. */
  id?: string
  by?: string
  /** ISO 8601, UTC: when it is discarded. */
  expires?: string
  /** Whether `hooks.after_drain` is to run once it is live and the older instances have ended. */
  afterDrain: boolean
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
  return parseState(file, readText(file))
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    // Not readable just now is not corrupt.
    throw explainSystemError(error)
  }
}

function parseState(file: string, text: string | undefined): State {
  if (text === undefined) return { version: 1, generation: 0 }
  let state: unknown
  try {
    state = JSON.parse(text)
  } catch (error) {
    throw corrupt(file, 'it is not JSON', error)
  }
  if (!isState(state)) throw corrupt(file, 'it is not a state of version 1')
  return state
}

/** What is recorded as live; undefined with nothing live, and where the record cannot be read. */
export function tryReadLive(paths: AppPaths): Live | undefined {
  try {
    return readState(paths).live
  } catch {
    return undefined
  }
}

/**
 * Changes the record by compare-and-swap: refused when somebody else has changed it since it was read. A hook after a
 * drain that comes to its end meanwhile is no such change.
 * @returns what is recorded now
 * @throws HoldfastError `state-changed` or `state-corrupt`
 */
export function changeState(paths: AppPaths, began: State, change: (now: State) => State): State {
  const file = stateFile(paths)
  // Another try is needed only where the hook's own entry was changed between the reading and the writing.
  for (let tries = 0; tries < 10; tries += 1) {
    const text = readText(file)
    const now = parseState(file, text)
    if (!isSameRecord(now, began)) throw changed(paths, began, now)
    const next: State = { ...change(now), revision: (now.revision ?? 0) + 1 }
    if (swapDurably(file, text, formatState(next))) return next
  }
  throw changed(paths, began, readState(paths))
}

/** Puts a record in the place of one that cannot be read, which is kept beside it. @returns where */
export function replaceCorrupt(paths: AppPaths, state: State): string {
  const file = stateFile(paths)
  const kept = `${file}.corrupt-${Date.now()}`
  // Never without a file in between: that would mean that nothing is recorded.
  linkSync(file, kept)
  writeDurably(file, formatState(state))
  return kept
}

const formatState = (state: State): string => `${JSON.stringify(state, null, 2)}\n`

const isSameRecord = (a: State, b: State): boolean =>
  a.generation === b.generation && a.wanted === b.wanted && a.live?.generation === b.live?.generation && a.live?.release === b.live?.release

function changed({ app }: AppPaths, began: State, now: State): HoldfastError {
  const words = ({ generation, live, wanted }: State): string =>
    `generation ${live?.generation ?? 'none'} live (release ${live?.release ?? 'none'}), ${wanted ?? 'none'} wanted, ${generation} the last number`
  return new HoldfastError('state-changed', `the record of ${app} was changed by somebody else meanwhile: it began with ${words(began)}; now ${words(now)}`, {
    hint: `holdfast status ${app}   # then run this again, if it is still wanted`,
  })
}

function isState(value: unknown): value is State {
  if (typeof value !== 'object' || value === null) return false
  const { version, revision, generation, wanted, live, held, afterDrain } = value as Partial<State>
  return (
    version === 1 &&
    (revision === undefined || Number.isSafeInteger(revision)) &&
    (afterDrain === undefined || (typeof afterDrain.release === 'string' && Number.isSafeInteger(afterDrain.generation))) &&
    (held === undefined || (Number.isSafeInteger(held.generation) && typeof held.release === 'string' && held.processes >= 1)) &&
    Number.isSafeInteger(generation) &&
    (generation as number) >= 0 &&
    (wanted === undefined || typeof wanted === 'string') &&
    (live === undefined || (Number.isSafeInteger(live.generation) && typeof live.release === 'string' && live.processes >= 1))
  )
}

function corrupt(file: string, why: string, cause?: unknown): HoldfastError {
  return new HoldfastError('state-corrupt', `${file} cannot be read: ${why}`, {
    hint: `holdfast apply ${basename(dirname(file))}   # makes the record anew, of what runs and what is on disk`,
    cause,
  })
}
