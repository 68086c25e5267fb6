import type { HistoryEntry } from '../../release/history.js'
import type { AppPaths } from '../../release/paths.js'
import type { Systemd } from '../../systemd/systemd.js'
import { parseInstance } from '../../units/names.js'

/** What became of the requests of a generation in its drain, as its instances logged it. */
export interface DrainSum {
  requestsAnswered: number
  /** Ended early, by the client or by the app itself. */
  requestsAborted: number
  /** At the hard end. */
  requestsCut: number
}

/** With all else that was cut at the hard end. */
export interface DrainFigures extends DrainSum {
  connectionsCut: number
  webSocketsCut: number
  eventStreamsCut: number
  jobsCut: number
}

const figureFields = {
  requestsAnswered: 'REQUESTS_ANSWERED', requestsAborted: 'REQUESTS_ABORTED', requestsCut: 'REQUESTS_CUT',
  connectionsCut: 'CONNECTIONS_CUT', webSocketsCut: 'WEB_SOCKETS_CUT', eventStreamsCut: 'EVENT_STREAMS_CUT', jobsCut: 'JOBS_CUT',
} as const satisfies Record<keyof DrainFigures, string>

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
  const figures = await readDrains(paths, systemd, findReplaced(history).filter(({ entry }) => shown.includes(entry)))
  return new Map([...figures].map(([{ entry }, { requestsAnswered, requestsAborted, requestsCut }]) => [entry, { requestsAnswered, requestsAborted, requestsCut }]))
}

/**
 * What the journal tells of the drains of generations; see `readDrainSums`.
 * @param drains each with the time before which it has not begun, in milliseconds since 1970
 */
export async function readDrains<Drain extends { generation: number; since: number }>(paths: AppPaths, systemd: Systemd, drains: readonly Drain[]): Promise<Map<Drain, DrainFigures>> {
  if (drains.length === 0) return new Map()
  const unitField = paths.scope === 'user' ? '_SYSTEMD_USER_UNIT' : '_SYSTEMD_UNIT'
  const entries = await systemd.journal({
    since: new Date(Math.min(...drains.map(({ since }) => since))).toISOString(),
    match: { HOLDFAST_APP: [paths.app], HOLDFAST_GENERATION: drains.map(({ generation }) => String(generation)), PHASE: ['drained', 'drain-cut'] },
    fields: [unitField, 'DURATION_MS', ...Object.values(figureFields)],
    limit: mostEntries,
  })
  const sums = new Map<Drain, DrainFigures>()
  for (const drain of drains) {
    const ofInstance = new Map<number, DrainFigures>()
    for (const { at, fields } of entries) {
      // Anybody may write the app's name into an entry; the unit comes from systemd itself.
      const instance = parseInstance(paths.app, fields[unitField] ?? '')
      if (instance?.generation !== drain.generation || at < drain.since || fields['DURATION_MS'] === undefined) continue
      ofInstance.set(instance.process, mapFigures((name) => Number(fields[figureFields[name]] ?? 0) || 0))
    }
    if (ofInstance.size > 0) sums.set(drain, [...ofInstance.values()].reduce((a, b) => mapFigures((name) => a[name] + b[name])))
  }
  return sums
}

/** Each handover that went live after another one, with the generation that was live until then. */
export function findReplaced(history: readonly HistoryEntry[]): { entry: HistoryEntry; generation: number; since: number }[] {
  const live = history.filter(({ outcome }) => outcome === 'live')
  return live.slice(1).map((entry, i) => ({ entry, generation: live[i]?.generation as number, since: Date.parse(entry.at) - entry.durationMs - slackMs }))
}

const mapFigures = (value: (name: keyof DrainFigures) => number): DrainFigures =>
  Object.fromEntries((Object.keys(figureFields) as (keyof DrainFigures)[]).map((name) => [name, value(name)])) as unknown as DrainFigures
