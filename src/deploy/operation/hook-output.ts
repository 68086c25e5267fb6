import { execFileSync } from 'node:child_process'
import { closeSync, constants, openSync, rmSync } from 'node:fs'
import { Socket } from 'node:net'

/** The longest line that is passed on whole, in bytes. */
export const longestLine = 16 << 10

/** How long what is still in the pipe is waited for once its writers have ended: one of them may have lent it to somebody. */
const lastLinesMs = 2_000

/** Cuts bytes into lines. What is no UTF-8 becomes U+FFFD; control characters stay as they are. */
export class LineSplitter {
  private pieces: Buffer[] = []
  private length = 0
  private isCut = false

  /** @param longest in bytes */
  constructor(private readonly onLine: (line: string) => void, private readonly longest = longestLine) {}

  add(bytes: Buffer): void {
    let from = 0
    for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, from)) {
      this.keep(bytes.subarray(from, at))
      this.endLine()
      from = at + 1
    }
    this.keep(bytes.subarray(from))
  }

  /** The last line may lack its end. */
  end(): void {
    if (this.length > 0) this.endLine()
  }

  private keep(piece: Buffer): void {
    const room = this.longest - this.length
    if (piece.length > room) this.isCut = true
    const kept = piece.subarray(0, room)
    if (kept.length === 0) return
    this.pieces.push(kept)
    this.length += kept.length
  }

  private endLine(): void {
    const text = Buffer.concat(this.pieces).toString('utf8')
    const line = this.isCut ? `${text} … (cut: the line is longer than ${this.longest >> 10} KiB)` : text.replace(/\r$/, '')
    this.pieces = []
    this.length = 0
    this.isCut = false
    this.onLine(line)
  }
}

/**
 * Makes a pipe with a name for a unit's output, and reads it. Of one pipe for both, standard output and error come in
 * their order; other than a client's pipe, it does not depend on a connection to systemd; other than the journal, it
 * loses and delays nothing.
 */
export function openOutput(file: string, onLine: (line: string) => void): { close(): Promise<void> } {
  rmSync(file, { force: true })
  // All may write, so that a hook may open /dev/stderr; only root reaches it in its folder.
  execFileSync('mkfifo', ['--mode=622', '--', file])
  // Without a writer of its own it would be at its end before the unit has opened it.
  const reader = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
  const writer = openSync(file, constants.O_WRONLY | constants.O_NONBLOCK)
  const lines = new LineSplitter(onLine)
  const socket = new Socket({ fd: reader, readable: true, writable: false })
  socket.on('data', (bytes: Buffer) => lines.add(bytes))
  const ended = new Promise<void>((resolve) => {
    socket.on('close', () => resolve())
    socket.on('error', () => {}) // 'close' follows
  })
  return {
    async close() {
      closeSync(writer)
      const timer = setTimeout(() => socket.destroy(), lastLinesMs)
      await ended
      clearTimeout(timer)
      lines.end()
      rmSync(file, { force: true })
    },
  }
}
