import type { HistoryEntry } from '../release/history.js'
import type { AppPaths } from '../release/paths.js'
import type { Systemd } from '../systemd/systemd.js'
import { parseInstance } from '../units/names.js'

/** What became of the requests of a generation in its drain, as its instances logged it. */
export interface DrainSum {
  requestsAnswered: number
  /** Ended early, by the client or by the app itself. */
  requestsAborted: number
  /** At the hard end. */
  requestsCut: number
}

/** Instances say it once each; far more than any history that is shown has. */
const mostEntries = 5000
/** The older instances are told to drain a moment before the history is written. */
const slackMs = 60_000

/**
 * For each handover that went live, what became of the requests in the drain of the generation that it took the place of.
 * Known where instances run with the runtime and its native journal package, have ended, and their journal can be read.
 * @param history all of it, oldest first
 * @param shown those of it to look at
 */
export async function readDrainSums(paths: AppPaths, systemd: Systemd, history: readonly HistoryEntry[], shown: readonly HistoryEntry[]): Promise<Map<HistoryEntry, DrainSum>> {
  const replaced = findReplaced(history).filter(({ entry }) => shown.includes(entry))
  if (replaced.length === 0) return new Map()
  const begins = replaced.map(({ entry }) => beginOf(entry))
  const unitField = paths.scope === 'user' ? '_SYSTEMD_USER_UNIT' : '_SYSTEMD_UNIT'
  const entries = await systemd.journal({
    since: new Date(Math.min(...begins)).toISOString(),
    match: { HOLDFAST_APP: [paths.app], HOLDFAST_GENERATION: replaced.map(({ generation }) => String(generation)), PHASE: ['drained', 'drain-cut'] },
    fields: [unitField, 'DURATION_MS', 'REQUESTS_ANSWERED', 'REQUESTS_ABORTED', 'REQUESTS_CUT'],
    limit: mostEntries,
  })
  const sums = new Map<HistoryEntry, DrainSum>()
  for (const { entry, generation } of replaced) {
    const ofInstance = new Map<number, DrainSum>()
    for (const { at, fields } of entries) {
      // Anybody may write the app's name into an entry; the unit comes from systemd itself.
      const instance = parseInstance(paths.app, fields[unitField] ?? '')
      if (instance?.generation !== generation || at < beginOf(entry) || fields['DURATION_MS'] === undefined) continue
      const count = (name: string): number => Number(fields[name] ?? 0) || 0
      ofInstance.set(instance.process, { requestsAnswered: count('REQUESTS_ANSWERED'), requestsAborted: count('REQUESTS_ABORTED'), requestsCut: count('REQUESTS_CUT') })
    }
    if (ofInstance.size > 0) sums.set(entry, [...ofInstance.values()].reduce(add))
  }
  return sums
}

/** Each handover that went live after another one, with the generation that was live until then. */
function findReplaced(history: readonly HistoryEntry[]): { entry: HistoryEntry; generation: number }[] {
  const live = history.filter(({ outcome }) => outcome === 'live')
  return live.slice(1).map((entry, i) => ({ entry, generation: live[i]?.generation as number }))
}

const beginOf = ({ at, durationMs }: HistoryEntry): number => Date.parse(at) - durationMs - slackMs

const add = (a: DrainSum, b: DrainSum): DrainSum => ({
  requestsAnswered: a.requestsAnswered + b.requestsAnswered,
  requestsAborted: a.requestsAborted + b.requestsAborted,
  requestsCut: a.requestsCut + b.requestsCut,
})
