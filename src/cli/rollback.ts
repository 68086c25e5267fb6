import { ownIdentity } from '../deploy/operation/deploy-owner.js'
import { newDeployId } from '../deploy/operation/deploy-request.js'
import { checkManager } from '../deploy/install/preflight.js'
import { admitRollback, planRollback, type RollbackPlan } from '../deploy/operation/rollback.js'
import { HoldfastError } from '../errors.js'
import { installedApps } from '../release/manifest.js'
import { readState } from '../release/state.js'
import { chooseApp } from './choose-app.js'
import { openApp, placesFor } from './context.js'
import { commandText, operateInUnit, whoAsksHere, type ClientOptions } from './operation-client.js'
import { print } from './output.js'

export interface RollbackOptions extends ClientOptions {
  force?: boolean
  admission?: boolean
  dryRun?: boolean
}

/** @returns the exit status: 130 after Ctrl-C */
export async function rollbackCommand(words: readonly string[], options: RollbackOptions): Promise<number> {
  const places = placesFor(options)
  checkManager(places.scope)
  const { name, word } = readRollbackWords(words, installedApps(places))
  const app = openApp(chooseApp(name, places), options)
  const force = options.force === true
  const state = readState(app.paths)
  const plan = planRollback(app, state, word, { force })
  const { id, version } = plan.target
  const skipAdmission = options.admission === false
  const again = commandText(['rollback', app.paths.app, ...(word === undefined ? [] : [id]), ...(force ? ['--force'] : []), ...(skipAdmission ? ['--no-admission'] : [])], options)
  // Beside another operation, which `--wait` lets end first, the figures are of no use.
  if (options.dryRun === true || options.wait !== true) await admitRollback(app, state, plan, { again, skipAdmission })
  if (options.dryRun === true) {
    print(options.json === true ? JSON.stringify(planJson(app.paths.app, plan), null, 2) : planText(app.paths.app, plan))
    return 0
  }
  // Without a name it is found once the lock is held: somebody may have deployed by then.
  return operateInUnit(
    app,
    {
      kind: 'rollback', id: newDeployId(), app: app.paths.app, by: whoAsksHere(), what: word === undefined ? 'the last good release' : `release ${id}${version === undefined ? '' : ` (${version})`}`,
      ...(word === undefined ? {} : { release: id }), force, env: {}, owner: ownIdentity(),
      again, ...(skipAdmission ? { skipAdmission } : {}),
    },
    {},
    options,
  )
}

/** Tells the app from the release: one word alone is an app where one is called so. Pure. */
export function readRollbackWords(words: readonly string[], apps: readonly string[]): { name: string | undefined; word: string | undefined } {
  const [first, second] = words
  if (first === undefined || second !== undefined) return { name: first, word: second }
  // No id or version is an app's name but by chance, and then the app is meant.
  if (apps.includes(first)) return { name: first, word: undefined }
  if (/^[a-z][a-z0-9-]*$/.test(first)) throw new HoldfastError('usage', `${first} is no installed app`, { hint: 'holdfast rollback APP RELEASE' })
  return { name: undefined, word: first }
}

function planText(app: string, { from, target, passed, cancels }: RollbackPlan): string {
  const version = target.version === undefined ? '' : `, version ${target.version},`
  return [
    `Would bring up release ${target.id}${version} of ${app} in the place of ${from.release} (generation ${from.generation}). No hook would run.`,
    ...passed.map(({ id, afterDrain }) => `hooks.after_drain of ${id} was begun at ${afterDrain?.at}: what ${target.id} needs may be gone (--force).`),
    ...(cancels === undefined ? [] : [`hooks.after_drain of ${cancels}, which still waits, would be cancelled.`]),
  ].join('\n')
}

const planJson = (app: string, { from, target, passed, cancels }: RollbackPlan): object => ({
  app, from: { release: from.release, generation: from.generation }, to: { release: target.id, version: target.version ?? null },
  steps: ['record', 'handover', 'prune'], passedAfterDrain: passed.map(({ id }) => id), cancelsAfterDrain: cancels ?? null,
})
