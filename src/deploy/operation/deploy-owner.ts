import { readFileSync } from 'node:fs'

/** Which process has made something, so that others can tell whether it still runs: its number alone is given out again. */
export interface ProcessIdentity {
  pid: number
  /** Clock ticks after the boot, of proc(5). */
  start: string
  /** Differs with every boot. */
  boot: string
}

export function ownIdentity(): ProcessIdentity {
  return { pid: process.pid, start: startOf(process.pid) ?? '', boot: bootId() }
}

export const isAlive = ({ pid, start, boot }: ProcessIdentity): boolean => boot === bootId() && startOf(pid) === start

/** The account that a deploy is asked for by: behind sudo the one before it, and over ssh with its address. */
export function whoAsks(env: NodeJS.ProcessEnv, account: string, client: string | undefined): string {
  const own = env['SUDO_USER'] || env['LOGNAME'] || env['USER'] || account
  const clean = (text: string): string => text.replace(/[^\w.:@%+-]/g, '').slice(0, 64)
  return `${clean(own) || clean(account)}${client === undefined || clean(client) === '' ? '' : `@${clean(client)}`}`
}

/**
 * The address that the ssh session of this process came from. Looked for in the environment of its parents too: sudo keeps
 * it from what it runs. Undefined without one.
 */
export function sshClient(env: NodeJS.ProcessEnv): string | undefined {
  const own = env['SSH_CONNECTION'] || env['SSH_CLIENT']
  if (own !== undefined) return own.split(' ')[0]
  let pid: string | undefined = String(process.ppid)
  for (let up = 0; up < 10 && pid !== undefined && Number(pid) > 1; up += 1) {
    const [, connection] = /(?:^|\0)SSH_(?:CONNECTION|CLIENT)=([^ \0]+)/.exec(readProc(pid, 'environ') ?? '') ?? []
    if (connection !== undefined) return connection
    pid = /^PPid:\s+(\d+)$/m.exec(readProc(pid, 'status') ?? '')?.[1]
  }
  return undefined
}

/** Field 22 of /proc/PID/stat; the name in field 2 may hold blanks and brackets. */
function startOf(pid: number): string | undefined {
  const stat = readProc(String(pid), 'stat')
  if (stat === undefined) return undefined
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  // A process that has ended and was not waited for runs no more.
  return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19]
}

const bootId = (): string => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()

function readProc(pid: string, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch {
    return undefined
  }
}
