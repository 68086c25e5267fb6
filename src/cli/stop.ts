import type { ObservedInstance } from '../deploy/observe/observe-app.js'
import { checkManager } from '../deploy/install/preflight.js'
import { stopApp } from '../deploy/stop-app.js'
import { notInstalled } from '../deploy/install/uninstall.js'
import { readManifest } from '../release/manifest.js'
import { pathsOf } from '../release/paths.js'
import { Systemctl } from '../systemd/systemctl.js'
import { appService, drainService } from '../units/names.js'
import { placesFor, type GlobalOptions } from './context.js'
import { print } from './output.js'
import { drainWords, spanWords } from './words.js'

/** @returns the exit status: 1 when the app was started again in the meantime, 130 after Ctrl-C */
export async function stopCommand(app: string, options: GlobalOptions & { dryRun?: boolean }): Promise<number> {
  const places = placesFor(options)
  checkManager(places.scope)
  if (readManifest(pathsOf(places, app)) === undefined) throw notInstalled(places, app)
  const holdfast = options.user === true ? 'holdfast --user' : 'holdfast'
  if (options.dryRun === true) {
    print(`Would run:\n    systemctl ${options.user === true ? '--user ' : ''}stop ${appService(app)} ${drainService(app)}`)
    return 0
  }

  const progress = showProgress(app)
  process.once('SIGINT', () => {
    progress.end()
    print(`${app} goes on stopping. To see how far it is: ${holdfast} status ${app}`)
    process.exit(130)
  })
  const outcome = await stopApp(places, app, new Systemctl(places.scope), progress.show)
  progress.end()
  if (outcome.kind === 'started-again') {
    print(`${app} was started again before it had stopped: ${holdfast} status ${app}`)
    return 1
  }
  for (const unit of outcome.killed) print(`${unit} was killed: it did not end in time.`)
  print(`${app} is stopped.`)
  return 0
}

/** In a terminal, one line that changes; elsewhere a line for each change of what is waited for. */
function showProgress(app: string): { show: (left: readonly ObservedInstance[]) => void; end: () => void } {
  const begin = Date.now()
  const { isTTY, columns } = process.stdout
  let last = ''
  return {
    show(left) {
      const text = waitText(app, left)
      if (isTTY) process.stdout.write(`\r${`${spanWords(Date.now() - begin)}  ${text}`.slice(0, (columns || 80) - 1)}\u001b[K`)
      else if (text !== last) print(text)
      last = text
    },
    end() {
      if (isTTY && last !== '') process.stdout.write('\r\u001b[K')
    },
  }
}

/** What a stop still waits for, in one line. */
export function waitText(app: string, left: readonly Pick<ObservedInstance, 'generation' | 'process' | 'state'>[]): string {
  if (left.length === 0) return `Stopping ${app}`
  const each = left.map(({ generation, process, state }) => `${generation}.${process}${state.status === '' ? '' : ` ${drainWords(state.status)}`}`)
  return `Stopping ${app}: ${left.length === 1 ? 'an instance drains' : `${left.length} instances drain`}: ${each.join('; ')}`
}
