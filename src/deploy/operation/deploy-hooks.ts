import { HoldfastError } from '../../errors.js'
import { reuseDependencies } from '../../release/dependencies.js'
import { releaseFolder } from '../../release/store.js'
import { deployService } from '../../units/names.js'
import type { CheckedCode, HookPlan } from './deploy-check.js'
import type { StepTelling } from './deploy-log.js'
import type { DeploySite } from './deploy-site.js'
import { endHook, runHook } from './hooks.js'

/** A step failed, and what it ran has left a log. */
export class StepError extends HoldfastError {
  readonly log: string[]
  /** Whether it stands in the history already. */
  readonly isTold: boolean

  constructor(code: 'hook-failed' | 'handover-failed', message: string, { log, hint, isTold = false }: { log: string[]; hint?: string; isTold?: boolean }) {
    super(code, message, hint === undefined ? {} : { hint })
    this.log = log
    this.isTold = isTold
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
  const onAbort = (): void => void endHook(app)
  signal.addEventListener('abort', onAbort)
  try {
    const result = await runHook(app, {
      name, command, folder: code.folder, writable, release: { id: release }, config, timeoutMs: config.hooks.timeoutMs,
      onLine: (line) => telling.output(line), boundTo: deployService(app.paths.app),
    })
    signal.throwIfAborted()
    if (!result.ok) throw new StepError('hook-failed', `hooks.${name} (${command.text}) ${result.reason}`, result)
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
  return writable
}
