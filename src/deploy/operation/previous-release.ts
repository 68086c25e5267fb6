import { HoldfastError } from '../../errors.js'
import type { HistoryEntry } from '../../release/history.js'
import type { Release } from '../../release/release.js'

/** What a rollback is decided by. */
export interface ReleaseFacts {
  /** Those on disk, in any order. */
  releases: readonly Release[]
  /** Oldest first. */
  history: readonly HistoryEntry[]
  /** The id of the live release; undefined where nothing is live. */
  live: string | undefined
}

/**
 * Where a rollback goes that names no release: the nearest one before the live one that was good and is on disk. A release
 * that was rolled back from comes into question again once it has been brought in again: so a second rollback goes further
 * back and not forth, and one after the next deploy goes to what ran before that. Where the history does not tell, the
 * releases' own age does.
 */
export function previousGood({ releases, history, live }: ReleaseFacts): Release | undefined {
  if (live === undefined) return undefined
  const { line, known } = lineOf(history)
  const at = line.lastIndexOf(live)
  // Not in the line: what has just gone live, and is not written down yet; or the history is lost.
  const before = at >= 0 ? line.slice(0, at) : line
  const liveSince = releases.find(({ id }) => id === live)?.createdAt
  const older = byAge(releases.filter(({ id, createdAt }) => !known.has(id) && (liveSince === undefined || createdAt < liveSince))).map(({ id }) => id)
  const good = new Map(releases.filter(({ id, outcome }) => outcome === 'good' && id !== live).map((release) => [release.id, release]))
  const id = [...older, ...before].findLast((id) => good.has(id))
  return id === undefined ? undefined : good.get(id)
}

/**
 * The releases that came after this one and whose `hooks.after_drain` was begun: what the older one needs of the database may
 * be gone, so that a rollback to it needs `--force`. Oldest first. The live one is not where they end: what a release did that
 * was rolled back from stays done.
 */
export function passedContracts({ releases, history, live, target }: ReleaseFacts & { target: string }): Release[] {
  const listed = bringingIn(history).map(({ release }) => release)
  const last = [...new Set(listed.reverse())].reverse()
  const older = byAge(releases.filter(({ id }) => !last.includes(id) && id !== live)).map(({ id }) => id)
  const order = [...older, ...last, ...(live === undefined || last.includes(live) ? [] : [live])]
  const after = new Set(order.slice(order.indexOf(target) + 1))
  return order.filter((id) => after.has(id)).flatMap((id) => releases.filter((release) => release.id === id && release.afterDrain !== undefined))
}

/**
 * The release that a word means: an id, else a version (the newest release that has it), else the begin of one id.
 * @throws HoldfastError `usage` with the releases to choose from
 */
export function findRelease(releases: readonly Release[], word: string): Release {
  const sorted = byAge(releases)
  const named = sorted.find(({ id }) => id === word) ?? sorted.findLast(({ version }) => version === word)
  if (named !== undefined) return named
  const begun = word === '' ? [] : sorted.filter(({ id }) => id.startsWith(word))
  if (begun.length === 1) return begun[0] as Release
  if (begun.length > 1) throw new HoldfastError('usage', `${word} is the begin of ${begun.length} releases: ${listChoices(begun)}`, { hint: 'write more of the id' })
  throw new HoldfastError('usage', `there is no release ${word}; ${releases.length === 0 ? 'no release is on disk' : `on disk: ${listChoices(sorted)}`}`, {
    hint: 'name one by its id, by the begin of its id, or by its version',
  })
}

/** The handovers that brought in another release than the one before, but for rollbacks. */
function bringingIn(history: readonly HistoryEntry[]): (HistoryEntry & { release: string })[] {
  const seen = new Set<string>()
  return history.filter((entry): entry is HistoryEntry & { release: string } => {
    const { kind, release, from, outcome } = entry
    if (outcome !== 'live' || release === undefined) return false
    const isKnown = seen.has(release)
    seen.add(release)
    if (kind === 'rollback' || release === from) return false
    // After a lost state, a boot brings up what was there.
    return !((kind === 'start' || kind === 'apply') && from === undefined && isKnown)
  })
}

/**
 * The line of releases that led to the live one, as the pages behind a reader's in a browser: what is brought in stands at
 * the end, and a rollback cuts the end off.
 */
function lineOf(history: readonly HistoryEntry[]): { line: string[]; known: Set<string> } {
  const brought = new Set(bringingIn(history))
  const known = new Set<string>()
  const broughtAt = new Map<string, number>()
  let line: string[] = []
  for (const [index, entry] of history.entries()) {
    const { kind, release, outcome } = entry
    if (outcome !== 'live' || release === undefined) continue
    if (kind === 'rollback') {
      const at = line.indexOf(release)
      // To one from before the history, everything that it tells of is later; to one that was rolled back from, it is forth, and past what came after that.
      line = at >= 0 ? line.slice(0, at + 1) : known.has(release) ? [...line.filter((id) => (broughtAt.get(id) ?? 0) < (broughtAt.get(release) ?? 0)), release] : [release]
    } else if (brought.has(entry as HistoryEntry & { release: string })) {
      line = [...line.filter((id) => id !== release), release]
      broughtAt.set(release, index)
    }
    known.add(release)
  }
  return { line, known }
}

const byAge = (releases: readonly Release[]): Release[] => [...releases].sort((a, b) => (a.createdAt < b.createdAt ? -1 : a.createdAt > b.createdAt ? 1 : a.id < b.id ? -1 : 1))

/** The newest ten, newest first. */
function listChoices(sorted: readonly Release[]): string {
  const shown = sorted.slice(-10).reverse().map(({ id, version }) => (version === undefined ? id : `${id} (${version})`))
  return `${shown.join(', ')}${sorted.length > shown.length ? ` and ${sorted.length - shown.length} older` : ''}`
}
