import { checkManager } from '../deploy/install/preflight.js'
import { planUninstall, uninstall } from '../deploy/install/uninstall.js'
import { Systemctl } from '../systemd/systemctl.js'
import { deployService, hookService } from '../units/names.js'
import { placesFor, type GlobalOptions } from './context.js'
import { print } from './output.js'

export async function uninstallCommand(app: string, options: GlobalOptions & { dryRun?: boolean; purge?: boolean }): Promise<void> {
  const places = placesFor(options)
  checkManager(places.scope)
  const plan = planUninstall(places, app, { purge: options.purge === true })
  const { remove, data, dropIns } = plan
  if (options.dryRun === true) {
    const systemctl = options.user === true ? 'systemctl --user' : 'systemctl'
    print(`Would run:\n    ${systemctl} stop ${deployService(app)} ${hookService(app)}   # should somebody deploy\n    ${systemctl} stop ${app}.service ${app}-drain.service   # waits for every drain\n\nWould remove:`)
    for (const path of remove) print(`    ${path}`)
  } else {
    print(`Stopping ${app}; this waits until every generation has drained.`)
    await uninstall(plan, new Systemctl(places.scope))
    for (const path of remove) print(`removed  ${path}`)
  }
  if (data !== undefined) print(`kept  ${data}: the app's data, which only --purge removes.`)
  for (const path of dropIns) print(`kept  ${path}: not written by holdfast.`)
  if (options.dryRun !== true) print(`${app} is uninstalled from ${places.scope === 'user' ? 'your own manager' : 'this machine'}.`)
}
