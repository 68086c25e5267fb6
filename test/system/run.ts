/** Running programs to their end, and waiting for what they bring about. */
import { spawn } from 'node:child_process'
import { resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

/** The project's folder. */
export const root = resolve(import.meta.dirname, '../..')

/** How a program ended. A signal N shows as status 128 + N, as in a shell. */
export interface Result {
  status: number
  stdout: string
  stderr: string
}

export interface RunOptions {
  input?: string
  cwd?: string
  env?: Record<string, string>
  /** Kill the program after this time, in milliseconds; 60 s unless told. */
  timeoutMs?: number
}

const signalNumbers: Record<string, number> = { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGABRT: 6, SIGKILL: 9, SIGSEGV: 11, SIGTERM: 15 }

/** Runs a program to its end; never throws because of its status. */
export function run(command: string, args: string[], options: RunOptions = {}): Promise<Result> {
  return new Promise((resolveRun, reject) => {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      timeout: options.timeoutMs ?? 60_000,
      killSignal: 'SIGKILL',
    })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    child.on('error', reject)
    child.on('close', (code, signal) => {
      resolveRun({ status: code ?? 128 + (signalNumbers[signal ?? ''] ?? 0), stdout, stderr })
    })
    // A program that ends without reading its input is not an error of the test.
    child.stdin.on('error', () => {})
    child.stdin.end(options.input)
  })
}

/** Runs a program that must succeed, and returns its output; else fails with all that it said. */
export async function mustRun(command: string, args: string[], options: RunOptions = {}): Promise<string> {
  const result = await run(command, args, options)
  if (result.status !== 0) {
    throw new Error(`${command} ${args.join(' ')}: status ${result.status}\n${result.stdout}${result.stderr}`)
  }
  return result.stdout
}

/**
 * Polls until the check returns something truthy, and returns that. A check that throws counts as not yet;
 * its last error is in the message of the failure.
 */
export async function waitFor<T>(
  description: string,
  check: () => T | Promise<T>,
  { timeoutMs = 15_000, everyMs = 50 }: { timeoutMs?: number; everyMs?: number } = {},
): Promise<NonNullable<T>> {
  const deadline = Date.now() + timeoutMs
  let last: unknown
  for (;;) {
    try {
      last = await check()
      if (last) return last as NonNullable<T>
    } catch (error) {
      last = error
    }
    if (Date.now() >= deadline) throw new Error(`not within ${timeoutMs} ms: ${description} (last: ${String(last)})`)
    await delay(everyMs)
  }
}
