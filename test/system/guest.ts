/**
 * For boot tests (`*.boot.test.ts`): they run on the machine itself, as root, and boot guests of their own,
 * to pull their plugs.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { onTestFinished } from 'vitest'
import { root, type Result } from './run.js'

export const withSystemd = join(root, 'scripts/with-systemd')

/** A with-systemd that is running, or has ended. */
export interface Guest {
  pid: number
  child: ChildProcess
  /** What was written so far. */
  stdout(): string
  stderr(): string
  /** How with-systemd ended; by signal N it is 128 + N. */
  ended: Promise<Result>
  /** Sends a signal to with-systemd alone. */
  kill(signal: NodeJS.Signals): void
  /** Sends a signal to the whole process group, as a terminal does for Ctrl-C. */
  killGroup(signal: NodeJS.Signals): void
  /** Its processes, cgroups and files that are still there. */
  leftovers(): string[]
}

/** Starts with-systemd with these arguments: `startGuest('--state', dir, '--', 'true')`. */
export function startGuest(...args: string[]): Guest {
  return startGuestWith({}, ...args)
}

/** The same with more environment. */
export function startGuestWith(env: Record<string, string>, ...args: string[]): Guest {
  // Every process that descends from it carries this, but process 1 and its units, which the cgroup shows.
  const mark = `HOLDFAST_TEST_MARK=${randomUUID()}`
  const [key, value] = mark.split('=') as [string, string]
  const child = spawn(withSystemd, args, {
    detached: true, // a process group of its own
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env, [key]: value },
  })
  const pid = child.pid
  if (pid === undefined) throw new Error(`cannot start ${withSystemd}`)
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const ended = new Promise<Result>((resolve) => {
    // Not "close": a process left behind would hold the pipes, and is to be found by leftovers().
    child.on('exit', (code, signal) => {
      const status = code ?? 128 + (signal === 'SIGKILL' ? 9 : signal === 'SIGTERM' ? 15 : signal === 'SIGINT' ? 2 : 0)
      setImmediate(() => resolve({ status, stdout, stderr }))
    })
  })
  onTestFinished(() => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL') // its janitor does the rest
  })
  return {
    pid,
    child,
    stdout: () => stdout,
    stderr: () => stderr,
    ended,
    kill: (signal) => void process.kill(pid, signal),
    killGroup: (signal) => void process.kill(-pid, signal),
    leftovers: () => [
      ...processesWith(mark),
      ...cgroupFolders().flatMap((folder) => {
        const cgroup = join(folder, `with-systemd.${pid}`)
        return existsSync(cgroup) ? [cgroup] : []
      }),
      ...['/tmp', '/run'].flatMap((folder) =>
        readdirSync(folder).filter((name) => name === `with-systemd-canary.${pid}`).map((name) => join(folder, name)),
      ),
    ],
  }
}

/** The canary that a guest started by this process id must not see; there while it boots. */
export const canaryOf = (guest: Guest): string => `/tmp/with-systemd-canary.${guest.pid}`

/** What is mounted on this machine, to be compared before and after. */
export const mounts = (): string => readFileSync('/proc/self/mounts', 'utf8')

/** An empty folder that can hold a guest's state; removed after the test. */
export function stateFolder(): string {
  const overlay = 0x794c7630 // as in a container, where no overlay can be made from it
  const parent = statfsSync(tmpdir()).type === overlay ? '/dev/shm' : tmpdir()
  const folder = mkdtempSync(join(parent, 'holdfast-state-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

function cgroupFolders(): string[] {
  return mounts().split('\n').map((line) => line.split(' ')).filter(([, , type]) => type === 'cgroup2').map(([, path]) => path ?? '')
}

function processesWith(mark: string): string[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((pid) => {
    try {
      const environment = readFileSync(`/proc/${pid}/environ`, 'utf8')
      if (!environment.split('\0').includes(mark)) return []
      return [`process ${pid} (${basename(readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim())})`]
    } catch {
      return [] // ended meanwhile
    }
  })
}
