import { formatAddress } from '../config/address.js'
import { HoldfastError } from '../errors.js'
import { appService, drainService, socketUnit } from '../units/names.js'
import type { Systemd, UnitState } from '../systemd/systemd.js'
import type { InstalledApp } from './app.js'

/**
 * Makes sure that systemd holds every listener before an instance starts: one without its inherited
 * socket would try to bind the address itself.
 * @throws HoldfastError `handover-failed`
 */
export async function requireListeners({ config, paths, systemd }: InstalledApp): Promise<void> {
  for (const listener of config.listen) {
    const unit = socketUnit(paths.app, listener.name)
    const refusal = await startSocket(systemd, unit)
    if (refusal === undefined) continue
    const { state, message } = refusal
    const manager = paths.scope === 'user' ? ' --user' : ''
    throw new HoldfastError(
      'handover-failed',
      `${unit} is ${state?.active} (${state?.result}): systemd does not hold ${formatAddress(listener.address)}. What runs keeps serving there.${message === '' ? '' : ` ${message}`}`,
      {
        hint: `systemctl${manager} stop ${appService(paths.app)} ${drainService(paths.app)}; systemctl${manager} start ${appService(paths.app)}   # closes the address for a drain and a start`,
      },
    )
  }
}

/** Starts a socket unit that is not active yet. @returns what it is instead, and the first line of what systemctl said, where it did not come up */
export async function startSocket(systemd: Systemd, unit: string): Promise<{ state: UnitState | undefined; message: string } | undefined> {
  const [before] = await systemd.show([unit])
  if (before?.active === 'active') return undefined
  const { message } = await systemd.run('start', [unit])
  const [state] = await systemd.show([unit])
  return state?.active === 'active' ? undefined : { state, message: message.split('\n')[0] ?? '' }
}
