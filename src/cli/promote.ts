import { ownIdentity } from '../deploy/operation/deploy-owner.js'
import { newDeployId } from '../deploy/operation/deploy-request.js'
import { checkManager } from '../deploy/install/preflight.js'
import { requireSomethingHeld } from '../deploy/operation/promote.js'
import { readState } from '../release/state.js'
import { chooseApp } from './choose-app.js'
import { openApp, placesFor } from './context.js'
import { commandText, operateInUnit, whoAsksHere, type ClientOptions } from './operation-client.js'
import { print } from './output.js'

/** Has what is held go live. @returns the exit status: 130 after Ctrl-C */
export async function promoteCommand(given: string | undefined, options: ClientOptions & { dryRun?: boolean }): Promise<number> {
  const { app, held } = openHeld(given, options)
  const { app: name } = app.paths
  const { live } = readState(app.paths)
  if (options.dryRun === true) {
    const plan = { app: name, generation: held.generation, release: held.release, live: live?.release ?? null }
    print(options.json === true ? JSON.stringify(plan, null, 2) : `Would promote generation ${held.generation}, release ${held.release}${live === undefined ? '' : `, in the place of generation ${live.generation}, release ${live.release}`}.`)
    return 0
  }
  const words = commandText(['promote', name], options)
  return operateInUnit(app, { kind: 'promote', ...requestOf(name, held.generation, words) }, {}, options)
}

/** Discards what is held. @returns the exit status: 130 after Ctrl-C */
export async function abortCommand(given: string | undefined, options: ClientOptions & { dryRun?: boolean; expired?: string }): Promise<number> {
  if (options.expired !== undefined && given !== undefined) {
    // Promoted or discarded meanwhile: nobody has to hear of it.
    const { held } = readState(openApp(given, options).paths)
    if (held?.generation !== Number(options.expired)) return 0
  }
  const { app, held } = openHeld(given, options)
  const { app: name } = app.paths
  if (options.dryRun === true) {
    print(options.json === true ? JSON.stringify({ app: name, generation: held.generation, release: held.release }, null, 2) : `Would discard generation ${held.generation}, release ${held.release}. What is live is not touched.`)
    return 0
  }
  const request = requestOf(name, held.generation, commandText(['abort', name], options))
  const why = options.expired === undefined ? { reason: `${request.by} aborted it` } : { reason: 'its time was over', by: 'its expiry', isExpiry: true }
  return operateInUnit(app, { kind: 'abort', ...request, ...why }, {}, options)
}

function openHeld(given: string | undefined, options: ClientOptions): { app: ReturnType<typeof openApp>; held: ReturnType<typeof requireSomethingHeld> } {
  const places = placesFor(options)
  checkManager(places.scope)
  const app = openApp(chooseApp(given, places), options)
  return { app, held: requireSomethingHeld(app.paths, readState(app.paths)) }
}

const requestOf = (app: string, generation: number, again: string) => ({
  id: newDeployId(), app, by: whoAsksHere(), what: `generation ${generation}`, generation, env: {}, owner: ownIdentity(), again,
})
