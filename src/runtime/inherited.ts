import type { ListenerEnvironment } from './environment.js'
import { describeSocket, type SocketDescription } from './socket-table.js'

/** The first descriptor that systemd passes: SD_LISTEN_FDS_START of sd_listen_fds(3). */
export const firstFd = 3

/** When nobody says which backlog the socket has: the kernel clips it to net.core.somaxconn, see listen(2). */
export const maxBacklog = 0x7fffffff

/** A listening socket that this process got from systemd. */
export interface InheritedListener {
  /** `FileDescriptorName=`, in Holdfast the key in `[listen]`. */
  name: string
  fd: number
  /** As written in `[listen]`, else as the kernel says; undefined when neither is known. */
  address: string | undefined
  /** To be given to listen(2) again. */
  backlog: number
}

/** `FileDescriptorName=` of the sockets that are one instance's own; never among the listeners that an app sees. */
const privateName = 'private'

export interface Inheritance {
  listeners: InheritedListener[]
  /** The descriptor of the socket that reaches this one instance: HOLDFAST_PRIVATE_SOCKET. */
  privateFd: number | undefined
  /** And of the one that tells reports: HOLDFAST_REPORT_SOCKET. */
  reportFd: number | undefined
  /** Sentences for the log about what was passed but cannot be used. */
  problems: string[]
}

/**
 * Reads LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES (sd_listen_fds(3)) and HOLDFAST_LISTEN. A descriptor that is no listening
 * stream socket is left out and named in `problems`. LISTEN_PID of another process: nothing is inherited.
 */
export function readInheritance(
  env: NodeJS.ProcessEnv,
  pid: number,
  describe: (fd: number, family?: 'tcp' | 'unix') => SocketDescription = describeSocket,
): Inheritance {
  const problems: string[] = []
  const configured = readConfigured(env.HOLDFAST_LISTEN, problems)
  const listeners: InheritedListener[] = []
  const fds: Partial<Record<PrivateUse, number>> = {}
  const count = env.LISTEN_PID === String(pid) ? readCount(env.LISTEN_FDS, problems) : 0
  const names = env.LISTEN_FDNAMES ? env.LISTEN_FDNAMES.split(':') : []
  for (let index = 0; index < count; index++) {
    const fd = firstFd + index
    const name = names[index] || 'unknown'
    const description = describe(fd, name === privateName ? 'unix' : 'tcp')
    const use = name === privateName ? privateUse(description, env, fds) : undefined
    if (use) {
      fds[use] ??= fd
      continue
    }
    // Nobody said what it is for.
    if (name === privateName && env.HOLDFAST_LISTEN && !configured.some((each) => each.name === name)) continue
    if (description.kind === 'unusable') {
      problems.push(`systemd passed fd ${fd} (${name}) as a listener, but it is ${description.what}: it is not used`)
      continue
    }
    const entry = configured.find((each) => each.name === name)
    const found = description.kind === 'listening' ? description.address : undefined
    listeners.push({ name, fd, address: entry?.address ?? found, backlog: entry?.backlog ?? maxBacklog })
  }
  for (const { name, address } of configured) {
    if (listeners.some((listener) => listener.name === name)) continue
    problems.push(`listener ${name} (${address}) is in [listen], but systemd passed no usable socket of that name`)
  }
  return { listeners, privateFd: fds.server, reportFd: fds.report, problems }
}

type PrivateUse = 'server' | 'report'

/** What one of the private sockets is for; undefined for a listener of the app's that has this name by chance. */
function privateUse(
  description: SocketDescription,
  { HOLDFAST_PRIVATE_SOCKET: server, HOLDFAST_REPORT_SOCKET: report }: NodeJS.ProcessEnv,
  found: Partial<Record<PrivateUse, number>>,
): PrivateUse | undefined {
  if (!server || !report) return undefined
  // In a network namespace of its own (PrivateNetwork=): in the order of their unit.
  if (description.kind === 'unknown') return found.server === undefined ? 'server' : 'report'
  if (description.kind !== 'listening') return undefined
  if (description.address === server) return 'server'
  return description.address === report ? 'report' : undefined
}

/** Removes LISTEN_*, as sd_listen_fds(1) does: a process that is started from here inherits none of the sockets. */
export function forgetInheritance(env: NodeJS.ProcessEnv): void {
  for (const name of ['LISTEN_FDS', 'LISTEN_PID', 'LISTEN_FDNAMES', 'LISTEN_PIDFDID']) delete env[name]
}

function readCount(text: string | undefined, problems: string[]): number {
  if (text === undefined || text === '') return 0
  if (/^\d{1,4}$/.test(text)) return Number(text)
  problems.push(`LISTEN_FDS is "${text}", expected a number: no socket is taken over`)
  return 0
}

function readConfigured(text: string | undefined, problems: string[]): ListenerEnvironment[] {
  if (!text) return []
  try {
    const entries: unknown = JSON.parse(text)
    if (!Array.isArray(entries)) throw new TypeError('not a list')
    return entries.map((entry: Partial<ListenerEnvironment>) => ({
      name: String(entry.name),
      address: String(entry.address),
      backlog: Number.isSafeInteger(entry.backlog) && Number(entry.backlog) > 0 ? Number(entry.backlog) : maxBacklog,
    }))
  } catch (error) {
    problems.push(`HOLDFAST_LISTEN cannot be read (${error instanceof Error ? error.message : String(error)})`)
    return []
  }
}
