import { parse } from 'smol-toml'

/** The way to a value: table names, keys and array indices, from the top of the file. */
export type KeyPath = readonly (string | number)[]

/** Where a key stands, and the text of its value. Offsets are string indices. */
export interface SourcePlace {
  /** Counted from 1. */
  line: number
  valueStart: number
  valueEnd: number
}

/** Places of a file's keys. A key that could not be found has no place: no line rather than a wrong one. */
export interface SourceLines {
  find(path: KeyPath): SourcePlace | undefined
}

/**
 * Finds where each key, table and array element of a TOML text stands. smol-toml keeps no positions, so this
 * scans the text a second time; it relies on smol-toml having accepted it.
 */
export function findSourceLines(text: string): SourceLines {
  const places = new Map<string, SourcePlace>()
  try {
    new Scanner(text, places).scanDocument()
  } catch (error) {
    // What was found before the surprise still holds.
    if (!(error instanceof ScanSurprise)) throw error
  }
  return { find: (path) => places.get(placeKey(path)) }
}

class ScanSurprise extends Error {}

const placeKey = (path: KeyPath): string => JSON.stringify(path)

class Scanner {
  private position = 0
  private readonly lineStarts = [0]
  /** How many tables each `[[array]]` has so far. */
  private readonly tableArrays = new Map<string, number>()

  constructor(
    private readonly text: string,
    private readonly places: Map<string, SourcePlace>,
  ) {
    if (text.charCodeAt(0) === 0xfeff) this.position = 1
    for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) this.lineStarts.push(at + 1)
  }

  scanDocument(): void {
    let table: KeyPath = []
    for (;;) {
      this.skipBlank()
      if (this.position >= this.text.length) return
      if (this.text[this.position] === '[') table = this.scanHeader()
      else this.scanPair(table)
    }
  }

  private scanHeader(): KeyPath {
    const start = this.position
    const isArray = this.text.startsWith('[[', start)
    this.position += isArray ? 2 : 1
    const keys = this.scanKey(']')
    this.expect(isArray ? ']]' : ']')
    let path: (string | number)[] = []
    for (const [index, key] of keys.entries()) {
      path = [...path, key]
      const name = placeKey(path)
      const count = this.tableArrays.get(name)
      if (isArray && index === keys.length - 1) {
        this.record(path, start)
        this.tableArrays.set(name, (count ?? 0) + 1)
        path = [...path, count ?? 0]
      } else if (count !== undefined) {
        path = [...path, count - 1]
      }
      this.record(path, start)
    }
    return path
  }

  /** `a.b = value`: records `a` (unless it has a place already) and `a.b`. */
  private scanPair(table: KeyPath): void {
    const start = this.position
    const keys = this.scanKey('=')
    this.expect('=')
    this.skipSpaces()
    const path = [...table, ...keys]
    const valueStart = this.position
    this.scanValue(path)
    for (let length = table.length + 1; length < path.length; length++) {
      this.record(path.slice(0, length), start)
    }
    this.record(path, start, valueStart)
  }

  private scanKey(end: string): string[] {
    const keys: string[] = []
    for (;;) {
      this.skipSpaces()
      const character = this.text[this.position]
      if (character === '"' || character === "'") {
        const start = this.position
        this.skipString(character)
        keys.push(String(parse(`key = ${this.text.slice(start, this.position)}`)['key']))
      } else {
        const bare = /[A-Za-z0-9_-]+/y
        bare.lastIndex = this.position
        const match = bare.exec(this.text)
        if (!match) throw new ScanSurprise()
        this.position += match[0].length
        keys.push(match[0])
      }
      this.skipSpaces()
      if (this.text[this.position] === '.') this.position += 1
      else if (this.text[this.position] === end) return keys
      else throw new ScanSurprise()
    }
  }

  private scanValue(path: KeyPath): void {
    const character = this.text[this.position]
    if (character === '"' || character === "'") return this.skipString(character)
    if (character === '[') return this.scanArray(path)
    if (character === '{') return this.scanInlineTable(path)
    const plain = /[^\s,\]}#]+/y
    plain.lastIndex = this.position
    const match = plain.exec(this.text)
    if (!match) throw new ScanSurprise()
    this.position += match[0].length
    // A date and a time may have a space between them.
    if (/^\d{4}-\d\d-\d\d$/.test(match[0]) && /^ \d\d:/.test(this.text.slice(this.position, this.position + 4))) {
      this.position += 1
      this.scanValue(path)
    }
  }

  private scanArray(path: KeyPath): void {
    this.position += 1
    for (let index = 0; ; index++) {
      this.skipBlank()
      if (this.text[this.position] === ']') break
      const start = this.position
      const element = [...path, index]
      this.scanValue(element)
      this.record(element, start, start)
      this.skipBlank()
      if (this.text[this.position] === ',') this.position += 1
      else if (this.text[this.position] !== ']') throw new ScanSurprise()
    }
    this.position += 1
  }

  private scanInlineTable(path: KeyPath): void {
    this.position += 1
    for (;;) {
      this.skipBlank()
      if (this.text[this.position] === '}') break
      this.scanPair(path)
      this.skipBlank()
      if (this.text[this.position] === ',') this.position += 1
      else if (this.text[this.position] !== '}') throw new ScanSurprise()
    }
    this.position += 1
  }

  private skipString(quote: string): void {
    const multiLine = quote.repeat(3)
    if (!this.text.startsWith(multiLine, this.position)) {
      this.position += 1
      while (this.text[this.position] !== quote) this.skipCharacter(quote)
      this.position += 1
      return
    }
    this.position += 3
    while (!this.text.startsWith(multiLine, this.position)) this.skipCharacter(quote)
    this.position += 3
    // One or two quotes may stand right before the closing three.
    for (let extra = 0; extra < 2 && this.text[this.position] === quote; extra++) this.position += 1
  }

  private skipCharacter(quote: string): void {
    if (this.position >= this.text.length) throw new ScanSurprise()
    this.position += this.text[this.position] === '\\' && quote === '"' ? 2 : 1
  }

  private skipSpaces(): void {
    while (this.text[this.position] === ' ' || this.text[this.position] === '\t') this.position += 1
  }

  /** Spaces, line ends and comments. */
  private skipBlank(): void {
    const blank = /(?:[ \t\r\n]|#[^\n]*)*/y
    blank.lastIndex = this.position
    this.position += blank.exec(this.text)?.[0].length ?? 0
  }

  private expect(literal: string): void {
    if (!this.text.startsWith(literal, this.position)) throw new ScanSurprise()
    this.position += literal.length
  }

  /** The first place of a path wins: a table may be opened by a dotted key and go on further down. */
  private record(path: KeyPath, start: number, valueStart = start): void {
    const name = placeKey(path)
    if (this.places.has(name)) return
    this.places.set(name, { line: this.lineAt(start), valueStart, valueEnd: this.position })
  }

  /** Looks for the last line that starts at or before `position`, by halves. */
  private lineAt(position: number): number {
    let low = 0
    let high = this.lineStarts.length
    while (high - low > 1) {
      const middle = (low + high) >> 1
      if ((this.lineStarts[middle] ?? 0) <= position) low = middle
      else high = middle
    }
    return low + 1
  }
}
