import { spawn } from 'node:child_process'

/** What may wait for the journal, in bytes. */
const waitingBytes = 8 << 20

const closeTimeoutMs = 2_000

/**
 * Lines for the journal, as of the calling unit. By a program in between, so that a journald that has stopped reading
 * stops nobody here: what it does not take in time is left out, and counted.
 */
export function openJournal(identifier: string): { write(line: string): void; close(): Promise<void> } {
  const child = spawn('systemd-cat', [`--identifier=${identifier}`, 'cat'], { stdio: ['pipe', 'ignore', 'ignore'] })
  const ended = new Promise<void>((resolve) => {
    child.on('close', () => resolve())
    child.on('error', () => resolve()) // there is no such program
  })
  child.stdin.on('error', () => {})
  let missing = 0
  return {
    write(line) {
      if (child.stdin.writableLength > waitingBytes) {
        missing += 1
        return
      }
      if (missing > 0) child.stdin.write(`(${missing} lines are missing here: the journal did not take them in time)\n`)
      missing = 0
      child.stdin.write(`${line}\n`)
    },
    async close() {
      child.stdin.end()
      const timer = setTimeout(() => child.kill('SIGKILL'), closeTimeoutMs)
      await ended
      clearTimeout(timer)
    },
  }
}
