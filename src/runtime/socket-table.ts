import { closeSync, fstatSync, openSync, readSync } from 'node:fs'

/** What the kernel's tables say about an inherited descriptor. */
export type SocketDescription =
  /** A stream socket that listens; `address` is `host:port`, `[v6]:port`, or a path. */
  | { kind: 'listening'; family: 'tcp' | 'unix'; address: string }
  /** Something else; `what` completes the sentence "fd 3 is …". */
  | { kind: 'unusable'; what: string }
  /** A socket that the tables do not show, such as one of another network namespace. */
  | { kind: 'unknown' }

const tcpListenState = '0A'
const unixAcceptFlag = 0x10000

/**
 * Looks a descriptor up in /proc/self/net (proc(5)), the only place where Node gets to see SO_ACCEPTCONN and the family before
 * it takes the descriptor. Listening sockets come first in these tables, and reading ends at the one sought.
 * @param family which to look for first: on a busy machine the table of TCP is long
 */
export function describeSocket(fd: number, family: 'tcp' | 'unix' = 'tcp'): SocketDescription {
  let inode: string
  try {
    const stat = fstatSync(fd)
    if (!stat.isSocket()) return { kind: 'unusable', what: 'not a socket' }
    inode = String(stat.ino)
  } catch {
    return { kind: 'unusable', what: 'not open' }
  }
  const first = family === 'unix' ? findUnix(inode) : undefined
  return first ?? findTcp('tcp', inode) ?? findTcp('tcp6', inode) ?? findUnix(inode) ?? findDatagram(inode) ?? { kind: 'unknown' }
}

function findTcp(table: 'tcp' | 'tcp6', inode: string): SocketDescription | undefined {
  const row = findRow(table, (columns) => columns[9] === inode)
  if (!row) return undefined
  if (row[3] !== tcpListenState) return { kind: 'unusable', what: 'a TCP socket that does not listen' }
  return { kind: 'listening', family: 'tcp', address: decodeTcpAddress(row[1] ?? '') }
}

function findUnix(inode: string): SocketDescription | undefined {
  const row = findRow('unix', (columns) => columns[6] === inode)
  if (!row) return undefined
  if ((Number.parseInt(row[3] ?? '', 16) & unixAcceptFlag) === 0) {
    return { kind: 'unusable', what: 'a unix socket that does not listen' }
  }
  return { kind: 'listening', family: 'unix', address: row.slice(7).join(' ') }
}

function findDatagram(inode: string): SocketDescription | undefined {
  const isDatagram = ['udp', 'udp6'].some((table) => findRow(table, (columns) => columns[9] === inode))
  return isDatagram ? { kind: 'unusable', what: 'a UDP socket' } : undefined
}

/** `0100007F:1F90` is `127.0.0.1:8080`: the address in words of the machine's byte order, the port as it is. */
export function decodeTcpAddress(text: string): string {
  const [hex = '', portHex = ''] = text.split(':')
  const port = Number.parseInt(portHex, 16)
  const bytes = (hex.match(/.{8}/g) ?? []).flatMap((word) => (word.match(/../g) ?? []).toReversed())
  if (bytes.length === 4) return `${bytes.map((byte) => Number.parseInt(byte, 16)).join('.')}:${port}`
  const groups = (bytes.join('').match(/.{4}/g) ?? []).map((group) => Number.parseInt(group, 16).toString(16))
  // URL writes the short form of RFC 5952.
  return `${new URL(`http://[${groups.join(':')}]`).hostname}:${port}`
}

/** The columns of the first row that matches, read in pieces so that a table of a busy machine is not read to its end. */
function findRow(table: string, matches: (columns: string[]) => boolean): string[] | undefined {
  let file: number
  try {
    file = openSync(`/proc/self/net/${table}`, 'r')
  } catch {
    return undefined
  }
  try {
    const piece = Buffer.alloc(65_536)
    let rest = ''
    for (;;) {
      const length = readSync(file, piece, 0, piece.length, null)
      const lines = (rest + piece.toString('latin1', 0, length)).split('\n')
      rest = length > 0 ? (lines.pop() ?? '') : ''
      for (const line of lines) {
        const columns = line.trim().split(/\s+/)
        if (matches(columns)) return columns
      }
      if (length === 0) return undefined
    }
  } catch {
    return undefined
  } finally {
    closeSync(file)
  }
}
