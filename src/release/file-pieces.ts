import { readSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { refuseBroken } from './archive-refusal.js'

/** Bytes read at once. */
export const pieceBytes = 256 * 1024

export interface PieceOptions {
  /** After each piece: its bytes. */
  onRead?(bytes: number): void
  signal: AbortSignal | undefined
}

/**
 * A part of an open file in pieces, and time for signals and timers between them. Never closes the
 * file, which a stream of it does when it is destroyed.
 */
export async function* readPieces(fd: number, from: number, to: number, { onRead, signal }: PieceOptions): AsyncGenerator<Buffer> {
  for (let at = from; at < to; at += pieceBytes) {
    signal?.throwIfAborted()
    const piece = readAt(fd, at, Math.min(at + pieceBytes, to))
    onRead?.(piece.length)
    yield piece
    await setImmediate()
  }
  signal?.throwIfAborted()
}

/** @throws HoldfastError `archive-refused` when the file is shorter */
export function readAt(fd: number, from: number, to: number): Buffer {
  const bytes = Buffer.allocUnsafe(to - from)
  for (let at = 0; at < bytes.length; ) {
    const read = readSync(fd, bytes, at, bytes.length - at, from + at)
    if (read === 0) throw refuseBroken('it ends in the middle')
    at += read
  }
  return bytes
}
