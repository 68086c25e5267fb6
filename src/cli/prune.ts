import { join } from 'node:path'
import { checkManager, checkRunning } from '../deploy/install/preflight.js'
import { planPruning, prune, type Pruned, type Pruning } from '../deploy/operation/prune.js'
import { notInstalled } from '../deploy/install/uninstall.js'
import { HoldfastError } from '../errors.js'
import { readManifest } from '../release/manifest.js'
import { pathsOf } from '../release/paths.js'
import { Systemctl } from '../systemd/systemctl.js'
import { chooseApp } from './choose-app.js'
import { placesFor, type GlobalOptions } from './context.js'
import { print } from './output.js'
import { alignRows, bytesWords } from './words.js'

export async function pruneCommand(given: string | undefined, options: GlobalOptions & { json?: boolean; keep: string; dryRun?: boolean }): Promise<void> {
  const places = placesFor(options)
  const dryRun = options.dryRun === true
  if (dryRun) checkRunning(places.scope)
  else checkManager(places.scope)
  const keep = readKeep(options.keep)
  const app = chooseApp(given, places)
  const paths = pathsOf(places, app)
  if (readManifest(paths) === undefined) throw notInstalled(places, app)
  const systemd = new Systemctl(places.scope)
  const pruning = await planPruning(paths, systemd, keep)
  const pruned = dryRun ? { releases: pruning.plan.remove, leftovers: pruning.leftovers, stayed: [] } : await prune(pruning, systemd)
  const answer = pruneAnswer(pruning, pruned, { dryRun })
  print(options.json === true ? JSON.stringify(answer, null, 2) : pruneText(answer))
}

/** The answer of `holdfast prune APP --json`; documented in docs/cli.md, and stable. */
export interface PruneAnswer {
  app: string
  dryRun: boolean
  removed: { release: string; version: string | null; sizeBytes: number | null }[]
  /** Other files and folders, absolute. */
  leftovers: { path: string; sizeBytes: number | null }[]
  kept: { release: string; version: string | null; why: string }[]
  /** As far as sizes are known. */
  freedBytes: number
}

/** Pure. */
export function pruneAnswer({ paths, plan, sizes }: Pruning, { releases, leftovers, stayed }: Pruned, { dryRun }: { dryRun: boolean }): PruneAnswer {
  const size = (path: string): number | null => sizes.get(path) ?? null
  const removed = releases.map(({ id, version }) => ({ release: id, version: version ?? null, sizeBytes: size(join(paths.releases, id)) }))
  const others = leftovers.map((path) => ({ path, sizeBytes: size(path) }))
  return {
    app: paths.app,
    dryRun,
    removed,
    leftovers: others,
    kept: [...plan.keep, ...stayed].map(({ release: { id, version }, why }) => ({ release: id, version: version ?? null, why })),
    freedBytes: [...removed, ...others].reduce((sum, { sizeBytes }) => sum + (sizeBytes ?? 0), 0),
  }
}

/** Pure. */
export function pruneText({ app, dryRun, removed, leftovers, kept, freedBytes }: PruneAnswer): string {
  const verb = dryRun ? 'would go' : 'removed'
  const words = (bytes: number | null): string => (bytes === null ? '-' : bytesWords(bytes))
  const rows = [
    ...removed.map(({ release, version, sizeBytes }) => [verb, release, version ?? '-', words(sizeBytes)]),
    ...leftovers.map(({ path, sizeBytes }) => [verb, path, '-', words(sizeBytes)]),
    ...kept.map(({ release, version, why }) => ['kept', release, version ?? '-', why]),
  ]
  const count = removed.length + leftovers.length
  const sum = count === 0 ? `Nothing of ${app} is to be removed.` : `${bytesWords(freedBytes)} ${dryRun ? 'would be ' : ''}freed.`
  return [...alignRows(rows), sum].join('\n')
}

function readKeep(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text)
  throw new HoldfastError('usage', `--keep ${text}: expected a number of releases, such as 5`, { hint: 'holdfast prune --keep 5 --dry-run' })
}
