import { operate } from '../deploy/operation/operation.js'
import { DeployLog } from '../deploy/operation/deploy-log.js'
import { readRequest } from '../deploy/operation/deploy-request.js'
import type { OperationKind } from '../deploy/operation/progress.js'
import { requireInstalled } from '../deploy/install/uninstall-mark.js'
import { explainSystemError, HoldfastError } from '../errors.js'
import { openApp, placesFor, type GlobalOptions } from './context.js'
import { pathsOf } from '../release/paths.js'
import { print } from './output.js'
import { failureText, ProgressText } from './progress-text.js'

/** What the deploy's unit runs: one deploy, rollback or apply, whose client has left its request. @returns the exit status */
export async function deployRun(name: string, id: string, options: GlobalOptions): Promise<number> {
  const interrupt = new AbortController()
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(signal, () => interrupt.abort(new HoldfastError('deploy-failed', signal)))
  }
  let kind: OperationKind = 'deploy'
  const text = new ProgressText({ terminal: false, colour: false })
  const paths = pathsOf(placesFor(options), name)
  const log = new DeployLog(paths, id, interrupt.signal, (event) => {
    // Hooks and the handover write to the journal themselves.
    if (event.type !== 'output') for (const line of text.lines(event, Date.now())) print(line)
    if (event.type === 'deploy') kind = event.kind
    if (event.type === 'end' && event.failure !== undefined) print(failureText(name, kind, event.failure))
  })
  try {
    const app = openApp(name, options)
    requireInstalled(paths)
    const request = readRequest(paths, id)
    Object.assign(process.env, request.env)
    return await operate(app, request, log, interrupt.signal)
  } catch (thrown) {
    // Before it has begun, or a fault of its own: the client must hear of it all the same.
    const error = explainSystemError(thrown)
    const message = error instanceof HoldfastError ? error.message : `a fault of holdfast itself: ${error instanceof Error ? error.stack : String(error)}`
    const hint = error instanceof HoldfastError ? error.hint : undefined
    log.tell({ type: 'end', outcome: 'failed', status: 1, at: new Date().toISOString(), durationMs: log.durationMs, failure: { step: log.step, message, log: [], ...(hint === undefined ? {} : { hint }) } })
    return 1
  }
}
