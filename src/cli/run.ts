import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { isatty } from 'node:tty'
import { shellWord } from '../config/shell.js'
import { describeFailure } from '../deploy/failure.js'
import { planOneOff } from '../deploy/one-off.js'
import { checkManager } from '../deploy/install/preflight.js'
import { notInstalled } from '../deploy/install/uninstall.js'
import { HoldfastError } from '../errors.js'
import { readManifest } from '../release/manifest.js'
import { pathsOf } from '../release/paths.js'
import { Systemctl } from '../systemd/systemctl.js'
import type { Systemd } from '../systemd/systemd.js'
import { placesFor, type GlobalOptions } from './context.js'
import { print } from './output.js'

/** @returns the command's exit status; 128 + N where signal N ended it */
export async function runCommand(app: string, command: readonly string[], options: GlobalOptions & { dryRun?: boolean }): Promise<number> {
  const places = placesFor(options)
  checkManager(places.scope)
  const paths = pathsOf(places, app)
  if (readManifest(paths) === undefined) throw notInstalled(places, app)
  if (command.length === 0) throw new HoldfastError('usage', 'there is no command to run', { hint: `holdfast run ${app} -- node --version` })
  const systemd = new Systemctl(places.scope)
  const terminal = isatty(0) && isatty(1)
  const { unit, args } = await planOneOff(paths, systemd, command, { terminal })
  if (options.dryRun === true) {
    print(['systemd-run', ...args].map(shellWord).join(' '))
    return 0
  }
  return runUnit(systemd, unit, args, { terminal })
}

/** What stands behind the app's name: options of holdfast's, then the command; `--` ends the options. Pure. */
export function splitCommand(words: readonly string[]): { command: string[]; user?: true; dryRun?: true } {
  let rest = [...words]
  const options: { user?: true; dryRun?: true } = {}
  for (;;) {
    const [word] = rest
    if (word === '--user') options.user = true
    else if (word === '--dry-run') options.dryRun = true
    else if (word === '--') return { ...options, command: rest.slice(1) }
    else if (word?.startsWith('-') === true) {
      throw new HoldfastError('usage', `unknown option ${word}`, { hint: 'holdfast run --help; options of the command stand behind it' })
    } else return { ...options, command: rest }
    rest = rest.slice(1)
  }
}

/** Each Ctrl-C is stronger than the one before, for a command that heeds none. */
const strength = ['SIGINT', 'SIGTERM', 'SIGKILL'] as const

async function runUnit(systemd: Systemd, unit: string, args: readonly string[], { terminal }: { terminal: boolean }): Promise<number> {
  let interrupts = 0
  const interrupt = (): void => {
    void systemd.kill(unit, strength[Math.min(interrupts, 2)] as (typeof strength)[number])
    interrupts += 1
  }
  const forward = (signal: NodeJS.Signals): void => void systemd.kill(unit, signal as 'SIGTERM' | 'SIGHUP')
  process.on('SIGINT', interrupt)
  process.on('SIGTERM', forward)
  process.on('SIGHUP', forward)
  try {
    const status = await new Promise<number>((resolve, reject) => {
      // With --pty, systemd-run passes Ctrl-C on itself. With --pipe it must not hear of it: it would leave, and the
      // command would go on.
      const child = spawn('systemd-run', args, { stdio: 'inherit', detached: !terminal })
      child.on('error', (error) => {
        reject(new HoldfastError('machine-unfit', `systemd-run cannot be run: ${error.message}`, { hint: 'holdfast doctor', cause: error }))
      })
      child.on('exit', (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])))
    })
    await requireEnded(systemd, unit)
    if (status >= 200) explainStatus(status)
    return status
  } finally {
    process.off('SIGINT', interrupt)
    process.off('SIGTERM', forward)
    process.off('SIGHUP', forward)
  }
}

/** systemd-run loses its connection when systemd re-executes itself; the command does not end with it. */
async function requireEnded(systemd: Systemd, unit: string): Promise<void> {
  let lost = false
  for (;;) {
    const [state] = await systemd.show([unit])
    if (state === undefined || state.active === 'inactive' || state.active === 'failed') break
    lost = true
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  if (lost) {
    throw new HoldfastError('systemd-failed', `systemd-run lost sight of ${unit}: it has ended, but with what status is not known`, {
      hint: `journalctl -u ${unit}`,
    })
  }
}

/** systemd's own statuses, when it gives up before the command: without a word, they would be a riddle. */
function explainStatus(status: number): void {
  const reason = describeFailure(
    { result: 'exit-code', exit: { how: 'exited', status } } as Parameters<typeof describeFailure>[0], { ready: false, timeoutMs: 0 },
  )
  if (reason.startsWith('did not start')) process.stderr.write(`Status ${status}: unless the command itself ended so, it ${reason}.\n`)
}
