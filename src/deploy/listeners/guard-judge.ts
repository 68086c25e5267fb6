import { formatAddress } from '../../config/address.js'
import { holdfastCommand, systemctlCommand } from '../../release/command-words.js'
import type { AppPaths } from '../../release/paths.js'
import { drainService } from '../../units/names.js'
import type { ListenerFacts } from './listener-facts.js'

/** What is wrong with a listener. */
export type ListenerFaultKind =
  /** Its socket unit is not active. */
  | 'closed'
  /** The unit counts as active, but systemd has not the socket. */
  | 'lost'
  /** systemd has read another address than the installed one. */
  | 'readdressed'
  /** It will, at its next daemon-reload, and then drops the socket. */
  | 'edited'
  /** Nobody can reach the socket by its path. */
  | 'unlinked'
  /** Instances accept on another socket than the one that systemd has. */
  | 'split'
  /** No instance has the socket open. */
  | 'unaccepted'

export interface ListenerFault {
  listener: string
  kind: ListenerFaultKind
  /** One sentence. */
  what: string
  /** A command that mends it. */
  mend: string
}

/** The faults of one listener; what could not be looked at is none. Pure. @param isUp whether any instance runs, or is about to */
export function judgeListener(facts: ListenerFacts, { paths, isUp }: { paths: AppPaths; isUp: boolean }): ListenerFault[] {
  const { listener, state, address, sockets, held, instances, foreignFile } = facts
  const { unit } = state
  const where = formatAddress(address)
  const mends = mendsOf(facts, { paths, isUp })
  const fault = (kind: ListenerFaultKind, what: string, mend: string): ListenerFault => ({ listener, kind, what, mend })

  if (state.active !== 'active') {
    // Stopped by hand it is inactive; what could not bind the address again has failed.
    const why = state.result === 'success' ? state.active : `${state.active} (${state.result})`
    return [fault('closed', `${unit} is ${why}: ${lossOf(facts, isUp)}`, mends.reopen)]
  }
  const faults: ListenerFault[] = []
  if (!facts.isBelieved) {
    const file = foreignFile === undefined ? '' : `: ${foreignFile} says so`
    faults.push(fault('readdressed', `systemd takes ${facts.believed.join(', ') || 'nothing'} for the address of ${unit}, and ${where} was installed${file}`, mends.rewrite))
  } else if (foreignFile !== undefined) {
    faults.push(fault('edited', `${foreignFile} names another address than ${where}, which was installed: at its next daemon-reload, systemd drops the socket that it holds`, mends.rewrite))
  }
  if (held?.length === 0) {
    // One sentence does where the first fault has led to the second.
    if (facts.isBelieved) faults.push(fault('lost', `${unit} counts as active, but systemd has lost its socket (a unit that was edited and reloaded, mostly): ${lossOf(facts, isUp)}`, mends.reopen))
    return faults
  }
  if (!facts.hasPath) faults.push(fault('unlinked', `somebody has removed ${where}: ${unit} listens, but nobody can connect`, mends.reopen))
  if (held === undefined) return faults

  const known = instances.flatMap(({ unit, open }) => (open === undefined ? [] : [{ unit, open }]))
  const accepts = ({ open }: { open: string[] }): boolean => open.some((inode) => held.includes(inode))
  const elsewhere = known.filter((instance) => !accepts(instance) && instance.open.some((inode) => sockets.includes(inode)))
  if (elsewhere.length > 0) {
    const units = elsewhere.map(({ unit }) => unit)
    faults.push(fault('split', `${units.join(', ')} ${units.length === 1 ? 'accepts' : 'accept'} on another socket for ${where} than the one that systemd holds (its unit was stopped or restarted, mostly): new connections wait`, mends.handOver))
  } else if (known.length > 0 && known.length === instances.length && !known.some(accepts)) {
    faults.push(fault('unaccepted', `no instance that serves has the socket of ${where} open: connections wait there`, mends.handOver))
  }
  return faults
}

/** What it means for clients. */
function lossOf({ address, sockets, hasPath, instances }: ListenerFacts, isUp: boolean): string {
  const where = formatAddress(address)
  if (!isUp) return `nobody listens on ${where}`
  if (address.kind === 'unix') return hasPath ? `no new client reaches what runs by ${where}` : `${where} is gone, and no new client reaches what runs`
  // Where nothing can be looked at, what runs is taken to have it.
  return sockets.length === 0 && instances.some(({ open }) => open !== undefined)
    ? `nobody listens on ${where}`
    : `only what runs now still answers on ${where}, and no later generation can`
}

/**
 * A path can be bound beside the old socket, and so can a port that nobody has: a handover then brings the instances to the new
 * one. A port that instances hold is free only when all of them have let go of it, which they do as they begin to drain.
 */
function mendsOf(facts: ListenerFacts, { paths, isUp }: { paths: AppPaths; isUp: boolean }): { reopen: string; rewrite: string; handOver: string } {
  const { app } = paths
  const systemctl = systemctlCommand(paths)
  const handOver = `${systemctl} restart ${app}`
  const stop = `${systemctl} stop ${app}`
  const closes = `   # refuses new connections to ${formatAddress(facts.address)} for about a second`
  const isLost = facts.state.active !== 'active' || facts.held?.length === 0
  const mustClose = isUp && facts.address.kind === 'tcp' && isLost
  const reopen = mustClose ? `${stop}; ${systemctl} start ${app}${closes}`
    : isUp || facts.state.active === 'active' ? handOver
    : `${systemctl} start ${facts.state.unit}`
  // An install wants the port free, and so the drain is waited for.
  const install = mustClose
    ? `rm ${facts.foreignFile}; ${systemctl} stop ${app} ${drainService(app)}; ${holdfastCommand(paths)} install ${paths.config}   # closes ${formatAddress(facts.address)} for a drain and a start`
    : `rm ${facts.foreignFile}; ${holdfastCommand(paths)} install ${paths.config}`
  return { reopen, handOver, rewrite: facts.foreignFile === undefined ? `${systemctl} daemon-reload; ${reopen}` : install }
}
