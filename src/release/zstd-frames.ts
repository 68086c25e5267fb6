import { refuseBroken } from './archive-refusal.js'

/** See RFC 8878, 3.1. */
const frameMagic = 0xfd2fb528
const skippableMagic = { value: 0x184d2a50, mask: 0xfffffff0 }

/**
 * Hands a zstd file on, and refuses it where something other than another frame follows one: the program zstd(1) would take a
 * gzip, xz or lz4 member for more of the same, which Node's decoder does not.
 * @throws HoldfastError `archive-refused`
 */
export async function* onlyZstdFrames(source: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  const frames = new FrameWalker()
  for await (const piece of source) {
    frames.push(piece)
    yield piece
  }
}

/** Goes from header to header, and past all between. */
class FrameWalker {
  readonly #field = Buffer.alloc(4)
  #filled = 0
  #wanted = 4
  #skip = 0
  #read: () => void = this.#readMagic
  #hasChecksum = false

  push(piece: Buffer): void {
    for (let at = 0; at < piece.length; ) {
      if (this.#skip > 0) {
        const take = Math.min(this.#skip, piece.length - at)
        this.#skip -= take
        at += take
        continue
      }
      const take = Math.min(this.#wanted - this.#filled, piece.length - at)
      piece.copy(this.#field, this.#filled, at, at + take)
      this.#filled += take
      at += take
      if (this.#filled < this.#wanted) continue
      this.#filled = 0
      this.#read()
    }
  }

  #want(bytes: number, read: () => void): void {
    this.#wanted = bytes
    this.#read = read
  }

  #readMagic(): void {
    const magic = this.#field.readUInt32LE(0)
    if (magic === frameMagic) return this.#want(1, this.#readDescriptor)
    if ((magic & skippableMagic.mask) >>> 0 === skippableMagic.value) return this.#want(4, this.#readSkippable)
    throw refuseBroken('something follows its end')
  }

  #readSkippable(): void {
    this.#skip = this.#field.readUInt32LE(0)
    this.#want(4, this.#readMagic)
  }

  #readDescriptor(): void {
    const descriptor = this.#field.readUInt8(0)
    const isSingle = (descriptor & 0x20) !== 0
    this.#hasChecksum = (descriptor & 4) !== 0
    const sizeBytes = [isSingle ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0
    const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0
    this.#skip = (isSingle ? 0 : 1) + dictionaryBytes + sizeBytes
    this.#want(3, this.#readBlock)
  }

  #readBlock(): void {
    const header = this.#field.readUIntLE(0, 3)
    const isLast = (header & 1) !== 0
    const isRepeated = ((header >> 1) & 3) === 1
    this.#skip = (isRepeated ? 1 : header >> 3) + (isLast && this.#hasChecksum ? 4 : 0)
    if (isLast) this.#want(4, this.#readMagic)
  }
}
