import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { pipeline, Readable, type Transform } from 'node:stream'
import * as zlib from 'node:zlib'
import { HoldfastError } from '../errors.js'
import { refuseBroken } from './archive-refusal.js'
import { pieceBytes } from './file-pieces.js'
import { onlyZstdFrames } from './zstd-frames.js'

/** Node has it from 22.15 on. */
const { createZstdDecompress } = zlib as { createZstdDecompress?: (options: zlib.ZlibOptions) => Transform & { bytesWritten: number } }

/**
 * What a gzip file of `size` bytes holds, checked against its checksums.
 * @throws HoldfastError `archive-refused` when it is damaged, cut off, or something follows it
 */
export function gunzip(source: AsyncIterable<Buffer>, size: number): AsyncIterable<Buffer> {
  return inflate(source, size, zlib.createGunzip({ chunkSize: pieceBytes }))
}

/**
 * The same of a zstd file, by Node where it can, else by the program zstd(1).
 * @throws HoldfastError `archive-refused`; `machine-unfit` where neither is there
 */
export function unzstd(source: AsyncIterable<Buffer>, size: number): AsyncIterable<Buffer> {
  return createZstdDecompress === undefined ? runZstd(source) : inflate(source, size, createZstdDecompress({ chunkSize: pieceBytes }))
}

async function* inflate(source: AsyncIterable<Buffer>, size: number, engine: Transform & { bytesWritten: number }): AsyncIterable<Buffer> {
  // An error of the source is the engine's too, and what stops the one stops the other.
  pipeline(Readable.from(source, { objectMode: false }), engine, () => {})
  try {
    for await (const chunk of engine) yield chunk as Buffer
  } catch (error) {
    throw isDamage(error) ? refuseBroken(`it is damaged or cut off: ${error.message}`, error) : error
  }
  if (engine.bytesWritten !== size) throw refuseBroken('something follows its end')
}

/** Whether a decompressor says so, rather than the system. */
export function isDamage(error: unknown): error is Error {
  const { code = '' } = error as { code?: string }
  return error instanceof Error && /^(Z_|ZSTD_|ERR_ZSTD)/.test(code)
}

/** zstd(1) itself refuses windows of more than 128 MiB, and some of what may follow the end. */
async function* runZstd(source: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  const child = spawn('zstd', ['--decompress', '--stdout', '--quiet'], { stdio: ['pipe', 'pipe', 'pipe'] })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-1000)
  })
  let broken: Error | undefined
  pipeline(Readable.from(onlyZstdFrames(source), { objectMode: false }), child.stdin, (error) => {
    // It has closed its end: its exit status tells why.
    if (error !== undefined && error !== null && error.code !== 'EPIPE') broken = error
    if (broken !== undefined) child.kill()
  })
  const ended = once(child, 'close') as Promise<[number | null]>
  ended.catch(() => {}) // awaited below; it may fail before
  try {
    for await (const chunk of child.stdout) yield chunk as Buffer
    const [status] = await ended
    if (broken !== undefined) throw broken
    if (status !== 0) throw refuseBroken(`it is damaged or cut off: ${said.trim().split('\n').at(-1) || `zstd ended with ${status ?? 'a signal'}`}`)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    throw new HoldfastError('machine-unfit', 'the archive is compressed with zstd, and there is no program zstd', { hint: 'apt install zstd', cause: error })
  } finally {
    child.kill()
  }
}
