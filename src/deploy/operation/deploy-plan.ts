import { readState } from '../../release/state.js'
import { requireAdmissionAhead } from '../checks/admission.js'
import type { InstalledApp } from '../app.js'
import { readersOf } from './readers-of.js'
import { checkCode, planHooks, requireProgram, type HookPlans } from './deploy-check.js'
import { fetchAll, unpackAll } from './deploy-code.js'
import { tellingOf } from './deploy-log.js'
import { stagingFolder, type DeployRequest } from './deploy-request.js'
import type { DeploySite } from './deploy-site.js'
import { stepNames, stepsOf, type DeployEvent, type StepName } from './progress.js'

/** What a deploy would do: `holdfast deploy --dry-run --json`, documented in docs/cli.md and stable. */
export interface DeployPlan {
  app: string
  what: string
  /** What the release calls itself. */
  version: string | null
  /** The commit, where it comes from git. */
  commit: string | null
  steps: { step: StepName; action: 'run' | 'skip'; why: string | null }[]
  hooks: Record<'install' | 'migrate' | 'after_drain', { action: 'run' | 'reuse' | 'skip'; command: string | null; why: string | null }>
  /** What the release proposes that is not in force. */
  notes: string[]
  /** A unified diff of the units that it proposes; empty where they are those that are installed. */
  unitDiff: string
  /** What serves now, and would be replaced. */
  live: { generation: number; release: string } | null
  /** The release whose hooks.after_drain still waits, and would never run. */
  cancelsAfterDrain: string | null
}

/**
 * Fetches, unpacks and verifies as a deploy does, in a staging folder of its own and without the lock, and plans the
 * rest. Changes nothing that outlives the staging folder but the cache of git.
 * @throws HoldfastError `state-corrupt`, and whatever a deploy would fail with by then
 */
export async function planDeploy(app: InstalledApp, request: DeployRequest, tell: (event: DeployEvent) => void, signal: AbortSignal): Promise<DeployPlan> {
  // A deploy makes one that cannot be read anew; this only says so.
  const state = readState(app.paths)
  const site: DeploySite = { app, request, staging: stagingFolder(app.paths, request.id), signal, readers: await readersOf(app) }
  const telling = (step: StepName): ReturnType<typeof tellingOf> => tellingOf(step, tell, () => {})
  const code = await unpackAll(site, await fetchAll(site, telling('fetch')), telling('unpack'))
  signal.throwIfAborted()
  const checked = checkCode(site, code)
  const hooks = planHooks(site, checked, state)
  if (hooks.install.action === 'skip') requireProgram(app, checked.config, code.folder)
  const { migrateOnly } = request.switches
  if (!migrateOnly) await requireAdmissionAhead(app, { config: checked.config, state, asked: request })
  return {
    app: app.paths.app,
    what: request.what,
    version: checked.version ?? null,
    commit: code.source.kind === 'git' ? code.source.commit : null,
    steps: stepsOf.deploy.map((step) => ({ step, ...actionOf(step, hooks, request) })),
    hooks: { install: showHook(hooks.install), migrate: showHook(hooks.migrate), after_drain: showHook(hooks.afterDrain) },
    notes: checked.notes,
    unitDiff: checked.unitDiff,
    live: state.live === undefined ? null : { generation: state.live.generation, release: state.live.release },
    cancelsAfterDrain: !migrateOnly && state.afterDrain !== undefined && state.afterDrain.begun === undefined ? state.afterDrain.release : null,
  }
}

function actionOf(step: StepName, hooks: HookPlans, { switches: { migrateOnly }, hold, canary }: DeployRequest): { action: 'run' | 'skip'; why: string | null } {
  if (step === 'install' || step === 'migrate') {
    const plan = hooks[step]
    return { action: plan.action === 'skip' ? 'skip' : 'run', why: plan.why ?? null }
  }
  const isAfter = stepNames.indexOf(step) > stepNames.indexOf('migrate')
  if (migrateOnly && isAfter) return { action: 'skip', why: '--migrate-only' }
  const waits = hold !== undefined ? 'stops before the switch (--hold)' : canary?.auto === false ? `stops with ${canary.processes} of its processes let in (--canary)` : null
  return { action: 'run', why: step === 'handover' ? waits : null }
}

function showHook(plan: HookPlans[keyof HookPlans]): DeployPlan['hooks']['install'] {
  if (plan.action === 'reuse') return { action: 'reuse', command: null, why: `${plan.why}; those of ${plan.from.id} are taken over` }
  return { action: plan.action, command: plan.action === 'run' ? plan.command : null, why: plan.why ?? null }
}
