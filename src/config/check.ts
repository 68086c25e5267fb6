import type { KeyPath } from './source-lines.js'
import { quote } from './quote.js'
import { explainUnknownKey, findClosest } from './unknown-key.js'

/** What is wrong, where, and its mend, in one sentence. */
export interface Problem {
  path: KeyPath
  message: string
}

/** What checkers may know besides the value. */
export interface CheckContext {
  /** Relative folders are resolved against it; absent: they are refused. */
  folder: string | undefined
  /** `scripts` of the package.json beside the file, for better suggestions. */
  scripts: Record<string, string>
}

/** A place in the file that a checker looks at, and reports to. */
export class Site {
  constructor(
    readonly path: KeyPath,
    readonly context: CheckContext,
    readonly problems: Problem[],
  ) {}

  at(key: string | number): Site {
    return new Site([...this.path, key], this.context, this.problems)
  }

  /** Returns undefined, as a checker does that has reported a problem. */
  report(message: string): undefined {
    this.problems.push({ path: this.path, message })
    return undefined
  }
}

/** Turns a value of the file into one of the configuration; undefined exactly when it reported a problem. */
export type Check<T> = (value: unknown, site: Site) => T | undefined

/** May be absent. */
export interface OptionalKey<T> {
  presence: 'optional'
  check: Check<T>
}
/** When absent, `fallback` is checked in its place, as if it stood in the file. */
export interface DefaultKey<T> {
  presence: 'default'
  check: Check<T>
  fallback: unknown
}
/** Must be there; `mend` says what to add. */
export interface RequiredKey<T> {
  presence: 'required'
  check: Check<T>
  mend: string
}
export type Key<T> = OptionalKey<T> | DefaultKey<T> | RequiredKey<T>

export type Shape = Record<string, Key<any>>
export type ValuesOf<S extends Shape> = {
  [K in keyof S]: S[K] extends OptionalKey<infer T> ? T | undefined : S[K] extends Key<infer T> ? T : never
}

/** A checker of tables that keeps the shape it was made of, so that the documentation can be held against it. */
export interface TableCheck<S extends Shape> extends Check<ValuesOf<S>> {
  shape: S
}

export const optional = <T>(check: Check<T>): OptionalKey<T> => ({ presence: 'optional', check })
export const withDefault = <T>(check: Check<T>, fallback: unknown): DefaultKey<T> => ({ presence: 'default', check, fallback })
export const required = <T>(check: Check<T>, mend: string): RequiredKey<T> => ({ presence: 'required', check, mend })

export function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
}

/** Looking for what was meant takes time, and a file with more unknown keys than this is something else. */
const mostExplained = 50

/** A table with exactly the keys of `shape`. */
export function tableOf<S extends Shape>(shape: S): TableCheck<S> {
  const check: Check<ValuesOf<S>> = (value, site) => {
    if (!isTable(value)) return site.report(`expected a table, got ${quote(value)}: write \`[${site.path.join('.')}]\` on a line of its own, its keys below`)
    const before = site.problems.length
    const unknown = Object.keys(value).filter((key) => !Object.hasOwn(shape, key))
    const explained = unknown.slice(0, mostExplained)
    for (const key of explained) site.at(key).report(explainUnknownKey(site.path, key, Object.keys(shape)))
    for (const key of unknown.slice(mostExplained)) site.at(key).report('unknown key: remove it')
    // A key that is there under a slip of the finger is not missing besides.
    const misspelt = new Set(explained.map((key) => findClosest(key, Object.keys(shape))))
    const entries = Object.entries(shape).map(([key, spec]) => [
      key,
      spec.presence === 'required' && misspelt.has(key) && !Object.hasOwn(value, key) ? undefined : checkKey(spec, key, value, site),
    ])
    return site.problems.length === before ? (Object.fromEntries(entries) as ValuesOf<S>) : undefined
  }
  return Object.assign(check, { shape })
}

function checkKey(spec: Key<unknown>, key: string, table: Record<string, unknown>, site: Site): unknown {
  if (Object.hasOwn(table, key)) return spec.check(table[key], site.at(key))
  switch (spec.presence) {
    case 'optional':
      return undefined
    case 'default':
      return spec.check(spec.fallback, site.at(key))
    case 'required':
      return site.report(`\`${key}\` is missing: ${spec.mend}`)
  }
}

/** A list whose elements all pass `element`. */
export function listOf<T>(element: Check<T>, example: string): Check<T[]> {
  return (value, site) => {
    if (!Array.isArray(value)) return site.report(`expected a list, got ${quote(value)}: write ${example}`)
    const before = site.problems.length
    const checked = value.map((item, index) => element(item, site.at(index)))
    return site.problems.length === before ? (checked as T[]) : undefined
  }
}

/** A list without doubles, in the order of the file. */
export function setOf(element: Check<string>, example: string): Check<string[]> {
  const check = listOf(element, example)
  return (value, site) => {
    const list = check(value, site)
    return list && [...new Set(list)]
  }
}

export const trueOrFalse: Check<boolean> = (value, site) =>
  typeof value === 'boolean' ? value : site.report(`expected true or false (without quotes), got ${quote(value)}`)

/** A whole number between two bounds, both allowed. */
export function wholeNumber(lowest: number, highest: number): Check<number> {
  return (value, site) =>
    typeof value === 'number' && Number.isInteger(value) && value >= lowest && value <= highest
      ? value
      : site.report(`expected a whole number from ${lowest} to ${highest} (without quotes), got ${quote(value)}`)
}

export function oneOf<const T extends string>(...words: T[]): Check<T> {
  return (value, site) =>
    words.includes(value as T) ? (value as T) : site.report(`expected ${words.map((word) => `"${word}"`).join(', ')}, got ${quote(value)}`)
}

/** A string that matches; `expected` says what that is, with an example. */
export function matching(pattern: RegExp, expected: string): Check<string> {
  return (value, site) =>
    typeof value === 'string' && pattern.test(value) ? value : site.report(`expected ${expected}, got ${quote(value)}`)
}
