import { listOf, type Check } from './check.js'
import { splitWords } from './shell-words.js'
import { findSocketLoss } from './socket-loss.js'
import { quote, tomlList } from './quote.js'

const example = 'command = ["node", "server.js"]'

/** A line to paste; a long one would bury the message. */
function showLine(key: string, argv: string[], instead: string): string {
  const shown = `${key} = ${tomlList(argv)}`
  return shown.length > 500 ? instead : shown
}

const showCommand = (argv: string[]): string => showLine('command', argv, example)

const word: Check<string> = (value, site) => {
  if (typeof value !== 'string') return site.report(`expected a string, got ${quote(value)}${mendWord(value)}`)
  if (value.includes('\0')) return site.report('has a NUL in it, which no program can be given: remove it')
  return value
}

/** A program and its arguments, which no shell splits; `example` is a line of `key` to write instead. */
export function argumentVector(key: string, example: string): Check<string[]> {
  const words = listOf(word, example)
  return (value, site) => {
    const argv = words(value, site)
    if (argv === undefined) return undefined
    const program = argv[0]
    if (program === undefined) return site.report(`names no program: write ${example}`)
    const problem = checkProgram(program, key, example)
    return problem === undefined ? argv : site.report(problem)
  }
}

const commandVector = argumentVector('command', example)

/** The argument vector: a program that keeps the inherited sockets, and its arguments; no shell is involved. */
export const commandLine: Check<string[]> = (value, site) => {
  if (typeof value === 'string') {
    const split = splitWords(value)
    if (split === undefined || split.length === 0) return site.report(`expected a list of strings, got one string; there is no shell that would split it: write ${example}`)
    const loss = findSocketLoss(split, site.context.scripts)
    const direct = loss === undefined ? split : loss.instead
    const mend = direct === undefined ? example : showCommand(direct)
    return site.report(`expected a list of strings, got one string; there is no shell that would split it: write ${mend}`)
  }
  const argv = commandVector(value, site)
  if (argv === undefined) return undefined
  const loss = findSocketLoss(argv, site.context.scripts)
  if (loss !== undefined) {
    const mend = loss.instead === undefined ? loss.mend ?? `start the program itself, such as ${example}` : `write ${showCommand(loss.instead)}`
    return site.report(`${loss.reason}: ${mend}`)
  }
  return argv
}

function checkProgram(program: string, key: string, example: string): string | undefined {
  if (program === '') return `names no program, its first word is empty: write ${example}`
  if (/\p{Cc}/u.test(program)) return `the program ${quote(program)} has control characters in it: use a plain name`
  if (!/^[\p{L}\p{N}_./]/u.test(program)) return `the program ${quote(program)} begins with a character that systemd would take for one of its own: write its plain name or path`
  if (program.startsWith('~')) return `the program ${quote(program)}: ~ is the shell's; write the path out`
  if (program.endsWith('/')) return `the program ${quote(program)} is a folder: name the program in it`
  if (!program.startsWith('/') && leavesFolder(program)) return `the program ${quote(program)} is outside the release directory: write an absolute path`
  if (/\s/.test(program) && splitWords(program) !== undefined && !program.includes('/')) {
    return `the program ${quote(program)} has a space in it; each argument is a string of its own: write ${showLine(key, splitWords(program) ?? [], example)}`
  }
  return undefined
}

function leavesFolder(path: string): boolean {
  let depth = 0
  for (const part of path.split('/')) {
    if (part === '..') depth -= 1
    else if (part !== '' && part !== '.') depth += 1
    if (depth < 0) return true
  }
  return false
}

function mendWord(value: unknown): string {
  return typeof value === 'number' || typeof value === 'boolean' ? `: put quotes around it, "${value}"` : ''
}
