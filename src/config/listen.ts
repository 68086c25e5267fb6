import { addressesClash, formatAddress, parseAddress } from './address.js'
import { isTable, matching, optional, required, tableOf, type Check, type Site } from './check.js'
import type { Address, Listener } from './model.js'
import { checkListenerName, groupName } from './names.js'
import { quote } from './quote.js'
import { knownKeys } from './unknown-key.js'

export const address: Check<Address> = (value, site) => {
  const parsed = parseAddress(value)
  return parsed.address ?? site.report(parsed.problem)
}

const fileMode: Check<number> = (value, site) => {
  const mode = matching(/^0?[0-7]{3}$/, 'a mode in quotes such as "0660"')(value, site)
  if (mode === undefined) return undefined
  const bits = Number.parseInt(mode, 8)
  return bits & 0o200 ? bits : site.report(`${quote(mode)} does not let its owner connect: write "0600" or more`)
}

/** The table form of a listener. */
export const listenerTable = tableOf({
  address: required(address, 'write address = "127.0.0.1:8080"'),
  mode: optional(fileMode),
  group: optional(groupName),
})

/** `[listen]`: one listener per key, as an address or as a table. */
export const listeners: Check<Listener[]> = (value, site) => {
  if (!isTable(value)) {
    return site.report(`expected a table, got ${quote(value)}: write [listen] on a line of its own, and below it http = "127.0.0.1:8080"`)
  }
  const before = site.problems.length
  const found: Listener[] = []
  for (const [name, written] of Object.entries(value)) {
    const listener = checkListener(name, written, site.at(name))
    if (listener === undefined) continue
    const other = found.find((earlier) => addressesClash(earlier.address, listener.address))
    if (other !== undefined) site.at(name).report(explainClash(listener, other))
    found.push(listener)
  }
  return site.problems.length === before ? found : undefined
}

function checkListener(name: string, written: unknown, site: Site): Listener | undefined {
  // In TOML, whatever stands below [listen] belongs to it: `processes = 2` there would be a listener on port 2.
  const isMisplaced = name === 'processes' || (!isTable(written) && parseAddress(written).problem !== undefined)
  if (isMisplaced && knownKeys['']?.includes(name)) {
    return site.report(`\`${name}\` belongs to the top of the file: move it above the first [table]`)
  }
  const problem = checkListenerName(name)
  if (problem !== undefined) return site.report(problem)
  if (!isTable(written)) {
    const listening = address(written, site)
    return listening && fillMode({ name, address: listening })
  }
  const values = listenerTable(written, site)
  if (values === undefined) return undefined
  if (values.address.kind === 'tcp') {
    const before = site.problems.length
    for (const key of ['mode', 'group'] as const) {
      if (values[key] !== undefined) site.at(key).report('only a unix socket has one, and this address has a port: remove it')
    }
    if (site.problems.length > before) return undefined
  }
  return fillMode({
    name,
    address: values.address,
    ...(values.mode === undefined ? {} : { mode: values.mode }),
    ...(values.group === undefined ? {} : { group: values.group }),
  })
}

/** A unix socket would be open to all unless told otherwise (SocketMode= is 0666): systemd.socket(5). */
function fillMode(listener: Listener): Listener {
  if (listener.address.kind === 'tcp' || listener.mode !== undefined) return listener
  return { ...listener, mode: listener.group === undefined ? 0o600 : 0o660 }
}

function explainClash(listener: Listener, other: Listener): string {
  const [mine, theirs] = [formatAddress(listener.address), formatAddress(other.address)]
  if (mine === theirs) return `${mine} is the address of the listener \`${other.name}\` already: give each an address of its own`
  return `${mine} and ${theirs} (the listener \`${other.name}\`) overlap, and cannot both be bound: choose another port, or IP addresses for both`
}
