import { errorCodes, explainSystemError, HoldfastError } from '../errors.js'

/** One line of a command's answer. A reader that went away (`| head`) is no error: see main.ts. */
export function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

/** A value as JSON; what a terminal would act on is escaped, which changes nothing of its meaning. @param indent in blanks; absent: one line */
export const jsonText = (value: unknown, indent?: number): string =>
  JSON.stringify(value, null, indent).replace(/[\u007f-\u009f\p{Cf}\u2028\u2029]/gu, (character) =>
    // In halves, as JSON has it.
    [...Array(character.length).keys()].map((i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`).join(''))

/** Prints what went wrong and what mends it. @returns the exit status */
export function printError(thrown: unknown): number {
  const error = explainSystemError(thrown)
  if (!(error instanceof HoldfastError)) {
    process.stderr.write(`Error: ${error instanceof Error ? error.stack : String(error)}\nThis is a fault of holdfast itself; please report it.\n`)
    return 1
  }
  process.stderr.write(`Error: ${error.message}\n${error.hint === undefined ? '' : `Try: ${error.hint}\n`}`)
  return errorCodes[error.code]
}
