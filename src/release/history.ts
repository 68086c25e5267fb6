import { closeSync, fsyncSync, openSync, readFileSync, readSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { AppPaths } from './paths.js'

/** What brought a handover about. `start` is a boot, a start by hand, or an automatic retry. */
export type HandoverKind = 'deploy' | 'rollback' | 'restart' | 'start' | 'apply' | 'promote' | 'abort'

export type HistoryOutcome = 'live' | 'failed' | 'interrupted' | 'migrated' | 'held' | 'rolled-back' | 'aborted'

/** One line of `history.jsonl`: a handover that ended, or a deploy that came to none. */
export interface HistoryEntry {
  /** ISO 8601, UTC: when it ended. */
  at: string
  /** Absent in lines of version 0.1. */
  kind?: HandoverKind
  /** Who asked for it: an account, with `@host` where it came over ssh; absent where nobody did. */
  by?: string
  /** Of a deploy: the step that it failed in. */
  step?: string
  generation: number
  /** Absent where it did not come to one: a handover that was refused. */
  release?: string
  from?: string
  /**
   * `migrated`: a deploy that was to run its hooks alone. `held`: it waits for a `promote` or an `abort`. `rolled-back`: it
   * was let in, and was worse than `[bake]` allows. `aborted`: held, and then discarded.
   */
  outcome: HistoryOutcome
  reason?: string
  /** Of one that was rolled back: what was seen of both generations while both accepted. */
  figures?: object
  /** Of a deploy or a rollback, from its begin. */
  durationMs: number
}

const historyFile = (paths: AppPaths): string => join(paths.state, 'history.jsonl')

export function appendHistory(paths: AppPaths, entry: HistoryEntry): void {
  const file = historyFile(paths)
  // A line that a power cut has torn must not tear the next one too.
  const line = `${isTorn(file) ? '\n' : ''}${JSON.stringify(entry)}\n`
  const fd = openSync(file, 'a', 0o644)
  try {
    writeSync(fd, line)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

function isTorn(file: string): boolean {
  const { size = 0 } = statSync(file, { throwIfNoEntry: false }) ?? {}
  if (size === 0) return false
  const fd = openSync(file, 'r')
  try {
    const last = Buffer.alloc(1)
    readSync(fd, last, 0, 1, size - 1)
    return last[0] !== 10
  } finally {
    closeSync(fd)
  }
}

/** The handovers of an app that have ended, oldest first. A line that a power cut has torn is left out. */
export function readHistory(paths: AppPaths): HistoryEntry[] {
  let text: string
  try {
    text = readFileSync(historyFile(paths), 'utf8')
  } catch {
    return []
  }
  return text.split('\n').flatMap((line) => {
    try {
      const entry = JSON.parse(line) as HistoryEntry | null
      return typeof entry?.at === 'string' && Number.isSafeInteger(entry.generation) ? [entry] : []
    } catch {
      return []
    }
  })
}
