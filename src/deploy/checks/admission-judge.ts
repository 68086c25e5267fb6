import type { Admission } from '../../config/model.js'
import { bytesWords } from '../bytes-words.js'
import { spanWords } from '../span-words.js'

/** What the start of a generation is measured against. */
export interface AdmissionFacts {
  /** The number of the generation that is to be started. */
  generation: number
  /** How many of its processes will run beside the older ones. */
  starting: number
  /** Undefined where nothing runs that could be measured. */
  memory: { generation: number; largestBytes: number; availableBytes: number; where: string } | undefined
  /** `MemoryMax=` of one process. */
  limitBytes: number | undefined
  /** Each generation of which nothing is up any more, oldest number first, and for how long it has been draining. */
  draining: { generation: number; ageMs: number }[]
}

/** Why a generation is not started, with the figures, and the key of `[admission]` that says so; undefined where it may be. Pure. */
export function judgeAdmission(app: string, facts: AdmissionFacts, admission: Admission): { reason: string; key: 'max_draining' | 'max_drain_age' | 'reserve' } | undefined {
  const { draining } = facts
  const oldestMs = Math.max(0, ...draining.map(({ ageMs }) => ageMs))
  const tally = draining.length === 1
    ? `generation ${draining[0]?.generation} has been draining for ${spanWords(oldestMs)}`
    : `${draining.length} generations drain (${draining.map(({ generation }) => generation).join(', ')}), the oldest for ${spanWords(oldestMs)}`
  // The one that is live now would be one more.
  if (draining.length >= admission.maxDraining) return { reason: `${tally}; [admission] max_draining is ${admission.maxDraining}`, key: 'max_draining' }
  if (admission.maxDrainAgeMs !== undefined && oldestMs > admission.maxDrainAgeMs) {
    return { reason: `${tally}; [admission] max_drain_age is ${spanWords(admission.maxDrainAgeMs)}`, key: 'max_drain_age' }
  }
  if (!admission.memory || facts.memory === undefined) return undefined
  const { generation, starting, memory: { largestBytes, availableBytes, where, generation: measured }, limitBytes } = facts
  const isLimited = limitBytes !== undefined && limitBytes < largestBytes
  const neededBytes = starting * (isLimited ? limitBytes : largestBytes)
  if (neededBytes + admission.reserveBytes <= availableBytes) return undefined
  const each = isLimited ? `at limits.memory, ${bytesWords(limitBytes)}` : `as much as the largest of generation ${measured}: ${bytesWords(largestBytes)}`
  const count = starting === 1 ? '1 process' : `${starting} processes, each`
  return {
    reason: `${app} needs about ${bytesWords(neededBytes)} more for generation ${generation} (${count} ${each}), and ${bytesWords(availableBytes)} are available ${where}; [admission] reserve keeps ${bytesWords(admission.reserveBytes)} of them`,
    key: 'reserve',
  }
}
