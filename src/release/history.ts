import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AppPaths } from './paths.js'
import type { HistoryEntry } from './state.js'

/** The handovers of an app that have ended, oldest first. A line that a power cut has torn is left out. */
export function readHistory(paths: AppPaths): HistoryEntry[] {
  let text: string
  try {
    text = readFileSync(join(paths.state, 'history.jsonl'), 'utf8')
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
