import { handOver } from '../deploy/handover.js'
import { isFolderRequested } from '../deploy/request.js'
import { isServing, observeInstances } from '../deploy/observe.js'
import { explainSystemError, HoldfastError } from '../errors.js'
import { readState } from '../release/state.js'
import { openApp, type GlobalOptions } from './context.js'

/** sysexits.h, EX_TEMPFAIL: `Restart=on-failure` of the app's unit tries again. */
const nothingServes = 75

/** The internal command of `ExecStart=` and `ExecReload=`. @returns the exit status */
export async function handover(name: string, options: GlobalOptions & { reload?: boolean }): Promise<number> {
  const app = openApp(name, options)
  const from = options.reload === true || isFolderRequested(app.paths) ? 'folder' : 'record'
  try {
    const outcome = await handOver(app, from)
    if (outcome.kind !== 'failed') return 0
    return outcome.serving ? 1 : await statusOfFailure(app)
  } catch (thrown) {
    const error = explainSystemError(thrown)
    if (!(error instanceof HoldfastError)) throw error
    const status = await statusOfFailure(app)
    const hint = error.hint === undefined ? '' : `\nTry: ${error.hint}`
    app.story.tell('deploy-failed', `No handover: ${error.message}${hint}`)
    return status
  }
}

/** With nothing up although a release is recorded as good, systemd is to try again. */
async function statusOfFailure({ paths, systemd }: ReturnType<typeof openApp>): Promise<number> {
  if ((await observeInstances(systemd, paths.app)).some(isServing)) return 1
  return readState(paths).live === undefined ? 1 : nothingServes
}
