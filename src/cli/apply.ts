import { showAddress } from '../config/web-address.js'
import { isAsRecorded } from '../deploy/operation/apply.js'
import type { InstalledApp } from '../deploy/app.js'
import { recordedRelease } from '../deploy/choose-release.js'
import { ownIdentity } from '../deploy/operation/deploy-owner.js'
import { newDeployId } from '../deploy/operation/deploy-request.js'
import { checkManager } from '../deploy/install/preflight.js'
import { findOnDisk } from '../deploy/wanted.js'
import type { Release } from '../release/release.js'
import { readState } from '../release/state.js'
import { listReleases } from '../release/store.js'
import { versionUrl } from '../release/version.js'
import { chooseApp } from './choose-app.js'
import { openApp, placesFor } from './context.js'
import { commandText, operateInUnit, whoAsksHere, type ClientOptions } from './operation-client.js'
import { print } from './output.js'

/** @returns the exit status: 130 after Ctrl-C */
export async function applyCommand(given: string | undefined, options: ClientOptions & { dryRun?: boolean }): Promise<number> {
  const places = placesFor(options)
  checkManager(places.scope)
  const app = openApp(chooseApp(given, places), options)
  if (options.dryRun === true) {
    const plan = await planApply(app)
    print(options.json === true ? JSON.stringify({ app: app.paths.app, ...plan }, null, 2) : planText(app.paths.app, plan))
    return 0
  }
  return operateInUnit(
    app,
    {
      kind: 'apply', id: newDeployId(), app: app.paths.app, by: whoAsksHere(), what: 'what is recorded', env: {}, owner: ownIdentity(),
      again: commandText(['apply', app.paths.app], options),
    },
    {},
    options,
  )
}

type ApplyPlan =
  | { action: 'none'; release: string | null }
  | { action: 'handover'; release: string; live: string | null }
  /** A version that is not on disk. */
  | { action: 'fetch'; version: string; from: string; live: string | null }

async function planApply(app: InstalledApp): Promise<ApplyPlan> {
  const state = readState(app.paths)
  const live = state.live?.release ?? null
  const found = findOnDisk(app.paths, state)
  if (found.kind === 'elsewhere') {
    const from = versionUrl(app.config.source, found.word)
    return { action: 'fetch', version: found.word, from: from.kind === 'address' ? showAddress(from.url) : '', live }
  }
  const id = found.kind === 'release' ? found.release.id : recordedRelease(app.paths, state)
  const release: Release | undefined = listReleases(app.paths).find((one) => one.id === id)
  if (release === undefined) return { action: 'none', release: null }
  return (await isAsRecorded(app, state, release)) ? { action: 'none', release: release.id } : { action: 'handover', release: release.id, live }
}

function planText(app: string, plan: ApplyPlan): string {
  switch (plan.action) {
    case 'none':
      return plan.release === null ? `No release of ${app} is recorded yet: nothing to bring up.` : `Release ${plan.release} of ${app} is live already: nothing to do.`
    case 'handover':
      return `Would bring up release ${plan.release} of ${app}${plan.live === null || plan.live === plan.release ? '' : ` in the place of ${plan.live}`}. No hook would run.`
    case 'fetch':
      return `Would fetch version ${plan.version} of ${app} from ${plan.from}, check it, and bring it up${plan.live === null ? '' : ` in the place of ${plan.live}`}. No hook would run.`
  }
}
