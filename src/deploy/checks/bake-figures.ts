import type { Bake } from '../../config/model.js'
import { latencyBoundsMs, type Report } from '../../runtime/report.js'

/** What instances answered in a time: the counters of a `Report`, or a difference of two. */
export interface Counts {
  requests: number
  errors: number
  /** As in `Report`. */
  latency: readonly number[]
}

/** What a generation answered in a time, for people and for the record. */
export interface Window {
  requests: number
  errors: number
  /** 0 to 1; 0 where there was no request. */
  errorShare: number
  /** Absent where there was no request. */
  p50Ms?: number
  p95Ms?: number
  seconds: number
}

/** What the new generation and the older ones answered in the same time. */
export interface BakeFigures {
  fresh: Window
  older: Window
  /** `bake.min_requests`, where the answers are judged. */
  minRequests?: number
}

export const noCounts: Counts = { requests: 0, errors: 0, latency: latencyBoundsMs.map(() => 0).concat(0) }

export const countsOf = ({ requests, errors, latency }: Report): Counts => ({ requests, errors, latency })

export const addCounts = (one: Counts, other: Counts): Counts => combine(one, other, (a, b) => a + b)

/** What came after `earlier`. A process whose counters go back tells nonsense, which is no reason to count less than nothing. */
export const subtractCounts = (later: Counts, earlier: Counts): Counts => combine(later, earlier, (a, b) => Math.max(0, a - b))

const combine = (one: Counts, other: Counts, by: (a: number, b: number) => number): Counts => ({
  requests: by(one.requests, other.requests),
  errors: by(one.errors, other.errors),
  latency: one.latency.map((count, i) => by(count, other.latency[i] ?? 0)),
})

export function windowOf(counts: Counts, seconds: number): Window {
  const p50Ms = quantileMs(counts, 0.5)
  const p95Ms = quantileMs(counts, 0.95)
  return {
    requests: counts.requests,
    errors: counts.errors,
    errorShare: errorShare(counts),
    ...(p50Ms === undefined ? {} : { p50Ms }),
    ...(p95Ms === undefined ? {} : { p95Ms }),
    seconds: Math.round(seconds * 10) / 10,
  }
}

/** Sorts of the counters come one after the other, so that there may be an error more than an answer. */
const errorShare = ({ requests, errors }: Counts): number => (requests === 0 ? 0 : Math.min(1, errors / requests))

const timed = ({ latency }: Counts): number => latency.reduce((sum, count) => sum + count, 0)

/** @returns within the bounds that the counters have, evenly spread in each; undefined where nothing was answered */
export function quantileMs(counts: Counts, quantile: number): number | undefined {
  let rest = timed(counts) * quantile
  if (rest === 0) return undefined
  for (const [i, count] of counts.latency.entries()) {
    const [from, to] = bucket(i)
    if (count > 0 && rest <= count) return from + ((to - from) * rest) / count
    rest -= count
  }
  return latencyBoundsMs.at(-1)
}

/** The last one has no end: what took longer than all bounds is put at the last bound. */
const bucket = (i: number): [fromMs: number, toMs: number] => [latencyBoundsMs[i - 1] ?? 0, latencyBoundsMs[i] ?? latencyBoundsMs.at(-1) ?? 0]

/** How many took longer than that, evenly spread within the bounds. */
function countSlower({ latency }: Counts, limitMs: number): number {
  const slower = latency.reduce((sum, count, i) => {
    const [from, to] = bucket(i)
    if (limitMs <= from) return sum + count
    return limitMs >= to ? sum : sum + (count * (to - limitMs)) / (to - from)
  }, 0)
  return Math.floor(slower)
}

/** What is judged. All but `olderLife` are of the time since the new generation was let in. */
export interface Observed {
  fresh: Counts
  /** The newest part of it with `minRequests` answers: a process is slow at first. */
  recent: Counts
  /** The newest part of it with `fewAnswers`. */
  newest: Counts
  older: Counts
  /** Of the older ones from their own beginning. */
  olderLife: Counts
}

export type Limits = Pick<Bake, 'maxErrors' | 'maxSlowdown' | 'minRequests'>

/** What is wrong with a new generation. */
export interface Fault {
  kind: 'errors' | 'slow'
  /** What it did, such as `answered 16 of 312 requests with errors (5.1 %)`. */
  did: string
  /** What the older one did, and what the limit is. */
  against: string
}

/** Answers that take less are all the same: a timer, or a collection of garbage, makes as much. */
const noiseMs = 5
/** Of the older generation's answers in the same time, before its share is one. */
const fewestOlder = 10
/** Errors that are judged however few the answers are: a release that fails everybody has no need of `minRequests`. */
const fewErrors = 10
/** Answers whose median is judged where there are too few for their 95th percentile. */
export const fewAnswers = 20
/** By definition, of the answers that take longer than the 95th percentile. */
const slowShare = 0.05

/**
 * How likely it may be that a generation which keeps the limits looks like this. In the middle it is asked again and again, and
 * a rollback cannot be taken back.
 */
const chances = { middle: 0.001, end: 0.05 } as const

/**
 * Whether a new generation is worse than the limits allow, beyond what chance does: one error in 50 answers says nothing, 5 %
 * of a steady stream soon does. With fewer than `minRequests` answers, only what is as bad as no chance makes it. Pure.
 */
export function findFault(observed: Observed, limits: Limits, at: keyof typeof chances): Fault | undefined {
  return findErrors(observed, limits, at) ?? findSlowness(observed, limits, at) ?? findGrossSlowness(observed, limits)
}

function findErrors({ fresh, older, olderLife }: Observed, { maxErrors, minRequests }: Limits, at: keyof typeof chances): Fault | undefined {
  const isFew = fresh.requests < minRequests
  if (isFew && fresh.errors < fewErrors) return undefined
  const usual = usualShare(older, olderLife, minRequests)
  const allowed = usual + maxErrors
  if (errorShare(fresh) <= allowed || chanceOf(fresh.errors, fresh.requests, allowed) >= chances[isFew ? 'middle' : at]) return undefined
  return {
    kind: 'errors',
    did: `answered ${fresh.errors} of ${fresh.requests} requests with errors (${shareWords(errorShare(fresh))})`,
    against: `the older one ${shareWords(usual)}: bake.max_errors allows ${shareWords(maxErrors)} more`,
  }
}

function findSlowness({ fresh, recent, older, olderLife }: Observed, { maxSlowdown, minRequests }: Limits, at: keyof typeof chances): Fault | undefined {
  const enough = timed(fresh) >= minRequests && timed(recent) >= minRequests
  const compared = [older, olderLife].find((counts) => timed(counts) >= minRequests)
  if (!enough || compared === undefined) return undefined
  const usualMs = quantileMs(compared, 0.95) ?? 0
  const limitMs = maxSlowdown * Math.max(usualMs, noiseMs)
  const isSlow = (counts: Counts): boolean => (quantileMs(counts, 0.95) ?? 0) > limitMs && chanceOf(countSlower(counts, limitMs), timed(counts), slowShare) < chances[at]
  if (!isSlow(fresh) || (quantileMs(recent, 0.95) ?? 0) <= limitMs) return undefined
  return {
    kind: 'slow',
    did: `answered 95 % of ${fresh.requests} requests within ${msWords(quantileMs(fresh, 0.95) ?? 0)}`,
    against: `the older one within ${msWords(usualMs)}: ${slowdownWords(maxSlowdown)}`,
  }
}

/**
 * What needs fewer answers: half of the new ones take longer than nearly all of the older ones may. Of two generations that are
 * the same, whatever their times are like, fewer than 1 in 1000 look so.
 */
function findGrossSlowness({ fresh, newest, older, olderLife }: Observed, { maxSlowdown }: Limits): Fault | undefined {
  const compared = [older, olderLife].filter((counts) => timed(counts) >= fewAnswers)
  if (timed(fresh) < fewAnswers || timed(newest) < fewAnswers || compared.length === 0) return undefined
  const usualMs = Math.max(...compared.map((counts) => quantileMs(counts, 0.95) ?? 0))
  const limitMs = maxSlowdown * Math.max(usualMs, noiseMs)
  const medianMs = quantileMs(fresh, 0.5) ?? 0
  if (medianMs <= limitMs || (quantileMs(newest, 0.5) ?? 0) <= limitMs) return undefined
  return {
    kind: 'slow',
    did: `took more than ${msWords(medianMs)} for half of ${fresh.requests} requests`,
    against: `the older one at most ${msWords(usualMs)} for 95 %: ${slowdownWords(maxSlowdown)}`,
  }
}

const slowdownWords = (maxSlowdown: number): string => `bake.max_slowdown allows ${maxSlowdown} times as long, and ${msWords(maxSlowdown * noiseMs)} in any case`

/** What the older generation's own share of errors is: of the same time, or of its life where it had hardly anything to answer. */
function usualShare(older: Counts, olderLife: Counts, minRequests: number): number {
  const fewest = Math.min(fewestOlder, minRequests)
  const counted = [older, olderLife].find(({ requests }) => requests >= fewest)
  return counted === undefined ? 0 : errorShare(counted)
}

/**
 * The chance of `hits` or more in `tries`, each a hit with that probability: the upper tail of the binomial distribution. 1
 * for as many as are to be expected, or fewer.
 */
export function chanceOf(hits: number, tries: number, probability: number): number {
  if (hits <= tries * probability) return 1
  if (hits > tries || probability <= 0) return 0
  // Term by term from the first one, in logarithms: a power of a small number would be 0.
  let term = Math.exp(logChoose(tries, hits) + hits * Math.log(probability) + (tries - hits) * Math.log1p(-probability))
  const ratio = probability / (1 - probability)
  let sum = 0
  // Past the expected number, the terms only get smaller.
  for (let k = hits; k <= tries && term > sum * 1e-12; k += 1) {
    sum += term
    term *= ((tries - k) / (k + 1)) * ratio
  }
  return Math.min(1, sum)
}

const logChoose = (n: number, k: number): number => logFactorial(n) - logFactorial(k) - logFactorial(n - k)

/** Stirling's series, exact to some ten digits from 10 on. */
function logFactorial(n: number): number {
  if (n < 10) return Math.log([1, 1, 2, 6, 24, 120, 720, 5040, 40_320, 362_880][n] ?? 1)
  return n * Math.log(n) - n + Math.log(2 * Math.PI * n) / 2 + 1 / (12 * n) - 1 / (360 * n ** 3) + 1 / (1260 * n ** 5)
}

/** Whether there were answers enough: with fewer, only the worst would have been noticed. */
export const isJudged = ({ fresh, minRequests }: BakeFigures): boolean => minRequests !== undefined && fresh.requests >= minRequests

/** The figures on one line: what the new one did, what the older one did, and whether it was enough to judge. */
export function bakeWords({ fresh, older, minRequests }: BakeFigures): string {
  const few = minRequests === undefined || fresh.requests >= minRequests ? '' : `, too few to judge (bake.min_requests is ${minRequests})`
  return `${windowWords(fresh)}${few}; the older one ${windowWords(older)}; in ${fresh.seconds} s`
}

function windowWords({ requests, errors, errorShare: share, p95Ms }: Window): string {
  if (requests === 0) return 'no requests'
  const took = p95Ms === undefined ? '' : `, 95 % within ${msWords(p95Ms)}`
  return `${requests} ${requests === 1 ? 'request' : 'requests'}, ${errors} ${errors === 1 ? 'error' : 'errors'}${errors === 0 ? '' : ` (${shareWords(share)})`}${took}`
}

/** `0.12 %`, `5.2 %`, `31 %`. */
function shareWords(share: number): string {
  const percent = share * 100
  return `${Number(percent.toFixed(percent < 1 ? 2 : percent < 10 ? 1 : 0))} %`
}

/** `0.8 ms`, `212 ms`, `3.2 s`. */
function msWords(ms: number): string {
  return ms < 1000 ? `${Number(ms.toFixed(ms < 10 ? 1 : 0))} ms` : `${Number((ms / 1000).toFixed(1))} s`
}
