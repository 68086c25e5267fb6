import { escapeControl } from './quote.js'

/**
 * A word as it is pasted into a shell: as it is where it is plain, else in single quotes, in which a shell expands nothing. Every
 * word of a hint that somebody else chose (an address, a name, a branch) goes through here; what a terminal would act on is escaped.
 */
export function shellText(word: string): string {
  return /^[\w./@%+=:,-]+$/.test(word) ? word : `'${escapeControl(word).replaceAll("'", `'\\''`)}'`
}
