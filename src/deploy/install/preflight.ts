import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../../config/model.js'
import { readManifest } from '../../release/manifest.js'
import { pathsOf, type Places, type Scope } from '../../release/paths.js'
import type { Systemd } from '../../systemd/systemd.js'
import { checkAddresses } from './addresses.js'
import { checkNeeds } from './needs.js'
import { unfit } from '../refusal.js'
import { checkSandboxNames } from './sandbox-names.js'

export { checkUnedited } from './unedited.js'

/** Who asks, and of which machine. */
export interface Machine {
  /** Where the file system begins: `/`, but in tests. */
  root: string
  uid: number
  env: NodeJS.ProcessEnv
}

const thisMachine = (): Machine => ({ root: '/', uid: process.getuid?.() ?? 0, env: process.env })

/** The machine, as a command that changes something must find it. @throws HoldfastError `machine-unfit` */
export function checkManager(scope: Scope, machine = thisMachine()): void {
  checkRunning(scope, machine)
  if (scope === 'system' && machine.uid !== 0) {
    throw unfit('this needs root, for the units belong to PID 1', 'run it with sudo, or with --user for your own manager')
  }
}

/** The machine, as a command that only looks must find it. @throws HoldfastError `machine-unfit` */
export function checkRunning(scope: Scope, { root, uid, env } = thisMachine()): void {
  // sd_booted(3)
  if (!existsSync(join(root, 'run/systemd/system'))) {
    throw unfit('systemd does not run here: /run/systemd/system is missing', 'run it on a machine that systemd has booted; holdfast render shows the units anywhere')
  }
  if (scope === 'user' && !existsSync(join(root, env['XDG_RUNTIME_DIR'] || `run/user/${uid}`, 'systemd/private'))) {
    throw unfit(
      `no systemd of user ${uid} runs: there is no systemd/private in XDG_RUNTIME_DIR`,
      'loginctl enable-linger "$USER", then log in anew (su and sudo give no session)',
    )
  }
}

/** All that a configuration needs of this machine. @throws HoldfastError `machine-unfit` or `config-invalid` */
export async function checkMachine(config: Config, places: Places, systemd: Systemd, node: string): Promise<void> {
  checkNeeds(config, places, node)
  await checkSandboxNames(config)
  await checkAddresses(config, { places, systemd, manifest: readManifest(pathsOf(places, config.app)) })
}
