import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Where control groups are mounted: by version 2 alone, by 1 and 2 together, by 1 alone. */
const mounts = ['/sys/fs/cgroup', '/sys/fs/cgroup/unified', '/sys/fs/cgroup/systemd']

/** The processes of a unit, by its `ControlGroup=`; none where it has none, or ended meanwhile. */
export function processesOf(controlGroup: string, at: readonly string[] = mounts): number[] {
  if (controlGroup === '') return []
  for (const mount of at) {
    try {
      return readFileSync(join(mount, controlGroup, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number)
    } catch {
      // Mounted elsewhere.
    }
  }
  return []
}
