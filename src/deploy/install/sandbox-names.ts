import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Config } from '../../config/model.js'
import { runProgram } from '../../run-program.js'
import { invalid } from '../refusal.js'

/**
 * systemd ignores a capability, system call or address family that it does not know, and the app would miss what
 * was asked for: so it is asked itself. Says nothing where its tools cannot tell.
 * @throws HoldfastError `config-invalid`
 */
export async function checkSandboxNames({ sandbox }: Config): Promise<void> {
  const { capabilities, systemCalls, addressFamilies } = sandbox
  if (capabilities.length > 0) {
    const { status, stdout } = await runProgram('systemd-analyze', ['capability', '--no-pager'])
    const known = new Set(stdout.toUpperCase().match(/CAP_[A-Z_]+/g))
    const unknown = status === 0 ? capabilities.find((name) => !known.has(name)) : undefined
    if (unknown !== undefined) throw invalid(`sandbox.capabilities: systemd knows no ${unknown}`, 'systemd-analyze capability   # lists all')
  }
  if (systemCalls.length + addressFamilies.length === 0) return
  const ignored = await findIgnored([...systemCalls.map((name) => `SystemCallFilter=${name}`), `RestrictAddressFamilies=${addressFamilies.join(' ')}`])
  const call = systemCalls.find((name) => ignored.has(name))
  if (call !== undefined) throw invalid(`sandbox.system_calls: systemd knows no ${call}`, 'systemd-analyze syscall-filter   # lists all groups and what is in them')
  const family = addressFamilies.find((name) => ignored.has(name))
  if (family !== undefined) throw invalid(`sandbox.address_families: systemd knows no ${family}`, 'man 7 address_families   # names them')
}

/** The words of settings that systemd would not take. */
async function findIgnored(settings: readonly string[]): Promise<ReadonlySet<string>> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-verify-'))
  try {
    const file = join(folder, 'asked.service')
    writeFileSync(file, `[Service]\nExecStart=/bin/true\n${settings.join('\n')}\n`)
    const { stderr } = await runProgram('systemd-analyze', ['verify', '--man=no', file])
    return new Set(stderr.split('\n').filter((line) => line.startsWith(`${file}:`)).flatMap((line) => /ignoring: (\S+)$/.exec(line)?.[1] ?? []))
  } finally {
    rmSync(folder, { recursive: true })
  }
}
