import { existsSync } from 'node:fs'
import { HoldfastError } from '../../errors.js'
import { holdfastCommand } from '../../release/command-words.js'
import type { AppPaths } from '../../release/paths.js'
import { privateSocket } from '../../release/standby.js'
import { readState, type Held } from '../../release/state.js'
import { processNumbers } from '../../units/names.js'

/** Where a connection to a preview goes. */
export type PreviewRoute =
  /** The private sockets of the processes of one generation: any of them will do. */
  | { kind: 'held'; generation: number; sockets: string[] }
  /** Nowhere, with what a person is told. */
  | { kind: 'none'; text: string }

/** The generation that is held now. Never throws: a record that cannot be read holds nothing. */
export function routeToHeld(paths: AppPaths): PreviewRoute {
  let held: Held | undefined
  try {
    held = readState(paths).held
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error
    return { kind: 'none', text: `The record of ${paths.app} cannot be read: nobody can tell which release is held.\n` }
  }
  return held === undefined ? { kind: 'none', text: `No release of ${paths.app} is held.\n${holdfastCommand(paths)} deploy ${paths.app} --hold holds one.\n` } : routeTo(paths, held)
}

/** One generation, held or not. */
export function routeTo(paths: AppPaths, { generation, processes }: Pick<Held, 'generation' | 'processes'>): PreviewRoute & { kind: 'held' } {
  return { kind: 'held', generation, sockets: processNumbers(processes).map((process) => privateSocket(paths, { generation, process })) }
}

/** What became of a generation that was held: `held` as long as it is; `closed`: it still is, but has no private socket. */
export type HeldFate = 'held' | 'live' | 'gone' | 'closed'

/** @throws HoldfastError `usage` where what is held has no private socket */
export function requirePrivateSocket(paths: AppPaths, { generation, processes, kind }: Pick<Held, 'generation' | 'processes' | 'kind'>): void {
  const route = routeTo(paths, { generation, processes })
  if (hasSocket(route)) return
  const what = `generation ${generation} of ${paths.app}, ${kind === 'canary' ? 'a canary' : 'which is held'}, has no private socket: it was stopped, or its release does not preload holdfast/register`
  throw new HoldfastError('usage', what, { hint: `${holdfastCommand(paths)} status ${paths.app}` })
}

const hasSocket = ({ sockets }: PreviewRoute & { kind: 'held' }): boolean => sockets.some((socket) => existsSync(socket))

/** Looks at the record, and at the sockets, which go with the instances. */
export function fateOf(paths: AppPaths, { generation, processes }: Pick<Held, 'generation' | 'processes'>): HeldFate {
  const { held, live } = readState(paths)
  if (live?.generation === generation) return 'live'
  if (held?.generation !== generation) return 'gone'
  return hasSocket(routeTo(paths, { generation, processes })) ? 'held' : 'closed'
}
