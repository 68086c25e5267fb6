import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { UnitState } from '../../systemd/systemd.js'
import { processesOf } from '../unit-processes.js'

/** Where memory is told of: /proc and /sys/fs/cgroup, but in tests. */
export interface MemoryTables {
  proc: string
  cgroup: string
}

/**
 * What a unit's processes have for themselves alone, in bytes: anonymous and shared memory, also what is swapped out. Not
 * `MemoryCurrent=`, which counts files that the kernel only keeps while nobody needs the room, and which not every
 * machine accounts. Undefined where nothing of it can be read.
 */
export function memoryOf({ mainPid }: Pick<UnitState, 'mainPid'>, controlGroup: string, { proc, cgroup }: MemoryTables): number | undefined {
  const pids = new Set([mainPid, ...processesOf(controlGroup, [cgroup])].filter((pid) => pid > 0))
  const all = [...pids].flatMap((pid) => {
    const values = readTable(`${proc}/${pid}/status`)
    const own = ['RssAnon', 'RssShmem', 'VmSwap'].flatMap((name) => values.get(name) ?? [])
    return own.length === 0 ? [] : [own.reduce((sum, bytes) => sum + bytes, 0)]
  })
  return all.length === 0 ? undefined : all.reduce((sum, bytes) => sum + bytes, 0)
}

/** The memory that is left for what starts beside a unit: of the machine, or below the tightest limit above it. Undefined where nothing tells. */
export function availableMemory(controlGroup: string, { proc, cgroup }: MemoryTables): { bytes: number; where: string } | undefined {
  const machine = readTable(`${proc}/meminfo`).get('MemAvailable')
  const rooms = machine === undefined ? [] : [{ bytes: machine, where: 'on this machine' }]
  if (controlGroup !== '') {
    for (let group = dirname(controlGroup); ; group = dirname(group)) {
      const bytes = roomIn(join(cgroup, group))
      if (bytes !== undefined) rooms.push({ bytes, where: `within the limit of ${group === '/' ? 'this container' : group}` })
      if (group === '/' || group === '.') break
    }
  }
  return rooms.sort((one, other) => one.bytes - other.bytes)[0]
}

/** What fits below MemoryMax= and MemoryHigh= of a slice. Files that the kernel keeps for it give way. */
function roomIn(folder: string): number | undefined {
  const limits = ['memory.max', 'memory.high'].map((name) => Number.parseInt(readText(join(folder, name)), 10)).filter(Number.isFinite)
  const current = Number.parseInt(readText(join(folder, 'memory.current')), 10)
  if (limits.length === 0 || !Number.isFinite(current)) return undefined
  const stat = readText(join(folder, 'memory.stat'))
  const kept = [...stat.matchAll(/^(?:active|inactive)_file (\d+)$/gm)].reduce((sum, [, bytes]) => sum + Number(bytes), 0)
  return Math.max(0, Math.min(...limits) - Math.max(0, current - kept))
}

/** `Name:   123 kB` lines of proc(5), in bytes. */
function readTable(file: string): Map<string, number> {
  return new Map([...readText(file).matchAll(/^(\w+):\s+(\d+) kB$/gm)].map(([, name = '', kibibytes]) => [name, Number(kibibytes) * 1024]))
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
