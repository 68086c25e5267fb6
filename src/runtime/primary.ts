import { hear, tell, type PrimaryMessage } from './cluster-messages.js'
import type { DrainOrder, DrainOutcome, DrainProgress, Supervisor } from './supervisor.js'

/**
 * The primary as the drain of a worker sees it. The worker does not end with its drain but with the primary: an app that forks
 * anew for each worker that ends would otherwise do so now.
 */
export class Primary implements Supervisor {
  #order: DrainOrder = { reason: 'stop', timeoutMs: Infinity, reconnectRate: 1 }
  #orderedAt = 0
  #settle: (() => void) | undefined

  onOrder(callback: () => void): void {
    hear<PrimaryMessage>(process, (message) => {
      if (message.act === 'settled') return this.#settle?.()
      if (message.act !== 'drain') return
      this.#order = message.order
      this.#orderedAt = performance.now()
      callback()
    })
    tell(process, { act: 'hello' })
  }

  order(): DrainOrder {
    return { ...this.#order, timeoutMs: this.#orderedAt + this.#order.timeoutMs - performance.now() }
  }

  begin(progress: DrainProgress): void {
    this.report(progress)
  }

  /** It was the primary that said so. */
  change(): void {}

  report({ waiting, counts }: DrainProgress): void {
    tell(process, { act: 'report', waiting, counts })
  }

  /** Signals are between the primary's own handlers and its workers: they run when all have drained. */
  passSignal(): void {}

  settled(): Promise<void> {
    tell(process, { act: 'idle' })
    return new Promise((resolve) => {
      this.#settle = resolve
    })
  }

  async end({ waiting, counts }: DrainOutcome): Promise<void> {
    tell(process, { act: 'ended', waiting, counts })
  }
}
