import type { Config } from '../../config/model.js'
import { HoldfastError } from '../../errors.js'
import { holdfastCommand } from '../../release/command-words.js'
import type { HandoverKind } from '../../release/history.js'
import { highestGeneration } from '../../release/instance.js'
import type { State } from '../../release/state.js'
import { judgeAdmission, type AdmissionFacts } from './admission-judge.js'
import { availableMemory, memoryOf, type MemoryTables } from './admission-memory.js'
import type { InstalledApp } from '../app.js'
import type { DeployRequest } from '../operation/deploy-request.js'
import { answers, isDraining, isServing, isUp, observeInstances, type RunningInstance } from '../observe.js'
import { countOverlap, planHandover } from '../plan.js'

/** What a handover is about to start, and what runs. */
export interface AdmissionRequest {
  generation: number
  /** How many of its processes will run beside the older ones: of a rolling handover, not all. */
  starting: number
  /** The number of the recorded generation. */
  live: number | undefined
  instances: readonly RunningInstance[]
  /** What was asked for. Default: a restart, which knows no switch. */
  kind?: HandoverKind
  /** The very command, which `--no-admission` is added to. */
  again?: string
}

/** A release that is yet to be handed over to. */
export interface AdmissionAhead {
  /** The installed configuration with what the release itself may set. */
  config: Config
  state: State
  asked: Pick<DeployRequest, 'again' | 'skipAdmission' | 'hold' | 'canary'>
}

/**
 * Refuses what the handover would refuse, before anything else is done for it: a migration for a release that does not come is
 * worse than none. The handover asks again, as hooks take their time.
 * @throws HoldfastError as `requireAdmission`
 */
export async function requireAdmissionAhead(app: InstalledApp, { config, state, asked }: AdmissionAhead, cgroup?: string): Promise<void> {
  if (asked.skipAdmission === true) return
  const { paths, systemd } = app
  const instances = await observeInstances(systemd, paths.app)
  const { generation } = planHandover({ state, instances, started: highestGeneration(paths) })
  await requireAdmission(app, { generation, starting: countOverlap(config, asked), live: state.live?.generation, instances, again: asked.again }, cgroup)
}

/**
 * Refuses a generation for which there is no room: memory for the overlap, measured on the running one, and a limit on what
 * drains. Where nothing serves, nothing is refused: whatever comes up is better.
 * @throws HoldfastError `not-admitted`, with the figures and the ways to override it
 */
export async function requireAdmission(app: InstalledApp, request: AdmissionRequest, cgroup = '/sys/fs/cgroup'): Promise<void> {
  const { config, paths } = app
  if (!request.instances.some((instance) => answers(paths, instance))) return
  const refusal = judgeAdmission(paths.app, await measure(app, request, { proc: app.proc ?? '/proc', cgroup }), config.admission)
  if (refusal === undefined) return
  const holdfast = holdfastCommand(paths)
  const again = request.again ?? `${holdfast} ${request.kind === 'rollback' ? 'rollback' : 'deploy'} ${paths.app} …`
  const waits = refusal.key === 'reserve' ? 'make room' : `wait for them (${holdfast} status ${paths.app})`
  const key = refusal.key === 'reserve' ? 'reserve, or memory = false,' : refusal.key
  throw new HoldfastError('not-admitted', refusal.reason, {
    hint: `${waits}; or ${again} --no-admission; or change ${key} in [admission] of ${paths.config}, then: ${holdfast} install ${paths.config}`,
  })
}

async function measure({ config, systemd }: InstalledApp, { generation, starting, live, instances }: AdmissionRequest, tables: MemoryTables): Promise<AdmissionFacts> {
  const serving = instances.filter(isServing)
  const newest = Math.max(...serving.map((instance) => instance.generation))
  const measured = serving.some((instance) => instance.generation === live) ? (live as number) : newest
  const own = serving.filter((instance) => instance.generation === measured)
  const draining = instances.filter((instance) => isDraining(instance) && !instances.some((other) => other.generation === instance.generation && isUp(other)))
  const [groups, ends] = await Promise.all([
    systemd.properties(own.map(({ state }) => state.unit), ['ControlGroup']),
    systemd.properties(draining.map(({ state }) => state.unit), ['ActiveExitTimestamp']),
  ])
  const sizes = own.map(({ state }, i) => memoryOf(state, groups[i]?.ControlGroup ?? '', tables)).filter((bytes) => bytes !== undefined)
  const available = availableMemory(groups[0]?.ControlGroup ?? '', tables)
  const ages = new Map<number, number>()
  for (const [i, instance] of draining.entries()) {
    const ageMs = ageOf(ends[i]?.ActiveExitTimestamp ?? '')
    ages.set(instance.generation, Math.max(ageMs, ages.get(instance.generation) ?? 0))
  }
  return {
    generation, starting,
    memory: sizes.length === 0 || available === undefined ? undefined : { generation: measured, largestBytes: Math.max(...sizes), availableBytes: available.bytes, where: available.where },
    limitBytes: config.limits.memoryBytes,
    draining: [...ages].map(([number, ageMs]) => ({ generation: number, ageMs })).sort((one, other) => one.generation - other.generation),
  }
}

/** The form of `systemctl show --timestamp=unix`; 0 where it does not tell. */
const ageOf = (timestamp: string): number => (/^@\d+$/.test(timestamp) ? Math.max(0, Date.now() - Number(timestamp.slice(1)) * 1000) : 0)
