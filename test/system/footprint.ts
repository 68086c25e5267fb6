/** What Holdfast may leave on a machine, to be compared before and after. */
import { createHash } from 'node:crypto'
import { lstat, readdir, readFile, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { mustRun } from './harness.js'

/** `/var/lib/private` itself is systemd's, made for the first dynamic user of any service. */
const folders = [
  '/etc/systemd', '/etc/holdfast', '/etc/needrestart', '/usr/local/lib/systemd', '/var/lib/holdfast', '/var/lib/private/holdfast', '/run/holdfast',
  '/etc/passwd', '/etc/group', '/run/systemd/transient', '/run/systemd/system',
]

/** Every file with its hash, every unit in memory, every account and listening address. */
export async function footprint(...more: string[]): Promise<string[]> {
  const files = (await Promise.all([...folders, ...more].map((folder) => describe(folder)))).flat()
  const units = (await mustRun('systemctl', ['list-units', '--all', '--plain', '--no-legend', '--full'])).split('\n').filter((line) => !isPassing(line))
  const sockets = (await mustRun('ss', ['-Hltn'])).split('\n')
  // The last column is the queue's length, the columns' widths vary.
  const tidy = (lines: string[], columns: number): string[] => lines.map((line) => line.trim().split(/\s+/).slice(0, columns).join(' ')).sort()
  return [...files, ...tidy(units, 4), ...tidy(sockets.map((line) => line.replace(/^\S+\s+\d+\s+\d+/, 'listens')), 2)]
}

/** Units that come and go by themselves. */
const isPassing = (line: string): boolean => /^(?:run-credentials|systemd-tmpfiles|systemd-journald|dev-|sys-|proc-|user|session-|run-user)/.test(line.trim())

async function describe(path: string): Promise<string[]> {
  const stat = await lstat(path).catch(() => undefined)
  if (stat === undefined) return []
  const head = `${path} ${stat.mode.toString(8)} ${stat.uid}:${stat.gid}`
  if (stat.isSymbolicLink()) return [`${head} -> ${await readlink(path)}`]
  if (stat.isDirectory()) return [head, ...(await Promise.all((await readdir(path)).sort().map((name) => describe(join(path, name))))).flat()]
  return [stat.isFile() ? `${head} ${createHash('sha256').update(await readFile(path)).digest('hex').slice(0, 16)}` : head]
}
