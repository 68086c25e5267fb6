import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { createServer, isIPv6 } from 'node:net'
import { addressesClash } from '../../config/address.js'
import type { Address } from '../../config/model.js'

/** A listening socket of this machine, as /proc tells: proc(5), "/proc/net/tcp", "/proc/net/unix". */
export interface ListeningSocket {
  /** With `0.0.0.0` or `::` where it takes all addresses of its family. */
  address: Address
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

/** A socket that stands in the way, and who holds it: several where processes share it, none where /proc hides them. */
export interface HeldAddress {
  address: Address
  owners: SocketOwner[]
}

/** Where the tables of processes and sockets lie: /proc, but in tests. */
const machine = '/proc'

/** The sockets that listen on an address, or on one that covers it. */
export function findSockets(address: Address, proc = machine): ListeningSocket[] {
  const tables = address.kind === 'unix' ? readUnix(proc) : [...readTable(proc, 'tcp'), ...readTable(proc, 'tcp6')]
  return tables.filter((socket) => addressesClash(socket.address, address))
}

/** Who listens on an address, or on one that covers it. Empty where nobody does. */
export function findHolders(address: Address, proc = machine): HeldAddress[] {
  const sockets = findSockets(address, proc)
  if (sockets.length === 0) return []
  const owners = findOwners(new Set(sockets.map((socket) => socket.inode)), proc)
  return sockets.map((socket) => ({ address: socket.address, owners: owners.get(socket.inode) ?? [] }))
}

/**
 * Whether a TCP address is in use, by the only sure test: /proc does not tell a socket of IPv6 alone from one that
 * takes IPv4 besides. Nobody listens there but for the instant of the test.
 */
export function isInUse({ host, port }: Address & { kind: 'tcp' }): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy())
    server.on('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'EADDRINUSE'))
    server.listen({ port, exclusive: true, ...(host === undefined ? {} : { host }) }, () => server.close(() => resolve(false)))
  })
}

function readTable(proc: string, name: 'tcp' | 'tcp6'): ListeningSocket[] {
  return readLines(`${proc}/net/${name}`)
    .map((line) => line.trim().split(/\s+/))
    .filter((columns) => columns[3] === '0A') // TCP_LISTEN
    .map((columns) => {
      const [host = '', port = ''] = (columns[1] ?? '').split(':')
      return { address: { kind: 'tcp' as const, host: parseHost(host), port: Number.parseInt(port, 16) }, inode: columns[9] ?? '' }
    })
}

/** `Num RefCount Protocol Flags Type St Inode Path`; a path may hold blanks. */
function readUnix(proc: string): ListeningSocket[] {
  return readLines(`${proc}/net/unix`).flatMap((line) => {
    const [, flags = '', inode = '', path = ''] = /^\S+ \S+ \S+ (\S+) \S+ \S+ +(\d+) (\/.*)$/.exec(line) ?? []
    const isListening = (Number.parseInt(flags, 16) & 0x10000) !== 0 // __SO_ACCEPTCON
    return isListening ? [{ address: { kind: 'unix' as const, path }, inode }] : []
  })
}

/** The lines of a table, without its heading; none where this kernel has no such table. */
function readLines(file: string): string[] {
  try {
    return readFileSync(file, 'utf8').split('\n').slice(1)
  } catch {
    return []
  }
}

/** Addresses stand there as 32-bit words in the machine's byte order. */
function parseHost(hex: string): string {
  const bytes = (hex.match(/.{8}/g) ?? []).flatMap((word) => (word.match(/../g) ?? []).reverse().map((byte) => Number.parseInt(byte, 16)))
  if (bytes.length === 4) return bytes.join('.')
  const groups = Array.from({ length: 8 }, (_, i) => (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16))
  const text = groups.join(':')
  // The URL parser writes an IPv6 address in its canonical form, RFC 5952.
  return isIPv6(text) ? new URL(`http://[${text}]`).hostname.slice(1, -1) : text
}

function findOwners(inodes: ReadonlySet<string>, proc: string): Map<string, SocketOwner[]> {
  const owners = new Map<string, SocketOwner[]>()
  for (const pid of readdirSync(proc).filter((name) => /^\d+$/.test(name))) {
    for (const inode of socketsOf(Number(pid), proc) ?? []) {
      if (!inodes.has(inode)) continue
      const known = owners.get(inode) ?? []
      if (!known.some((owner) => owner.pid === Number(pid))) known.push({ pid: Number(pid), command: commandOf(`${proc}/${pid}`), unit: unitOf(`${proc}/${pid}`) })
      owners.set(inode, known)
    }
  }
  return owners
}

/** The inodes of the sockets that a process has open; undefined where it has ended meanwhile, or is another user's. */
export function socketsOf(pid: number, proc = machine): string[] | undefined {
  const folder = `${proc}/${pid}/fd`
  try {
    return readdirSync(folder).flatMap((fd) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(`${folder}/${fd}`))?.[1] ?? []
      } catch {
        return [] // closed meanwhile
      }
    })
  } catch {
    return undefined
  }
}

function commandOf(folder: string): string {
  try {
    const words = readFileSync(`${folder}/cmdline`, 'utf8').split('\0').filter(Boolean)
    return words.join(' ').slice(0, 80) || readFileSync(`${folder}/comm`, 'utf8').trim()
  } catch {
    return '?'
  }
}

function unitOf(folder: string): string | undefined {
  try {
    return /\/([^/]+\.(?:service|scope))(?:\/|\n|$)/.exec(readFileSync(`${folder}/cgroup`, 'utf8'))?.[1]
  } catch {
    return undefined
  }
}
