import { setTimeout as delay } from 'node:timers/promises'
import { HoldfastError } from '../errors.js'
import { reuseDependencies } from '../release/dependencies.js'
import { releaseFolder } from '../release/store.js'
import { afterDrainService, deployService } from '../units/names.js'
import type { InstalledApp } from './app.js'
import type { CheckedCode, HookPlan } from './deploy-check.js'
import type { StepTelling } from './deploy-log.js'
import type { DeploySite } from './deploy-site.js'
import { endHook, runHook } from './hooks.js'

/** A step failed, and what it ran has left a log. */
export class StepError extends HoldfastError {
  constructor(message: string, readonly log: string[], hint?: string, code: 'hook-failed' | 'handover-failed' = 'hook-failed') {
    super(code, message, hint === undefined ? {} : { hint })
  }
}

/**
 * Runs `hooks.install` or `hooks.migrate` as planned, or takes over what another release has.
 * @returns whether the app's user has written to the code
 */
export async function runPlanned(site: DeploySite, name: 'install' | 'migrate', plan: Exclude<HookPlan, { action: 'skip' }>, { code, config }: CheckedCode, release: string, telling: StepTelling): Promise<boolean> {
  const { app, signal } = site
  if (plan.action === 'reuse') {
    await reuseDependencies(releaseFolder(app.paths, plan.from), code.folder)
    telling.result(`not run: the dependencies of ${plan.from.id} are taken over, ${plan.why}`)
    return false
  }
  const command = config.hooks[name]
  if (command === undefined) return false
  const writable = name === 'install'
  await waitForAfterDrain(site, telling)
  const onAbort = (): void => void endHook(app)
  signal.addEventListener('abort', onAbort)
  try {
    const result = await runHook(app, {
      name, command, folder: code.folder, writable, release: { id: release }, config, timeoutMs: config.hooks.timeoutMs,
      onLine: (line) => telling.output(line), boundTo: deployService(app.paths.app),
    })
    signal.throwIfAborted()
    if (!result.ok) throw new StepError(`hooks.${name} (${command.text}) ${result.reason}`, result.log.slice(-20))
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
  return writable
}

/** Whether `hooks.after_drain` of the live release runs right now. */
export async function runsAfterDrain({ paths, systemd }: Pick<InstalledApp, 'paths' | 'systemd'>): Promise<boolean> {
  return (await systemd.show([afterDrainService(paths.app)]))[0]?.active === 'activating'
}

/** One hook at a time. No other begins meanwhile: see `isDue` of after-drain.ts. */
async function waitForAfterDrain({ app, signal }: DeploySite, telling: StepTelling): Promise<void> {
  for (let isTold = false; await runsAfterDrain(app); await delay(200)) {
    signal.throwIfAborted()
    if (!isTold) telling.note('hooks.after_drain of the release that is live runs just now: waiting for its end.')
    isTold = true
  }
}
