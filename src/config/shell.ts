import { escapeControl } from './quote.js'

/** A word for a shell, in single quotes, where nothing is expanded. @throws Error for a NUL, which no argument holds */
export function quoteWord(word: string): string {
  if (word.includes('\0')) throw new Error('a NUL cannot stand in an argument')
  return `'${word.replaceAll("'", `'\\''`)}'`
}

/** A word of a command that people read and paste: in quotes only where a shell would make something else of it. */
export const shellWord = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : quoteWord(word))

/**
 * A word of a hint that somebody else chose (an address, a name, a branch): as `shellWord`, and what a terminal would act on is
 * escaped.
 */
export const shellText = (word: string): string => shellWord(escapeControl(word))
