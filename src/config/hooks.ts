import { optional, tableOf, withDefault, type Check } from './check.js'
import { argumentVector } from './command.js'
import { durationBetween } from './duration.js'
import type { HookCommand } from './model.js'
import { quote, tomlList } from './quote.js'

/** One hook: a string of one or more lines for `/bin/sh -c`, or an argument vector. `example` is a line of `key`. */
export function hookCommand(key: string, example: string): Check<HookCommand> {
  const vector = argumentVector(key, tomlLine(key, example.split(' ')))
  const mend = `write ${key} = "${example}"`
  return (value, site) => {
    if (Array.isArray(value)) {
      const argv = vector(value, site)
      return argv && { text: tomlList(argv), argv }
    }
    if (typeof value !== 'string') return site.report(`expected a command, as a string for the shell or as a list of strings, got ${quote(value)}: ${mend}`)
    // A file with the line ends of Windows: to the shell, each would be part of the last word.
    const script = value.replaceAll('\r\n', '\n')
    if (script.trim() === '') return site.report(`names no command: ${mend}, or remove it`)
    // oxlint-disable-next-line no-control-regex
    if (/[\0-\x08\x0b-\x1f\x7f]/.test(script)) return site.report('has control characters in it, of which a shell takes only a tab and a line feed: remove them')
    return { text: script.trim(), argv: ['/bin/sh', '-c', script] }
  }
}

const tomlLine = (key: string, argv: string[]): string => `${key} = ${tomlList(argv)}`

/** `[hooks]`: commands around a deploy. */
export const hooksTable = tableOf({
  install: optional(hookCommand('install', 'npm ci --omit=dev')),
  migrate: optional(hookCommand('migrate', 'npm run migrate')),
  after_drain: optional(hookCommand('after_drain', 'npm run contract')),
  timeout: withDefault(durationBetween('1s', '24h'), '15min'),
})
