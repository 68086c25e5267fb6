import { setTimeout as delay } from 'node:timers/promises'
import { formatDuration } from '../../config/duration.js'
import type { Bake, Config, Health } from '../../config/model.js'
import { hasPreload } from '../../config/preload.js'
import type { AppPaths } from '../../release/paths.js'
import type { Release } from '../../release/release.js'
import { abortWith } from './abort-with.js'
import type { InstalledApp } from '../app.js'
import { addCounts, bakeWords, countsOf, fewAnswers, findFault, isJudged, noCounts, subtractCounts, windowOf, type BakeFigures, type Counts, type Fault } from './bake-figures.js'
import type { Member } from '../plan.js'
import { watchHealth } from './health.js'
import { hasPrivateSocket } from '../instances.js'
import { readReport } from './reports.js'
import type { Report } from '../../runtime/report.js'

export interface BakeOrder {
  bake: Bake
  /** Asked of the new instances all the while; absent: nothing is. */
  health?: Health
  /** Those of the new generation. */
  config: Config
  release: Release
  /** The new generation, which has just been let in. */
  fresh: readonly Member[]
  /** Those that accept beside it; none: see `bake`. */
  older: readonly Member[]
  forMs: number
  /** Whether shares and times are judged. Default: where `[bake]` says `for`. */
  judgesAnswers?: boolean
  signal: AbortSignal
  /** A sentence on one line, now and then. */
  tell(text: string): void
}

export type BakeResult =
  | { ok: true; figures: BakeFigures }
  /** `reason` is the end of a sentence that begins with `unit`, the one to look at. */
  | { ok: false; unit: string; reason: string; figures: BakeFigures }

export interface Pace {
  /** Between two looks; and while not all accept yet. */
  pollMs: number
  soonMs: number
  /** How long an instance that has the runtime may tell nothing, or not accept: longer than a busy event loop takes. */
  silenceMs: number
}

const usualPace: Pace = { pollMs: 1000, soonMs: 100, silenceMs: 5000 }
/** Looks at an older instance that tells nothing, before it is taken for one that has no report. */
const mostSilent = 3
/** Looks that a new generation must be too slow in, one after the other, before that ends the bake: a process is slow at first. */
const slowLooks = 3
/** How often the figures are told on the way. */
const tellings = 4

/**
 * Watches a new generation on real traffic beside the older ones. That its units stay up is watched by others: they abort.
 * Ends early when it is worse than `[bake]` allows, does not accept, or fails its health check. Where none is beside it, as at a
 * boot, there is nothing to go back to: it has only to accept.
 * @throws the signal's reason when it aborts, once no probe is left
 */
export async function bake(app: InstalledApp, order: BakeOrder, pace: Pace = usualPace): Promise<BakeResult> {
  const isAlone = order.older.length === 0
  const done = abortWith(order.signal)
  const { signal } = done
  let sick: { unit: string; reason: string } | undefined
  const watch =
    order.health === undefined || isAlone
      ? Promise.resolve()
      : watchHealth(app, { ...order, health: order.health, instances: order.fresh, signal }).then((found) => void (sick = found))
  // Whatever it throws after the end is of the end.
  const watched = watch.catch((error: unknown) => {
    if (!signal.aborted) throw error
  })
  watched.catch(() => {}) // looked at below
  try {
    const result = await watchAnswers(app, isAlone ? { ...order, forMs: 0, judgesAnswers: false } : order, pace, { findSick: () => sick, watched })
    order.signal.throwIfAborted()
    return result
  } finally {
    done.abort()
    done.release()
    await watched.catch(() => {})
  }
}

/** The probes of the health check that go on meanwhile. */
interface Watch {
  findSick(): { unit: string; reason: string } | undefined
  /** Its end, for what it throws. */
  watched: Promise<void>
}

async function watchAnswers(app: InstalledApp, order: BakeOrder, { pollMs, soonMs, silenceMs }: Pace, { findSick, watched }: Watch): Promise<BakeResult> {
  const { bake: limits, config, forMs, signal, judgesAnswers = limits.forMs !== undefined } = order
  const began = performance.now()
  const elapsed = (): number => performance.now() - began
  const mustReport = hasPrivateSocket(app, config) && (config.start.standby || hasPreload(config))
  const fresh = new Generation(mustReport ? order.fresh : [], { isFresh: true, mustAccept: config.listen.length > 0 })
  const older = new Generation(order.older, { isFresh: false, mustAccept: false })
  const figures = (): BakeFigures => ({
    fresh: windowOf(fresh.counts(), elapsed() / 1000),
    older: windowOf(older.counts(), elapsed() / 1000),
    ...(judgesAnswers && mustReport ? { minRequests: limits.minRequests } : {}),
  })
  const failed = (unit: string, reason: string): BakeResult => ({ ok: false, unit, reason, figures: figures() })
  let slow = 0
  let told = 1

  for (;;) {
    await Promise.all([fresh.look(app.paths, signal), older.look(app.paths, signal)])
    signal.throwIfAborted()
    await Promise.race([watched, undefined]) // throws what it has thrown
    const sick = findSick()
    if (sick !== undefined) return failed(sick.unit, sick.reason)
    const silent = fresh.findSilent(silenceMs)
    if (silent !== undefined) return failed(silent.unit, silent.reason)

    const isOver = elapsed() >= forMs && fresh.hasBegun()
    if (judgesAnswers) {
      const newest = fresh.newest(fewAnswers)
      const fault = findFault({ fresh: fresh.counts(), recent: fresh.recent(limits.minRequests), newest, older: older.counts(), olderLife: older.life() }, limits, isOver ? 'end' : 'middle')
      slow = fault?.kind === 'slow' ? slow + 1 : 0
      if (fault !== undefined && (isOver || fault.kind === 'errors' || slow >= slowLooks)) {
        const inTime = `in ${Math.max(1, Math.round(elapsed() / 1000))} s`
        return failed(fresh.worst(fault), `${withOthers(order.fresh)}${fault.did} ${inTime}, ${fault.against}`)
      }
    }
    if (judgesAnswers && isOver) order.tell(endWords(order, figures()))
    else if (judgesAnswers && mustReport && elapsed() >= (told * forMs) / tellings) {
      told += 1
      order.tell(`Generation ${order.fresh[0]?.generation}: ${bakeWords(figures())}.`)
    }
    if (isOver) return { ok: true, figures: figures() }
    const nextMs = fresh.hasBegun() ? Math.min(pollMs, forMs - elapsed()) : soonMs
    await delay(Math.max(1, nextMs), undefined, { signal }).catch(() => {}) // looked at above
    signal.throwIfAborted()
  }
}

/** That nothing was judged is no praise. */
function endWords({ fresh }: BakeOrder, figures: BakeFigures): string {
  const who = `Generation ${fresh[0]?.generation}`
  if (isJudged(figures)) return `${who} has stood the bake: ${bakeWords(figures)}.`
  const what = figures.minRequests === undefined ? 'without the preload nobody counts them' : bakeWords(figures)
  return `${who} is through its bake, but its answers were not judged: ${what}.`
}

/** The figures are those of all instances, of which one is named. */
const withOthers = ({ length }: readonly unknown[]): string => (length < 2 ? '' : `(with ${length === 2 ? 'one other' : `${length - 1} others`}) `)

/** What the instances of one side tell. */
class Generation {
  private readonly instances: Counted[]
  /** The sums after each look that had news, the newest last; those that `recent` may still need. */
  private readonly looks: Counts[] = []

  constructor(instances: readonly Member[], options: { isFresh: boolean; mustAccept: boolean }) {
    this.instances = instances.map((instance) => new Counted(instance, options))
  }

  async look(paths: AppPaths, signal: AbortSignal): Promise<void> {
    await Promise.all(this.instances.map((instance) => instance.look(paths, signal)))
    const now = this.counts()
    if (now.requests !== this.looks.at(-1)?.requests) this.looks.push(now)
  }

  /** Since the first look; of a fresh one, since it was let in. */
  counts(): Counts {
    return this.instances.map((instance) => instance.counts()).reduce(addCounts, noCounts)
  }

  /** Since the processes began. */
  life(): Counts {
    return this.instances.map((instance) => instance.life).reduce(addCounts, noCounts)
  }

  /** The newest part of the looks with so many answers; all of them where there are fewer. */
  recent(requests: number): Counts {
    const since = this.findLook(requests)
    // A bake may last a day, and sums only grow.
    if (since > 0) this.looks.splice(0, since)
    return this.since(Math.min(since, 0))
  }

  /** The same of fewer, of which no look is forgotten. */
  newest(requests: number): Counts {
    return this.since(this.findLook(requests))
  }

  /** The last look that was so many answers ago; -1 where there is none. */
  private findLook(requests: number): number {
    const now = this.counts()
    return this.looks.findLastIndex((look) => now.requests - look.requests >= requests)
  }

  private since(index: number): Counts {
    const look = this.looks[index]
    return look === undefined ? this.counts() : subtractCounts(this.counts(), look)
  }

  /** Whether each has told that it accepts. */
  hasBegun(): boolean {
    return this.instances.every((instance) => instance.isFine)
  }

  findSilent(silenceMs: number): { unit: string; reason: string } | undefined {
    for (const instance of this.instances) {
      const reason = instance.explainSilence(silenceMs)
      if (reason !== undefined) return { unit: instance.unit, reason }
    }
    return undefined
  }

  /** The unit of the instance with the most of what is wrong. */
  worst({ kind }: Fault): string {
    const weigh = (instance: Counted): number => (kind === 'errors' ? instance.counts().errors : (windowOf(instance.counts(), 0).p95Ms ?? 0))
    return this.instances.toSorted((one, other) => weigh(other) - weigh(one))[0]?.unit ?? ''
  }
}

/** The counters of one instance over the restarts of its process. */
class Counted {
  private process: { name: string; base: Counts; last: Counts } | undefined
  /** Of processes that are gone. */
  private before = noCounts
  /** Since when it has not been fine. */
  private silentSince = performance.now()
  private accepts: boolean | undefined
  private silent = 0
  isFine = false
  life = noCounts

  constructor(private readonly instance: Member, private readonly options: { isFresh: boolean; mustAccept: boolean }) {}

  get unit(): string {
    return this.instance.unit
  }

  async look(paths: AppPaths, signal: AbortSignal): Promise<void> {
    const hasNone = !this.options.isFresh && this.process === undefined && this.silent >= mostSilent
    if (hasNone) return
    const report = await readReport(paths, this.instance, { signal })
    this.silent = report === undefined ? this.silent + 1 : 0
    this.accepts = report?.accepting
    const isFine = report !== undefined && (report.accepting || report.draining || !this.options.mustAccept)
    if (isFine) this.silentSince = performance.now()
    this.isFine = isFine
    if (report !== undefined) this.take(report)
  }

  private take(report: Report): void {
    const name = `${report.pid} ${report.startedAt}`
    const now = countsOf(report)
    this.life = now
    if (this.process?.name === name) {
      this.process.last = now
      return
    }
    if (this.process !== undefined) this.before = this.counts()
    // What an older one has answered before is no matter of this time; another process than the first began within it.
    const isOlder = !this.options.isFresh && this.process === undefined
    this.process = { name, base: isOlder ? now : noCounts, last: now }
  }

  counts(): Counts {
    return this.process === undefined ? noCounts : addCounts(this.before, subtractCounts(this.process.last, this.process.base))
  }

  explainSilence(silenceMs: number): string | undefined {
    if (this.isFine || performance.now() - this.silentSince < silenceMs) return undefined
    return this.accepts === undefined
      ? `does not answer on its report socket, for ${formatDuration(silenceMs)}`
      : `has been let in and does not accept connections, for ${formatDuration(silenceMs)}`
  }
}
