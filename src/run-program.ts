import { execFile } from 'node:child_process'

export interface CommandResult {
  /** Exit status; 128 + n after signal n; 127 where the program is missing. */
  status: number
  stdout: string
  stderr: string
}

/** Runs a program to its end, or kills it after a time; fails never. */
export function runProgram(program: string, args: readonly string[], options: { input?: string; timeoutMs?: number } = {}): Promise<CommandResult> {
  return new Promise((resolve) => {
    const child = execFile(
      program,
      args as string[],
      { maxBuffer: 64 << 20, timeout: options.timeoutMs ?? 0, killSignal: 'SIGKILL', env: { ...process.env, LC_ALL: 'C.UTF-8', SYSTEMD_COLORS: '0', SYSTEMD_PAGER: '', SYSTEMD_LOG_LEVEL: 'notice' } },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : error.code === 'ENOENT' ? 127 : 128
        resolve({ status: code, stdout, stderr })
      },
    )
    if (options.input !== undefined) child.stdin?.end(options.input)
  })
}
