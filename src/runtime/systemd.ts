import { aborted } from './deadline.js'
import { ExitGate } from './exit-gate.js'
import { untilJournalRead, type Log } from './journal.js'
import { formatCut, formatLedger, ledgerFields } from './ledger.js'
import type { DrainLimits } from './limits.js'
import { notifyExtendTimeout, notifyStatus, notifyStopping } from './notify.js'
import { Sigterm } from './sigterm.js'
import { readStopReason } from './stop-reason.js'
import type { DrainOrder, DrainOutcome, DrainProgress, Supervisor } from './supervisor.js'
import { formatWaiting } from './waiting.js'

/** systemd's time is extended so many times before it would run out. */
const extensionsPerHang = 4
const tickMs = 1000

/** systemd as a drain sees it: SIGTERM, sd_notify(3), the journal, and the end of the process. */
export class Systemd implements Supervisor {
  readonly #gate = new ExitGate()
  readonly #sigterm = new Sigterm()
  readonly #log: Log
  readonly #limits: DrainLimits
  readonly #stopFile: string | undefined
  #extendedAt = -Infinity

  constructor(options: { log: Log; limits: DrainLimits; stopFile: string | undefined }) {
    this.#log = options.log
    this.#limits = options.limits
    this.#stopFile = options.stopFile
  }

  /** Makes SIGTERM start the drain, before any handler of the app's own runs. */
  onOrder(callback: () => void): void {
    let isDraining = false
    this.#gate.install()
    this.#sigterm.hold(() => {
      // NestJS, for one, raises the signal again when its own shutdown is over.
      if (isDraining) return this.#sigterm.hasHandlers() ? undefined : this.#gate.request()
      isDraining = true
      this.#gate.shut()
      callback()
    })
  }

  order(): DrainOrder {
    const { timeoutMs, shutdownTimeoutMs, reconnectRate } = this.#limits
    const reason = readStopReason(this.#stopFile)
    return { reason, timeoutMs: reason === 'shutdown' ? Math.min(timeoutMs, shutdownTimeoutMs) : timeoutMs, reconnectRate }
  }

  begin({ waiting }: DrainProgress, { reason, timeoutMs }: DrainOrder): void {
    const text = formatWaiting(waiting)
    notifyStopping(text)
    this.#extendTimeout()
    this.#log.info(`${text}; at most ${Math.ceil(timeoutMs / 1000)} s`, { phase: 'drain', reason })
  }

  change({ reason, timeoutMs }: DrainOrder): void {
    this.#log.info(`the drain goes on, now because of a ${reason}; at most ${Math.ceil(timeoutMs / 1000)} s more`, { phase: 'drain', reason })
  }

  report({ waiting }: DrainProgress): void {
    this.#extendTimeout()
    notifyStatus(formatWaiting(waiting))
  }

  passSignal(): void {
    this.#sigterm.pass()
  }

  /** The listeners are closed, and nobody else hands connections over. */
  async settled(): Promise<void> {}

  async end(outcome: DrainOutcome): Promise<void> {
    this.#record(outcome)
    await untilJournalRead()
    if (!outcome.over.aborted && this.#sigterm.handledByApp()) await this.#leaveToApp(outcome.over)
    this.#gate.leave()
  }

  #record({ counts, durationMs, reason, over }: DrainOutcome): void {
    const fields = { ...ledgerFields(counts), durationMs, reason }
    const text = formatLedger(counts, durationMs)
    if (formatCut(counts) === '') this.#log.info(text, { phase: 'drained', ...fields })
    else this.#log.warn(over.aborted ? `the time of this drain was over. It ${text}` : text, { phase: 'drain-cut', ...fields })
  }

  /**
   * An app with a SIGTERM handler has more to do, such as closing a database, and says itself when it is done: by exit(), by
   * the signal, or by letting the event loop run empty.
   */
  async #leaveToApp(over: AbortSignal): Promise<void> {
    notifyStatus("drained; waiting for the app's own SIGTERM handler to exit")
    this.#gate.open()
    this.#sigterm.release()
    const alive = setInterval(() => this.#extendTimeout(), tickMs).unref()
    await aborted(over)
    clearInterval(alive)
    this.#log.warn("drained, but the app's own SIGTERM handler did not end the process in time", { phase: 'drain-cut' })
  }

  /** While the event loop turns, systemd waits; see EXTEND_TIMEOUT_USEC= in sd_notify(3). */
  #extendTimeout(): void {
    const { hangTimeoutMs } = this.#limits
    const now = performance.now()
    if (now - this.#extendedAt < hangTimeoutMs / extensionsPerHang) return
    this.#extendedAt = now
    notifyExtendTimeout(hangTimeoutMs)
  }
}
