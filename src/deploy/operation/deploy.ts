import type { State } from '../../release/state.js'
import { requireAdmissionAhead } from '../checks/admission.js'
import { readersOf } from './readers-of.js'
import { bringLive } from './bring-live.js'
import { checkCode, planHooks, type CheckedCode, type HookPlan } from './deploy-check.js'
import { fetchAll, unpackAll } from './deploy-code.js'
import { runPlanned } from './deploy-hooks.js'
import type { StepTelling } from './deploy-log.js'
import { stagingFolder, type DeployRequest } from './deploy-request.js'
import type { DeploySite } from './deploy-site.js'
import type { Operation, Outcome } from './operation.js'
import { sealRelease } from './seal-release.js'

/** The steps of a deploy, from its source to the live release. */
export async function deploySource(work: Operation<DeployRequest>, began: State): Promise<Outcome> {
  const { app, request, log, signal } = work
  const site: DeploySite = { app, request, staging: stagingFolder(app.paths, request.id), signal, readers: await readersOf(app) }
  const { switches } = request

  const fetched = await log.run('fetch', (telling) => fetchAll(site, telling))
  const code = await log.run('unpack', (telling) => unpackAll(site, fetched, telling))
  // Taken by nobody else: see `newDeployId`.
  const { id } = request
  log.nameRelease(id)
  const checked = await log.run('verify', (telling) => verify(site, code, id, began, telling))
  const plans = planHooks(site, checked, began)

  const runHookStep = async (step: 'install' | 'migrate', plan: HookPlan): Promise<boolean> => {
    if (plan.action !== 'skip') return log.run(step, (telling) => runPlanned(site, step, plan, checked, id, telling))
    log.skip(step, plan.why)
    return false
  }
  const touched = await runHookStep('install', plans.install)
  await runHookStep('migrate', plans.migrate)
  if (switches.migrateOnly) {
    for (const step of ['seal', 'record', 'handover', 'prune'] as const) log.skip(step, '--migrate-only')
    return { outcome: 'migrated' }
  }

  const release = await log.run('seal', (telling) => sealRelease(site, checked, { id, touched, install: plans.install }, telling))
  const { hold, canary } = request
  return bringLive(work, began, release, { afterDrain: plans.afterDrain.action === 'run', ...(hold === undefined ? {} : { hold }), ...(canary === undefined ? {} : { canary }) })
}

async function verify(site: DeploySite, code: CheckedCode['code'], id: string, state: State, telling: StepTelling): Promise<CheckedCode> {
  const checked = checkCode(site, code, id)
  for (const note of checked.notes) telling.note(note)
  if (checked.unitDiff !== '') {
    telling.note('The release proposes other units than those that are installed, which stay in force:')
    for (const line of checked.unitDiff.trimEnd().split('\n')) telling.output(line)
  }
  const { app, request } = site
  if (!request.switches.migrateOnly) await requireAdmissionAhead(app, { config: checked.config, state, asked: request })
  if (checked.version !== undefined) telling.result(`version ${checked.version}`)
  return checked
}
