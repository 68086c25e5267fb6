import { refuseBroken } from './archive-refusal.js'

/** Of a pax extended header, what matters of an entry. Names as bytes: nothing says that they are UTF-8. */
export interface PaxRecords {
  path?: Buffer
  linkpath?: Buffer
  size?: number
  mtimeMs?: number
}

/**
 * Reads the records `LENGTH KEY=VALUE\n` of a pax header (POSIX, pax, "pax Extended Header"). They
 * must fill it exactly; a value may hold line breaks. Of a key that is there twice the last counts.
 * @throws HoldfastError `archive-refused`
 */
export function parsePax(bytes: Buffer): PaxRecords {
  const records: PaxRecords = {}
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(0x20, at)
    const digits = space < 0 ? '' : bytes.toString('latin1', at, Math.min(space, at + 10))
    const length = /^[1-9]\d*$/.test(digits) ? Number(digits) : 0
    const end = at + length
    const equals = bytes.indexOf(0x3d, space)
    if (end <= space + 1 || end > bytes.length || bytes[end - 1] !== 0x0a || equals < 0 || equals >= end) throw refuseBroken('a pax header in it is malformed')
    readRecord(records, bytes.toString('latin1', space + 1, equals), Buffer.from(bytes.subarray(equals + 1, end - 1)))
    at = end
  }
  return records
}

function readRecord(records: PaxRecords, key: string, value: Buffer): void {
  const text = value.toString('latin1')
  switch (key) {
    case 'path':
    case 'linkpath':
      records[key] = value
      return
    case 'size':
      if (!/^\d{1,15}$/.test(text)) throw refuseBroken('a pax header in it has a size that cannot be')
      records.size = Number(text)
      return
    case 'mtime':
      if (/^-?\d{1,12}(\.\d*)?$/.test(text)) records.mtimeMs = Number(text) * 1000
      return
    default:
      if (key.startsWith('GNU.sparse.') || key === 'SCHILY.realsize') throw refuseBroken('it holds a sparse file, which tar writes with --sparse')
  }
}
