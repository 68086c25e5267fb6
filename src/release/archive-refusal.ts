import { HoldfastError } from '../errors.js'

const list = 'tar --list --verbose --file ARCHIVE   # or: unzip -l ARCHIVE; then make it again without this'
const again = 'Make the archive again, or fetch it again; sha256sum tells whether it arrived as it was made.'
const limit = 'If it is meant to be this large, raise max_size or max_files under [source] in holdfast.toml, and install that.'

/** An entry that a release may not hold. `why` ends the sentence that its name begins. */
export function refuseEntry(name: string | Buffer, why: string): HoldfastError {
  return new HoldfastError('archive-refused', `the archive was refused: its entry ${showName(name)} ${why}`, { hint: list })
}

/** An archive that cannot be read to its end, or that says two things at once. `why` is a sentence's middle. */
export function refuseBroken(why: string, cause?: unknown): HoldfastError {
  return new HoldfastError('archive-refused', `the archive was refused: ${why}`, { hint: again, ...(cause === undefined ? {} : { cause }) })
}

/** An archive that unpacks to more than it may. */
export function refuseSize(why: string): HoldfastError {
  return new HoldfastError('archive-refused', `the archive was refused: ${why}`, { hint: limit })
}

/**
 * A name as a terminal and a journal may show it: quoted, with every character escaped that moves the
 * cursor, turns the direction or cannot be seen, and cut where it is long.
 */
export function showName(name: string | Buffer): string {
  const text = typeof name === 'string' ? name : name.toString('utf8')
  const cut = text.length > 160 ? `${text.slice(0, 160)}…` : text
  return `"${cut.replaceAll(/["\\\p{C}\p{Zl}\p{Zp}\ufffd]/gu, escapeCharacter)}"`
}

function escapeCharacter(character: string): string {
  if (character === '"' || character === '\\') return `\\${character}`
  if (character === '\n') return '\\n'
  return `\\u{${(character.codePointAt(0) as number).toString(16)}}`
}
