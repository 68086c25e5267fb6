import type { Phase } from './app-status.js'
import type { View } from './watch-view.js'

/** After the last thing that has happened to an app, in milliseconds. */
const calmAfterMs = 3_000

/** What ends by itself soon, or tells of itself each second. */
const passing: readonly Phase[] = ['starting', 'standby', 'ready', 'restarting', 'draining']

/** Which apps are to be looked at closely: something is under way, or nobody would say when something begins. */
export class Attention {
  private readonly busy = new Set<string>()
  private readonly happenedAt = new Map<string, number>()

  /** @param isTold whether the journal can be read */
  constructor(private readonly isTold: boolean) {}

  seen(app: string, { status: { state, deploy, instances } }: View): void {
    const isBusy = state === 'handover' || state === 'starting' || state === 'stopping' || deploy?.running === true || instances.some(({ phase }) => passing.includes(phase))
    if (isBusy) this.busy.add(app)
    else this.busy.delete(app)
  }

  /** @param now of a steady clock, in milliseconds */
  happened(app: string, now: number): void {
    this.happenedAt.set(app, now)
  }

  forget(app: string): void {
    this.busy.delete(app)
    this.happenedAt.delete(app)
  }

  isNeededBy(app: string, now: number): boolean {
    return !this.isTold || this.busy.has(app) || now - (this.happenedAt.get(app) ?? -Infinity) < calmAfterMs
  }
}
