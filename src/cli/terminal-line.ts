/** Lines of a terminal's screen: text that is styled, measured in its columns. */

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan'
export interface Span {
  text: string
  style?: Style | undefined
}
export type Line = readonly Span[]

const codes: Record<Style, number> = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 }

/** A line as what is sent to a terminal. */
export const renderLine = (line: Line, { colour }: { colour: boolean }): string =>
  line.map(({ text, style }) => (colour && style !== undefined && text.trim() !== '' ? `\u001b[${codes[style]}m${text}\u001b[0m` : text)).join('').trimEnd()

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' })

/** Blocks whose characters are two columns wide: East_Asian_Width W and F of Unicode's EastAsianWidth.txt, coarsely. */
const wide = /^[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{16fe0}-\u{1b2ff}\u{1f200}-\u{1f2ff}\u{20000}-\u{3fffd}]/u
const emoji = /^\p{Emoji_Presentation}|\ufe0f/u
const empty = /^[\p{Mn}\p{Me}\p{Cf}\p{Cc}]+$/u

function widthOf(grapheme: string): number {
  // What most text is made of.
  if (grapheme.length === 1 && grapheme >= ' ' && grapheme <= '~') return 1
  if (empty.test(grapheme)) return 0
  return wide.test(grapheme) || emoji.test(grapheme) ? 2 : 1
}

/** The columns that a text takes. */
export function textWidth(text: string): number {
  let width = 0
  for (const { segment } of graphemes.segment(text)) width += widthOf(segment)
  return width
}

export const lineWidth = (line: Line): number => line.reduce((all, { text }) => all + textWidth(text), 0)

/** The begin of a text that is not wider than `columns`; never half of a character. */
function takeText(text: string, columns: number): string {
  let taken = ''
  let width = 0
  for (const { segment } of graphemes.segment(text)) {
    width += widthOf(segment)
    if (width > columns) break
    taken += segment
  }
  return taken
}

/** A text that is no wider than `columns`, with `…` where it was cut. */
export function cutText(text: string, columns: number): string {
  if (textWidth(text) <= columns) return text
  return columns < 1 ? '' : `${takeText(text, columns - 1).trimEnd()}…`
}

/** As `cutText`, of a line. */
export function cutLine(line: Line, columns: number): Line {
  if (lineWidth(line) <= columns) return line
  const cut: Span[] = []
  let left = columns
  for (const span of line) {
    const width = textWidth(span.text)
    if (width >= left) {
      // Something comes behind it, or it is too wide itself.
      cut.push({ ...span, text: left < 1 ? '' : `${takeText(span.text, left - 1).trimEnd()}…` })
      break
    }
    cut.push(span)
    left -= width
  }
  return cut
}

/** Text with blanks before or behind it, to a width. */
export function padText(text: string, columns: number, side: 'left' | 'right' = 'left'): string {
  const blanks = ' '.repeat(Math.max(0, columns - textWidth(text)))
  return side === 'left' ? text + blanks : blanks + text
}

/** A text in lines of at most `columns`, broken between words where that can be. */
export function wrapText(text: string, columns: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    const longer = line === '' ? word : `${line} ${word}`
    if (textWidth(longer) <= columns) {
      line = longer
      continue
    }
    if (line !== '') lines.push(line)
    line = word
    while (textWidth(line) > columns) {
      const taken = takeText(line, Math.max(1, columns))
      // A character wider than the screen is left to the cut.
      if (taken === '') break
      lines.push(taken)
      line = line.slice(taken.length)
    }
  }
  return line === '' ? lines : [...lines, line]
}
