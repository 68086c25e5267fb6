import { Transform } from 'node:stream'
import { HoldfastError } from '../../errors.js'

/**
 * How archives travel over ssh: in frames of a length (4 bytes, most significant first) and as many bytes; a frame of
 * length 0 ends an archive. The end of an ssh connection looks like the end of its input: only the last frame tells that
 * all has come.
 */
export function frameStream(): Transform {
  const header = (length: number): Buffer => {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32BE(length)
    return bytes
  }
  return new Transform({
    transform(chunk: Buffer, _, done) {
      if (chunk.length > 0) {
        this.push(header(chunk.length))
        this.push(chunk)
      }
      done()
    },
    flush(done) {
      this.push(header(0))
      done()
    },
  })
}

/** No frame is longer, in bytes: what is, is no frame. */
const longestFrame = 2 ** 26

/** Reads framed archives one after the other. */
export class FrameReader {
  private rest: Buffer = Buffer.alloc(0)

  constructor(private readonly input: AsyncIterator<Buffer>) {}

  /** The bytes of the next archive. @throws HoldfastError `fetch-failed` when the input ends before it does */
  async *archive(): AsyncGenerator<Buffer> {
    for (;;) {
      await this.fill(4)
      let left = this.rest.readUInt32BE(0)
      this.rest = this.rest.subarray(4)
      if (left === 0) return
      if (left > longestFrame) throw new HoldfastError('fetch-failed', 'what was sent is not what a holdfast on another machine sends')
      while (left > 0) {
        await this.fill(1)
        const part = this.rest.subarray(0, left)
        this.rest = this.rest.subarray(part.length)
        left -= part.length
        yield part
      }
    }
  }

  /** Resolves when the sender is gone. To be called after the last archive. */
  async end(): Promise<void> {
    while ((await this.input.next()).done !== true);
  }

  private async fill(length: number): Promise<void> {
    while (this.rest.length < length) {
      const { value, done } = await this.input.next()
      if (done === true) throw new HoldfastError('fetch-failed', 'the connection ended before all of the archive had come: nothing was begun', { hint: 'run the same again' })
      this.rest = this.rest.length === 0 ? value : Buffer.concat([this.rest, value])
    }
  }
}
