import { escapeControl } from '../config/quote.js'
import { shellText } from '../config/shell.js'
import { HoldfastError } from '../errors.js'

/** No checksum file comes near it; a larger one is something else. */
export const largestChecksumFileBytes = 64 * 1024

/**
 * Finds a file's SHA-256 in what sha256sum(1) writes: `<hex>  name`, `<hex> *name`, with --tag `SHA256 (name) = <hex>`, or the
 * digits alone. The line that names the file counts, else the only one. What is no such line (a signature) is passed over.
 * @param name without folders, as the address ends with it
 * @param where of the checksum file, for messages
 * @throws HoldfastError `fetch-failed` when there is none, or it is not clear which
 */
export function findChecksum(text: string, name: string, where: string): string {
  // Some editors, and PowerShell, begin a file with a byte order mark.
  const lines = text.replace(/^\ufeff/, '').split(/\r?\n/).map(readLine).filter((line) => line !== undefined)
  const named = lines.filter((line) => line.name?.replace(/^.*\//, '') === name)
  const candidates = new Set((named.length > 0 ? named : lines).map(({ sha256 }) => sha256))
  const [sha256] = candidates
  if (sha256 !== undefined && candidates.size === 1) return sha256
  const what =
    lines.length === 0 ? 'holds no SHA-256, as sha256sum writes it'
    : named.length > 0 ? `has ${candidates.size} different checksums of ${escapeControl(name)}`
    : `has ${lines.length} checksums, and none of ${escapeControl(name)}`
  throw new HoldfastError('fetch-failed', `the checksum file ${where} ${what}`, { hint: `write one where the archive is made: sha256sum ${shellText(name)} > ${shellText(`${name}.sha256`)}` })
}

function readLine(line: string): { sha256: string; name?: string } | undefined {
  const plain = /^\\?([0-9a-f]{64})(?: [ *](.+))?\s*$/i.exec(line)
  const tagged = /^SHA256 \((.+)\) = ([0-9a-f]{64})\s*$/i.exec(line)
  const [sha256, name] = plain ? [plain[1], plain[2]] : [tagged?.[2], tagged?.[1]]
  return sha256 === undefined ? undefined : { sha256: sha256.toLowerCase(), ...(name === undefined ? {} : { name }) }
}
