import { isIPv4, isIPv6 } from 'node:net'
import { normalize } from 'node:path'
import { quote } from './quote.js'
import type { Address } from './model.js'

/** sun_path holds 108 bytes, the last one a NUL: unix(7). */
const longestSocketPath = 107

/** An address, or the sentence that says what is wrong with it and how to mend it. */
export type ParsedAddress = { address: Address; problem?: never } | { address?: never; problem: string }

const expected = 'expected "127.0.0.1:8080", "[::1]:8080", a port such as 8080 (all addresses), or an absolute path'

/** Reads one listening address. Host names are refused: a socket unit takes IP addresses alone, systemd.socket(5). */
export function parseAddress(value: unknown): ParsedAddress {
  if (typeof value === 'number') return parsePort(undefined, String(value), value)
  if (typeof value !== 'string') return { problem: `${expected}, got ${quote(value)}` }
  if (/^\d+$/.test(value)) return parsePort(undefined, value, value)
  if (value.startsWith('/')) return parseSocketPath(value)
  const bracketed = /^\[([^\]]*)\]:(\d+)$/.exec(value)
  if (bracketed) {
    const [, host = '', port = ''] = bracketed
    if (host.includes('%')) return { problem: `${quote(value)} has a zone (%…), which is not supported: use an address without one` }
    if (!isIPv6(host)) return { problem: `${quote(host)} is not an IPv6 address: ${expected}` }
    return parsePort(canonicalIPv6(host), port, value)
  }
  const plain = /^([^:]+):(\d{1,5})$/.exec(value)
  if (plain) {
    const [, host = '', port = ''] = plain
    if (isIPv4(host)) return parsePort(host, port, value)
    return { problem: explainHost(host, port, value) }
  }
  return { problem: explainOther(value) }
}

/** Writes an address as it stands in `[listen]`, and as ListenStream= takes it. */
export function formatAddress(address: Address): string {
  if (address.kind === 'unix') return address.path
  if (address.host === undefined) return String(address.port)
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`
}

/** Whether two listeners cannot both have their address: the same one, or one of them covers the other. */
export function addressesClash(one: Address, other: Address): boolean {
  if (one.kind === 'unix' || other.kind === 'unix') return one.kind === other.kind && formatAddress(one) === formatAddress(other)
  if (one.port !== other.port) return false
  if (one.host === other.host) return true
  // The bare port and [::] are one dual-stack socket (BindIPv6Only=default, net.ipv6.bindv6only=0).
  const coversAll = (address: typeof one): boolean => address.host === undefined || address.host === '::'
  if (coversAll(one) || coversAll(other)) return true
  const coversIPv4 = (covering: typeof one, covered: typeof one): boolean => covering.host === '0.0.0.0' && isIPv4(covered.host ?? '')
  return coversIPv4(one, other) || coversIPv4(other, one)
}

function parsePort(host: string | undefined, text: string, written: string | number): ParsedAddress {
  const port = Number(text)
  if (port === 0) return { problem: `port 0 means a port of the kernel's choice, which nobody could find: choose one from 1 to 65535` }
  if (!/^[1-9]\d{0,4}$/.test(text) || port > 65535) return { problem: `${quote(written)}: a port is a whole number from 1 to 65535` }
  return { address: host === undefined ? { kind: 'tcp', port } : { kind: 'tcp', host, port } }
}

function parseSocketPath(path: string): ParsedAddress {
  if (/\p{Cc}/u.test(path)) return { problem: `${quote(path)} has control characters in it: use a plain path` }
  if (normalize(path) !== path || path.endsWith('/') || /(^|\/)\.\.?(\/|$)/.test(path)) {
    return { problem: `${quote(path)} is not the plain path of a socket: write it without //, ., .. and a / at its end` }
  }
  if (Buffer.byteLength(path) > longestSocketPath) {
    return { problem: `${quote(path)} is ${Buffer.byteLength(path)} bytes long; a unix socket's path has at most ${longestSocketPath}: use a shorter one below /run` }
  }
  return { address: { kind: 'unix', path } }
}

function explainHost(host: string, port: string, value: string): string {
  if (host === 'localhost') return `"localhost" is a name; systemd needs an IP address: write "127.0.0.1:${port}"`
  if (host === '*') return `write ${port} alone for all addresses, or "0.0.0.0:${port}" for IPv4 alone`
  if (host === 'unix') return explainOther(value)
  if (/^[\d.]+$/.test(host)) return `${quote(host)} is not an IPv4 address: ${expected}`
  return `${quote(host)} is a host name; systemd needs an IP address of this machine: write "127.0.0.1:${port}", or ${port} alone for all addresses`
}

function explainOther(value: string): string {
  const url = /^[a-z]+:\/\/([^/]+)/i.exec(value)
  if (url) return `${quote(value)} is a URL: write the address alone, such as "127.0.0.1:8080"`
  const scheme = /^unix:\/*(\/.*)$/.exec(value)
  if (scheme) return `write the path alone: ${quote(scheme[1])}`
  if (value.startsWith('@')) return `${quote(value)} is an abstract socket, which has no owner and no mode: use a path below /run`
  const portAlone = /^:(\d{1,5})$/.exec(value)
  if (portAlone) return `write ${portAlone[1]} alone for all addresses`
  if (isIPv4(value)) return `${quote(value)} has no port: write "${value}:8080"`
  const bare = value.replace(/^\[|\]$/g, '')
  const ambiguous = /^(.*):(\d{1,5})$/.exec(value)
  if (ambiguous && !value.startsWith('[') && isIPv6(ambiguous[1] ?? '')) return `an IPv6 address needs brackets: write "[${ambiguous[1]}]:${ambiguous[2]}"`
  if (isIPv6(bare)) return `${quote(value)} has no port: write "[${bare}]:8080"`
  if (value.includes('/')) return `${quote(value)} is a relative path: a unix socket needs an absolute one, such as "/run/shop/http.sock"`
  return `${expected}, got ${quote(value)}`
}

function canonicalIPv6(host: string): string {
  return new URL(`http://[${host}]/`).hostname.slice(1, -1)
}
