import * as zlib from 'node:zlib'

/** Node has it from 20.15 on. */
const { crc32: native } = zlib as { crc32?: (bytes: Buffer, value?: number) => number }

/** The checksum of zip and gzip (RFC 1952, section 8), of bytes that come after those of checksum `before`. */
export const crc32: (bytes: Buffer, before?: number) => number = native ?? crc32InSteps

const table = Uint32Array.from({ length: 256 }, (_, n) => {
  let value = n
  for (let bit = 0; bit < 8; bit += 1) value = (value & 1) === 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1
  return value
})

/** Exported for its test. */
export function crc32InSteps(bytes: Buffer, before = 0): number {
  let value = ~before
  for (const byte of bytes) value = (table[(value ^ byte) & 0xff] as number) ^ (value >>> 8)
  return ~value >>> 0
}
