import { formatAddress } from '../config/address.js'
import { HoldfastError } from '../errors.js'
import { appService, drainService, socketUnit } from '../units/names.js'
import type { InstalledApp } from './app.js'

/**
 * Makes sure that systemd holds every listener before an instance starts: one without its inherited
 * socket would try to bind the address itself.
 * @throws HoldfastError `handover-failed`
 */
export async function requireListeners({ config, paths, systemd }: InstalledApp): Promise<void> {
  for (const listener of config.listen) {
    const unit = socketUnit(paths.app, listener.name)
    const [before] = await systemd.show([unit])
    if (before?.active === 'active') continue
    const { message } = await systemd.run('start', [unit])
    const [after] = await systemd.show([unit])
    if (after?.active === 'active') continue
    const manager = paths.scope === 'user' ? ' --user' : ''
    throw new HoldfastError(
      'handover-failed',
      `${unit} is ${after?.active} (${after?.result}): systemd does not hold ${formatAddress(listener.address)}. What runs keeps serving there.${message === '' ? '' : ` ${message.split('\n')[0]}`}`,
      {
        hint: `systemctl${manager} stop ${appService(paths.app)} ${drainService(paths.app)}; systemctl${manager} start ${appService(paths.app)}   # closes the address for a drain and a start`,
      },
    )
  }
}
