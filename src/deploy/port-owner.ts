import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { isIPv6 } from 'node:net'
import type { Address } from '../config/model.js'

/** A listening socket of this machine, as /proc tells: proc(5), "/proc/net/tcp". */
export interface ListeningSocket {
  /** Undefined for all addresses of the family. */
  host: string | undefined
  port: number
  inode: string
}

/** A process that holds a listening socket. */
export interface SocketOwner {
  pid: number
  /** Its command line, shortened. */
  command: string
  /** The systemd unit it runs in, if its control group tells. */
  unit: string | undefined
}

/** Who listens on an address already; several when processes share the socket. Empty: nobody, or a unix path. */
export function findListeners(address: Address): { socket: ListeningSocket; owners: SocketOwner[] }[] {
  if (address.kind === 'unix') return []
  const sockets = [...readTable('tcp'), ...readTable('tcp6')].filter(
    (socket) =>
      socket.port === address.port &&
      (socket.host === undefined || address.host === undefined || address.host === '0.0.0.0' || address.host === '::' || socket.host === address.host),
  )
  if (sockets.length === 0) return []
  const owners = findOwners(new Set(sockets.map((socket) => socket.inode)))
  return sockets.map((socket) => ({ socket, owners: owners.get(socket.inode) ?? [] }))
}

function readTable(name: 'tcp' | 'tcp6'): ListeningSocket[] {
  let text: string
  try {
    text = readFileSync(`/proc/net/${name}`, 'utf8')
  } catch {
    return []
  }
  return text
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((columns) => columns[3] === '0A') // TCP_LISTEN
    .map((columns) => {
      const [host = '', port = ''] = (columns[1] ?? '').split(':')
      return { host: parseHost(host), port: Number.parseInt(port, 16), inode: columns[9] ?? '' }
    })
}

/** Addresses stand there as 32-bit words in the machine's byte order. */
function parseHost(hex: string): string | undefined {
  if (/^0+$/.test(hex)) return undefined
  const bytes = (hex.match(/.{8}/g) ?? []).flatMap((word) => (word.match(/../g) ?? []).reverse().map((byte) => Number.parseInt(byte, 16)))
  if (bytes.length === 4) return bytes.join('.')
  const groups = Array.from({ length: 8 }, (_, i) => (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16))
  const text = groups.join(':')
  // The URL parser writes an IPv6 address in its canonical form, RFC 5952.
  return isIPv6(text) ? new URL(`http://[${text}]`).hostname.slice(1, -1) : text
}

function findOwners(inodes: ReadonlySet<string>): Map<string, SocketOwner[]> {
  const owners = new Map<string, SocketOwner[]>()
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    for (const inode of socketsOf(pid)) {
      if (!inodes.has(inode)) continue
      const known = owners.get(inode) ?? []
      if (!known.some((owner) => owner.pid === Number(pid))) known.push({ pid: Number(pid), command: commandOf(pid), unit: unitOf(pid) })
      owners.set(inode, known)
    }
  }
  return owners
}

/** Empty where the process has ended meanwhile, or is another user's. */
function socketsOf(pid: string): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? []
      } catch {
        return []
      }
    })
  } catch {
    return []
  }
}

function commandOf(pid: string): string {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').filter(Boolean)
    return words.join(' ').slice(0, 80) || readFileSync(`/proc/${pid}/comm`, 'utf8').trim()
  } catch {
    return '?'
  }
}

function unitOf(pid: string): string | undefined {
  try {
    return /\/([^/]+\.(?:service|scope))(?:\/|\n|$)/.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))?.[1]
  } catch {
    return undefined
  }
}
