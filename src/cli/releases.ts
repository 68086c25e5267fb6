import { plainText } from '../deploy/foreign-text.js'
import { observeReleases, type ReleaseRow } from '../deploy/observe/list-releases.js'
import { checkRunning } from '../deploy/install/preflight.js'
import { notInstalled } from '../deploy/install/uninstall.js'
import { readManifest } from '../release/manifest.js'
import { pathsOf } from '../release/paths.js'
import { Systemctl } from '../systemd/systemctl.js'
import { chooseApp } from './choose-app.js'
import { placesFor, type GlobalOptions } from './context.js'
import { print } from './output.js'
import { heldWord } from './status-text.js'
import { alignRows, bytesWords, spanWords } from './words.js'

export async function releasesCommand(given: string | undefined, options: GlobalOptions & { json?: boolean }): Promise<void> {
  const places = placesFor(options)
  checkRunning(places.scope)
  const app = chooseApp(given, places)
  const paths = pathsOf(places, app)
  if (readManifest(paths) === undefined) throw notInstalled(places, app)
  const rows = await observeReleases(paths, new Systemctl(places.scope))
  if (options.json === true) print(JSON.stringify(rows, null, 2))
  else print(rows.length === 0 ? `${app} has no release yet.` : releasesText(rows, Date.now()))
}

/** A line for each release. Pure: `now` is in milliseconds. */
export function releasesText(rows: readonly ReleaseRow[], now: number): string {
  return alignRows([
    ['RELEASE', 'VERSION', 'AGE', 'SIZE', 'SOURCE', 'STATE'],
    ...rows.map((row) => [
      row.id,
      row.version ?? '-',
      spanWords(now - Date.parse(row.createdAt)),
      row.sizeBytes === null ? '-' : bytesWords(row.sizeBytes),
      plainText(row.sourceText),
      stateText(row),
    ]),
  ]).join('\n')
}

function stateText({ live, held, draining, running, wanted, outcome, failure, rollbackTarget, afterDrain }: ReleaseRow): string {
  const outcomes = { good: 'good', untried: 'untried', failed: `failed: ${plainText(failure ?? 'no reason recorded')}` }
  return [
    ...(live === null ? [] : [`live (generation ${live})`]),
    ...(held === null ? [] : [`${heldWord(held)} (generation ${held.generation})`]),
    ...draining.map((generation) => `generation ${generation} drains`),
    ...running.map((generation) => `generation ${generation} runs`),
    ...(wanted && live === null ? ['wanted'] : []),
    ...(rollbackTarget ? ['rollback goes here'] : []),
    ...(afterDrain === null ? [] : [{ waiting: 'after_drain waits', begun: 'after_drain was begun', done: 'after_drain done', failed: 'after_drain failed' }[afterDrain]]),
    outcomes[outcome],
  ].join(', ')
}
