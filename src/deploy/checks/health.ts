import { setTimeout as delay } from 'node:timers/promises'
import { formatDuration } from '../../config/duration.js'
import type { Config, Health } from '../../config/model.js'
import { hasPreload } from '../../config/preload.js'
import type { Release } from '../../release/release.js'
import { privateSocket } from '../../release/standby.js'
import type { Member } from '../plan.js'
import { abortWith } from './abort-with.js'
import type { InstalledApp } from '../app.js'
import type { ProbeAnswer } from './health-answer.js'
import { endProbes, probeCommand } from './health-command.js'
import { probeHttp } from './health-http.js'

export interface HealthOrder {
  health: Health
  /** That of the instances. */
  release: Release
  /** As the instances run with it. */
  config: Config
  instances: readonly Member[]
  signal: AbortSignal
  /** A sentence on one line: the first failing answer of an instance, and what it changes to. */
  tell(text: string): void
}

export type HealthResult =
  | { ok: true; durationMs: number }
  /** `reason`: what was asked and answered, as the end of a sentence that begins with the unit. */
  | { ok: false; unit: string; reason: string }

/** Of one instance: an app may answer otherwise each time. */
const mostTold = 10

/**
 * Asks each instance over its private socket until it has passed `successes` times in a row, all at the same time.
 * @throws the signal's reason when it aborts, once no probe is left; HoldfastError as `probeCommand`
 */
export async function checkHealth(app: InstalledApp, order: HealthOrder): Promise<HealthResult> {
  const began = performance.now()
  await endProbes(app)
  const results = await inParallel(order, (instance, signal) => passOne(app, order, instance, signal, began))
  order.signal.throwIfAborted()
  return results.find((result) => result?.ok === false) ?? { ok: true, durationMs: performance.now() - began }
}

/** Failing probes in a row that a generation which is let in may not have. */
const mostFailures = 3

/**
 * Goes on asking instances that have passed before.
 * @returns once one of them has failed so often in a row that it is no accident
 * @throws as `checkHealth`
 */
export async function watchHealth(app: InstalledApp, order: HealthOrder): Promise<Extract<HealthResult, { ok: false }>> {
  const results = await inParallel(order, (instance, signal) => watchOne(app, order, instance, signal))
  order.signal.throwIfAborted()
  const failed = results.find((result) => result !== undefined)
  if (failed === undefined) throw new Error('a watch ends with a failure or an abort')
  return failed
}

/** Ends the others with the first that has failed. Returns when all have ended. */
async function inParallel<R extends HealthResult | undefined>(order: HealthOrder, ask: (instance: Member, signal: AbortSignal) => Promise<R>): Promise<(R | undefined)[]> {
  const failed = abortWith(order.signal)
  const ends = await Promise.allSettled(
    order.instances.map(async (instance) => {
      try {
        const result = await ask(instance, failed.signal)
        if (result?.ok === false) failed.abort()
        return result
      } catch (error) {
        failed.abort()
        throw error
      }
    }),
  )
  failed.release()
  const broken = ends.find((end) => end.status === 'rejected')
  if (broken !== undefined && !order.signal.aborted) throw broken.reason
  return ends.map((end) => (end.status === 'fulfilled' ? end.value : undefined))
}

/** @returns undefined when the signal aborts */
async function passOne(app: InstalledApp, order: HealthOrder, instance: Member, signal: AbortSignal, began: number): Promise<HealthResult | undefined> {
  const { health } = order
  const telling = new Telling(order.tell, instance.unit)
  const restMs = (): number => health.deadlineMs - (performance.now() - began)
  let [inRow, probes, failures] = [0, 0, 0]
  let last: Extract<ProbeAnswer, { ok: false }> | undefined
  for (;;) {
    const timeoutMs = Math.max(1, Math.ceil(Math.min(health.timeoutMs, restMs())))
    const answer = await probe(app, order, instance, { timeoutMs, signal })
    if (signal.aborted) return undefined
    // One that the deadline cut short says less than those before it.
    const isCut = !answer.ok && timeoutMs < health.timeoutMs && restMs() <= 0 && probes > 0
    if (!isCut) {
      probes += 1
      inRow = answer.ok ? inRow + 1 : 0
      if (!answer.ok) [last, failures] = [answer, failures + 1]
      telling.tell(answer)
    }
    if (inRow >= health.successes) return { ok: true, durationMs: performance.now() - began }
    if (restMs() <= health.intervalMs) {
      const { unit } = instance
      const within = `in ${formatDuration(health.deadlineMs)}`
      if (last === undefined) return { ok: false, unit, reason: `passed its health check ${timesWords(probes)} ${within}, and ${health.successes} in a row are needed (health.successes)` }
      const often = failures === probes ? timesWords(failures) : `${failures} of ${timesWords(probes)}`
      return { ok: false, unit, reason: `${last.words}, ${often} ${within}${mendWords(last, order)}` }
    }
    if (!(await wait(health.intervalMs, signal))) return undefined
  }
}

/** @returns undefined when the signal aborts */
async function watchOne(app: InstalledApp, order: HealthOrder, instance: Member, signal: AbortSignal): Promise<Extract<HealthResult, { ok: false }> | undefined> {
  const { health } = order
  const telling = new Telling(order.tell, instance.unit)
  for (let failures = 0; await wait(health.intervalMs, signal); ) {
    const answer = await probe(app, order, instance, { timeoutMs: health.timeoutMs, signal })
    if (signal.aborted) return undefined
    telling.tell(answer)
    failures = answer.ok ? 0 : failures + 1
    if (!answer.ok && failures >= mostFailures) return { ok: false, unit: instance.unit, reason: `${answer.words}, ${failures} times in a row` }
  }
  return undefined
}

function probe(app: InstalledApp, { health, release, config }: HealthOrder, instance: Member, { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal }): Promise<ProbeAnswer> {
  return health.probe.kind === 'http'
    ? probeHttp(health.probe, { socketPath: privateSocket(app.paths, instance), timeoutMs, signal })
    : probeCommand(app, health.probe, { release, config, instance, timeoutMs, signal })
}

const timesWords = (times: number): string => (times === 1 ? 'once' : `${times} times`)

/** What is probably missing where there is no answer at all. */
function mendWords({ kind }: { kind: string }, { health, config }: HealthOrder): string {
  if (health.probe.kind !== 'http') return ''
  if (kind === 'ENOENT' || kind === 'ECONNREFUSED') return ': if the app was installed by an older version of Holdfast, run `holdfast install`'
  if (kind === 'ECONNRESET' && !health.probe.tls) return ': a server with TLS needs `tls = true` in [health]'
  return kind === 'timeout' && !config.start.standby && !hasPreload(config) ? ': an app without the preload has to serve the inherited socket named `private`' : ''
}

/** Tells what an instance answers where that is news. */
class Telling {
  /** That it is well needs no telling until it was not. */
  private before: string | undefined
  private told = 0

  constructor(private readonly write: (text: string) => void, private readonly unit: string) {}

  tell(answer: ProbeAnswer): void {
    const kind = answer.ok ? undefined : answer.kind
    if (kind === this.before) return
    this.before = kind
    if (this.told >= mostTold) return
    this.told += 1
    this.write(`${this.unit} ${answer.words}.`)
  }
}

/** @returns whether the time has passed: false when the signal aborts */
async function wait(ms: number, signal: AbortSignal): Promise<boolean> {
  return delay(ms, true, { signal }).catch(() => false)
}
