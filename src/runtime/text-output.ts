import { writeSync } from 'node:fs'

/** Of what waits for a reader, in bytes. */
const maxWaiting = 8 * 1024 * 1024

/**
 * Standard output (1) or error (2) for whole lines. They are written at once, so that nothing is lost when the process ends; what
 * a full pipe does not take waits in node's own stream, in its order, and the event loop does not wait for it.
 */
export class TextOutput {
  readonly #fd: 1 | 2
  #isFull = false
  #waiting = 0

  constructor(fd: 1 | 2) {
    this.#fd = fd
  }

  /** @returns whether it was taken; not when too much waits, until nothing does */
  write(text: string): boolean {
    // Made before the first write: that makes a pipe or a socket non-blocking.
    const stream = this.#fd === 1 ? process.stdout : process.stderr
    const { writableLength } = stream
    this.#isFull = writableLength > (this.#isFull ? 0 : maxWaiting)
    if (this.#isFull) return false
    const bytes = Buffer.from(text)
    const written = writableLength > 0 ? 0 : tryWrite(this.#fd, bytes)
    if (written === undefined || written === bytes.length) return true
    // Without a listener a reader that is gone would be an uncaught exception.
    if (this.#waiting++ === 0) stream.on('error', ignore)
    stream.write(bytes.subarray(written), () => setImmediate(() => {
      if (--this.#waiting === 0) stream.off('error', ignore)
    }))
    return true
  }
}

function ignore(): void {}

/** How much was taken; undefined when nobody will read any of it. */
function tryWrite(fd: number, bytes: Buffer): number | undefined {
  try {
    return writeSync(fd, bytes)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EAGAIN' ? 0 : undefined
  }
}
