import { execFileSync } from 'node:child_process'

/** How many connections of a listening socket nobody has accepted yet. */
export function countUnaccepted(address: string): number {
  const isPath = address.startsWith('/')
  const row = execFileSync('ss', isPath ? ['-Hlx', 'src', address] : ['-Hltn', `sport = :${address.split(':')[1]}`], { encoding: 'utf8' })
  return Number(row.trim().split(/\s+/)[isPath ? 2 : 1])
}
