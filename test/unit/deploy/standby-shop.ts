import { handOver } from '../../../src/deploy/handover.js'
import type { Member } from '../../../src/deploy/plan.js'
import { promote } from '../../../src/deploy/promotion.js'
import { isHeldBack } from '../../../src/release/standby.js'
import { readState } from '../../../src/release/state.js'
import type { Report } from '../../../src/runtime/report.js'
import { addRelease, bringUp, makeApp, makeOrder, type AppOnDisk } from './app-on-disk.js'
import { report, serveReports } from './private-servers.js'

export interface StandbyShop extends AppOnDisk {
  /** What an instance tells, over one that has the runtime; nothing: it does not answer. */
  tell: (unit: string) => Partial<Report> | undefined
  /** Hands over to r2. */
  deploy(over?: Parameters<typeof makeOrder>[1]): ReturnType<typeof handOver>
  /** Promotes generation 4. */
  promote(over?: Parameters<typeof makeOrder>[1]): ReturnType<typeof promote>
  unit(generation: number, process?: number): string
  /** The units of instances that are up, in order. */
  up(): string[]
}

/** Release r1 is live as generation 3, of an app that knows standby; r2 has never run. */
export async function makeStandbyShop({ processes = 1, live = processes, tables = '' }: { processes?: number; live?: number; tables?: string } = {}): Promise<StandbyShop> {
  const on = makeApp(`standby = true\n${tables}`)
  const { app, paths, systemd } = on
  app.units.push('shop@.socket')
  app.config.processes = processes
  addRelease(on, 'r1')
  addRelease(on, 'r2', { outcome: 'untried', createdAt: '2026-01-02T00:00:00.000Z' })
  bringUp(on, 'r1', 3, { live: { generation: 3, release: 'r1', processes: live, since: '2026-01-01T00:00:00.000Z' } })
  const unit = (generation: number, process = 1): string => `shop@${generation}.${process}.service`
  for (let process = 2; process <= live; process += 1) systemd.set(unit(3, process))
  const shop: StandbyShop = {
    ...on, unit,
    tell: () => ({}),
    deploy: (over = {}) => handOver(app, { from: 'order', order: makeOrder('r2', { began: 'r1', ...over }) }),
    promote: (over = {}) => promote(app, { from: 'order', order: makeOrder('r2', { kind: 'promote', began: 'r1', promote: 4, ...over }) }, 4),
    up: () => [...systemd.units.values()].filter(({ unit: name, active }) => name.includes('@') && active === 'active').map(({ unit: name }) => name).sort(),
  }
  for (const generation of [3, 4, 5]) {
    for (let process = 1; process <= Math.max(processes, live, 4); process += 1) {
      const member: Member = { generation, process, unit: unit(generation, process) }
      await serveReports(paths, member, () => {
        const told = systemd.active(member.unit) === 'active' ? shop.tell(member.unit) : undefined
        return told === undefined ? '' : report({ accepting: !isHeldBack(paths, member), ...told })
      })
    }
  }
  return shop
}

/** r2 is held as generation 4 beside it. */
export async function makeHolding(options: Parameters<typeof makeStandbyShop>[0] = {}, over: Parameters<typeof makeOrder>[1] = { hold: {} }): Promise<StandbyShop> {
  const shop = await makeStandbyShop(options)
  const outcome = await shop.deploy(over)
  if (outcome.kind !== 'held' || readState(shop.paths).held === undefined) throw new Error(`it is not held: ${JSON.stringify(outcome)}`)
  shop.told.length = 0
  shop.systemd.orders.length = 0
  return shop
}

