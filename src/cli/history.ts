import { readDrainSums, type DrainSum } from '../deploy/observe/drain-sums.js'
import { plainText } from '../deploy/foreign-text.js'
import { listHistory, type HistoryRow } from '../deploy/observe/list-history.js'
import { notInstalled } from '../deploy/install/uninstall.js'
import { HoldfastError } from '../errors.js'
import { readHistory } from '../release/history.js'
import { readManifest } from '../release/manifest.js'
import { pathsOf } from '../release/paths.js'
import { Systemctl } from '../systemd/systemctl.js'
import { chooseApp } from './choose-app.js'
import { placesFor, type GlobalOptions } from './context.js'
import { print } from './output.js'
import { alignRows, durationWords, timeWords } from './words.js'

export async function historyCommand(given: string | undefined, options: GlobalOptions & { json?: boolean; number: string }): Promise<void> {
  const places = placesFor(options)
  const count = readCount(options.number)
  const app = chooseApp(given, places)
  const paths = pathsOf(places, app)
  if (readManifest(paths) === undefined) throw notInstalled(places, app)
  const history = readHistory(paths)
  const shown = history.slice(-count)
  const rows = listHistory(shown, await readDrainSums(paths, new Systemctl(places.scope), history, shown))
  if (options.json === true) print(JSON.stringify(rows, null, 2))
  else print(rows.length === 0 ? `Nothing was deployed yet as ${app}.` : historyText(rows))
}

/** A line for each. Pure. */
export function historyText(rows: readonly HistoryRow[]): string {
  return alignRows([
    ['WHEN', 'WHO', 'WHAT', 'FROM', 'TO', 'TOOK', 'REQUESTS', 'OUTCOME'],
    ...rows.map((row) => [
      timeWords(row.at),
      plainText(row.by ?? '-'),
      row.kind ?? '-',
      row.from ?? '-',
      row.release ?? '-',
      durationWords(row.durationMs),
      drainText(row.drain),
      outcomeText(row),
    ]),
  ]).join('\n')
}

function drainText(drain: DrainSum | null): string {
  if (drain === null) return '-'
  return drain.requestsCut === 0 ? '0' : `${drain.requestsCut} cut`
}

function outcomeText({ outcome, generation, step, reason }: HistoryRow): string {
  if (outcome === 'live' || outcome === 'held') return generation === null ? outcome : `${outcome} as generation ${generation}`
  const where = step === null ? '' : ` in step ${step}`
  return `${outcome}${where}${reason === null ? '' : `: ${plainText(reason)}`}`
}

function readCount(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text)
  throw new HoldfastError('usage', `-n ${text}: expected a number of entries, from 1`, { hint: 'holdfast history -n 20' })
}
