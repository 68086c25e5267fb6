import { resolve } from 'node:path'
import type { InheritedListener } from './inherited.js'
import type { ListenRequest } from './listen-arguments.js'

export type Match =
  /** `exact`: by name, port, path or fd; `only`: it is the only one there is. */
  | { kind: 'exact' | 'only'; listener: InheritedListener }
  /** The listener that was asked for serves another server of this process already. */
  | { kind: 'taken'; listener: InheritedListener }
  /** None has this address, and there are several or none left to guess from. */
  | { kind: 'none' }

/**
 * Finds the inherited listener that a `listen()` means. A port is matched whatever the host, unless several listeners have that
 * port. Without a match the only listener is taken, so that an app needs no change to its port; port 0 never takes one.
 */
export function matchListener(
  listeners: readonly InheritedListener[],
  isTaken: (listener: InheritedListener) => boolean,
  request: ListenRequest,
): Match {
  if (request.kind === 'ephemeral' || request.kind === 'other') return { kind: 'none' }
  const exact = findExact(listeners, request)
  if (exact) return { kind: isTaken(exact) ? 'taken' : 'exact', listener: exact }
  const [only] = listeners
  if (request.kind === 'fd' || listeners.length !== 1 || !only || isTaken(only)) return { kind: 'none' }
  return { kind: 'only', listener: only }
}

/** As `matchListener`, for a listener that is asked for by name. */
export function matchName(
  listeners: readonly InheritedListener[],
  isTaken: (listener: InheritedListener) => boolean,
  name: string,
): Match {
  const named = listeners.filter((listener) => listener.name === name)
  const [first] = named
  if (!first) return { kind: 'none' }
  const free = named.find((listener) => !isTaken(listener))
  return free ? { kind: 'exact', listener: free } : { kind: 'taken', listener: first }
}

function findExact(listeners: readonly InheritedListener[], request: ListenRequest): InheritedListener | undefined {
  if (request.fd !== undefined) return listeners.find((listener) => listener.fd === request.fd)
  // node:cluster makes a path relative to the working directory where that is shorter.
  if (request.path !== undefined) return listeners.find((listener) => listener.address === resolve(request.path ?? ''))
  if (request.port === undefined) return undefined
  const samePort = listeners.filter((listener) => splitAddress(listener.address).port === request.port)
  if (samePort.length < 2) return samePort[0]
  const hosts = hostForms(request.host)
  return samePort.find((listener) => hosts.includes(splitAddress(listener.address).host ?? ''))
}

/** The host and port of an address as written in `[listen]`; both undefined for a path. */
export function splitAddress(address: string | undefined): { host?: string; port?: number } {
  if (address === undefined || address.startsWith('/')) return {}
  const match = /^(?:\[(?<v6>[^\]]*)\]:|(?<host>[^:]*):)?(?<port>\d+)$/.exec(address)
  if (!match?.groups) return {}
  const host = match.groups.v6 ?? match.groups.host
  return { port: Number(match.groups.port), ...(host === undefined ? {} : { host }) }
}

/** The spellings of a host that mean the same to node: without one it listens on all addresses. */
function hostForms(host: string | undefined): string[] {
  if (host === undefined || host === '' || host === '::' || host === '0.0.0.0') return ['', '::', '0.0.0.0']
  return host === 'localhost' ? ['127.0.0.1', '::1'] : [host]
}
