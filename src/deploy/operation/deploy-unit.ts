import { homedir } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { HoldfastError } from '../../errors.js'
import type { AppPaths } from '../../release/paths.js'
import type { Systemd } from '../../systemd/systemd.js'
import { runProgram } from '../../run-program.js'
import { deployService, hookService } from '../../units/names.js'
import { EventReader, eventsFile } from './deploy-events.js'
import { isDeploying } from './deploy-under-way.js'
import { findEnd, type Seen } from './lost-end.js'
import type { DeployEvent, StepName } from './progress.js'

/**
 * The transient unit that a deploy runs in. Its name is the lock: systemd starts no second one. It outlives the terminal,
 * and what it prints is in the journal.
 */

/** How long a deploy that is stopped may take to end its hook and to clean up, in seconds. */
const stopSeconds = 60

/** The command of systemd-run(1). Pure. `programs` are the absolute paths of node and of this program. */
export function deployUnitArgs(paths: AppPaths, programs: { node: string; cli: string }, id: string, env: Record<string, string>): string[] {
  const { app, scope } = paths
  const user = scope === 'user' ? ['--user'] : []
  return [
    ...user, '--quiet', '--collect', `--unit=${deployService(app)}`, `--description=Deploy ${id} of ${app}`,
    '--property=Type=exec',
    '--property=SyslogIdentifier=holdfast',
    // Its children, such as git, are ended by itself.
    '--property=KillMode=mixed', `--property=TimeoutStopSec=${stopSeconds}`,
    '--property=UMask=0022',
    ...Object.entries(env).map(([name, value]) => `--setenv=${name}=${value}`),
    '--', programs.node, programs.cli, ...user, 'deploy-run', app, id,
  ]
}

/** What fetching needs of the client's environment and is no secret; node reads the second one at its start. */
export function unitEnvironment(env: NodeJS.ProcessEnv): Record<string, string> {
  const certificates = env['NODE_EXTRA_CA_CERTS']
  return { HOME: homedir(), ...(certificates === undefined ? {} : { NODE_EXTRA_CA_CERTS: certificates }) }
}

/** What fetching needs and may hold a secret, such as a proxy's password: it goes by a file for root alone. */
export function fetchEnvironment(env: NodeJS.ProcessEnv): Record<string, string> {
  const names = /^(?:(?:https?|all|no)_proxy|SSH_AUTH_SOCK|GIT_SSH|GIT_SSH_COMMAND|GIT_SSL_\w+|SSL_CERT_\w+)$/i
  return Object.fromEntries(Object.entries(env).filter((entry): entry is [string, string] => names.test(entry[0]) && entry[1] !== undefined))
}

/** @returns `taken` when somebody else deploys the app. @throws HoldfastError `systemd-failed` */
export async function startDeploy(paths: AppPaths, systemd: Systemd, programs: { node: string; cli: string }, id: string): Promise<'started' | 'taken'> {
  const unit = deployService(paths.app)
  for (const deadline = Date.now() + 10_000; ; await delay(100)) {
    const { status, stderr } = await runProgram('systemd-run', deployUnitArgs(paths, programs, id, unitEnvironment(process.env)))
    if (status === 0) return 'started'
    // systemd-run may lose its connection after it has started the unit.
    const isOurs = (await systemd.property(unit, 'Description')).includes(id) || new EventReader(eventsFile(paths, id)).read().length > 0
    if (isOurs) return 'started'
    if (await isDeploying(paths, systemd)) return 'taken'
    const isLoaded = /already (?:exists|loaded)|File exists/i.test(stderr)
    if (!isLoaded || Date.now() > deadline) {
      throw new HoldfastError('systemd-failed', `${unit} could not be started: ${stderr.trim() || `systemd-run ended with status ${status}`}`, { hint: 'holdfast doctor' })
    }
    // It ended just now; or it was killed, and its hook, which failed with it, still names it: systemd keeps it for that.
    await systemd.resetFailed([unit, hookService(paths.app)])
  }
}

/** Polls, in milliseconds. */
const followMs = 100
const lookMs = 1_000
/** How long an ended deploy's process may take to exit. */
const goneMs = 10_000

/** Of a killed deploy's output, as many lines are shown again. */
const logLines = 12

/**
 * Passes the events of a deploy on as they come.
 * @param begunAt when its unit was about to be started, in milliseconds
 * @returns its last one; where its unit is gone without it, one that tells what became of it
 */
export async function followDeploy(app: { paths: AppPaths; systemd: Systemd }, request: Seen['request'], begunAt: number, onEvent: (event: DeployEvent) => void): Promise<DeployEvent & { type: 'end' }> {
  const { paths } = app
  const { id } = request
  const reader = new EventReader(eventsFile(paths, id))
  const output: string[] = []
  let step: StepName | undefined
  const pass = (): (DeployEvent & { type: 'end' }) | undefined => {
    for (const event of reader.read()) {
      if (event.type === 'end') return event
      if (event.type === 'step' && event.state === 'began') {
        step = event.step
        output.length = 0
      }
      if (event.type === 'output') output.push(event.line)
      if (output.length > logLines) output.shift()
      onEvent(event)
    }
    return undefined
  }
  for (let lookedAt = Date.now(); ; await delay(followMs)) {
    const end = pass()
    if (end !== undefined) {
      await waitUntilGone(app, id)
      return end
    }
    if (Date.now() - lookedAt < lookMs) continue
    lookedAt = Date.now()
    if (await runsDeploy(app, id)) continue
    // Its last words may have come in between.
    return pass() ?? (await findEnd(app, { request, step, output, begunAt }))
  }
}

/** The lock is free when the command returns: the next one may be in the next line of a script. */
async function waitUntilGone(app: { paths: AppPaths; systemd: Systemd }, id: string): Promise<void> {
  for (const deadline = Date.now() + goneMs; Date.now() < deadline && (await runsDeploy(app, id)); ) await delay(followMs / 2)
}

/** Whether the unit runs and is this deploy: another one may have taken the name since. */
async function runsDeploy({ paths, systemd }: { paths: AppPaths; systemd: Systemd }, id: string): Promise<boolean> {
  if (!(await isDeploying(paths, systemd))) return false
  return (await systemd.property(deployService(paths.app), 'Description')).includes(id)
}
