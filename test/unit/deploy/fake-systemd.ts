import type { QueuedJob, Systemd, UnitState } from '../../../src/systemd/systemd.js'
import { unitState } from './unit-state.js'

/**
 * A systemd in memory, for tests that run the code from end to end: units with states, and what becomes of an order as
 * the test says it. A unit that is started runs at once, one that is stopped is gone at once; the one for the hook after a
 * drain is only seen to be started, and has ended.
 */
export class FakeSystemd implements Systemd {
  readonly scope = 'system'
  readonly units = new Map<string, UnitState>()
  readonly jobs = new Map<string, QueuedJob>()
  /** What was asked for, in order, such as `start shop@2.1.service`. */
  readonly orders: string[] = []
  /** What becomes of a unit that is started, over one that runs. */
  onStart: (unit: string) => Partial<UnitState> = () => ({})
  /** What becomes of a unit that is told to stop, over one that has ended; `deactivating` is one that drains. */
  onStop: (unit: string) => Partial<UnitState> = () => ({})
  /** The job of a restart, such as a handover. The unit has it until this ends, and is active then unless it says otherwise. */
  onRestart: (unit: string) => Promise<Partial<UnitState> | void> = async () => {}
  /** A transient unit, such as a hook: what it does, and its state afterwards over one that has run well. */
  onTransient: (unit: string, args: readonly string[]) => Partial<UnitState> | Promise<Partial<UnitState>> = () => ({})
  /** What a unit has logged. */
  log: string[] = []
  private invocations = 0

  set(unit: string, state: Partial<UnitState> = {}): void {
    this.units.set(unit, unitState({ unit, invocation: String(++this.invocations), ...state }))
  }

  active(unit: string): string {
    return this.units.get(unit)?.active ?? 'inactive'
  }

  /** The units that were asked to do this. */
  asked(verb: string): string[] {
    return this.orders.filter((order) => order.startsWith(`${verb} `)).map((order) => order.slice(verb.length + 1))
  }

  async show(units: readonly string[]): Promise<UnitState[]> {
    return units.map((unit) => this.units.get(unit) ?? unitState({ unit, load: 'not-found', active: 'inactive', sub: 'dead', mainPid: 0, invocation: '' }))
  }

  async list(pattern: string): Promise<string[]> {
    const [before = '', after = ''] = pattern.split('*')
    return [...this.units.keys()].filter((unit) => unit.startsWith(before) && unit.endsWith(after))
  }

  async job(unit: string): Promise<QueuedJob | undefined> {
    return this.jobs.get(unit)
  }

  async queueStart(units: readonly string[]): Promise<void> {
    for (const unit of units) {
      this.orders.push(`start ${unit}`)
      this.set(unit, { ...(unit.endsWith('-after-drain.service') ? { active: 'inactive', sub: 'dead' } : {}), ...this.onStart(unit) })
    }
  }

  async queueRestart(units: readonly string[]): Promise<void> {
    for (const unit of units) {
      this.orders.push(`restart ${unit}`)
      this.jobs.set(unit, 'restart')
      this.set(unit, { active: 'activating', sub: 'start' })
      void this.onRestart(unit).then((state) => {
        this.set(unit, { sub: 'exited', ...state })
        this.jobs.delete(unit)
      })
    }
  }

  async queueStop(units: readonly string[]): Promise<void> {
    for (const unit of units) {
      this.orders.push(`stop ${unit}`)
      if (this.active(unit) === 'inactive') continue
      this.set(unit, { active: 'inactive', sub: 'dead', mainPid: 0, ...this.onStop(unit) })
      if (this.active(unit) === 'inactive') this.units.delete(unit)
    }
  }

  async beginStop(units: readonly string[]): Promise<void> {
    await this.queueStop(units)
  }

  async run(verb: 'start' | 'stop' | 'restart' | 'reload', units: readonly string[]): Promise<{ ok: boolean; message: string }> {
    if (verb === 'stop') await this.queueStop(units)
    else await this.queueStart(units)
    return { ok: true, message: '' }
  }

  async runTransient(args: readonly string[]): Promise<{ ok: boolean; message: string }> {
    const unit = args.find((arg) => arg.startsWith('--unit='))?.slice('--unit='.length) ?? ''
    this.orders.push(`transient ${unit}`)
    this.set(unit, { active: 'activating', sub: 'start' })
    this.set(unit, { sub: 'exited', mainPid: 0, ...(await this.onTransient(unit, args)) })
    return { ok: this.active(unit) === 'active', message: '' }
  }

  async kill(unit: string, signal: string): Promise<void> {
    this.orders.push(`kill ${unit} ${signal}`)
    this.units.delete(unit)
  }

  async resetFailed(units: readonly string[]): Promise<void> {
    for (const unit of units) if (this.active(unit) === 'failed') this.units.delete(unit)
  }

  async daemonReload(): Promise<void> {
    this.orders.push('daemon-reload')
  }

  property = async (): Promise<string> => ''
  properties = async <P extends string>(units: readonly string[], names: readonly P[]): Promise<Record<P, string>[]> =>
    units.map(() => Object.fromEntries(names.map((name) => [name, ''])) as Record<P, string>)
  cat = async (): Promise<string> => ''
  version = async (): Promise<number> => 252
  enable = async (): Promise<void> => {}
  disable = async (): Promise<void> => {}
  systemState = async (): Promise<string> => 'running'
  logTail = async (): Promise<string[]> => this.log
  journal: Systemd['journal'] = async () => []
}
