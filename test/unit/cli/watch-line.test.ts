import { expect, it } from 'vitest'
import { cutLine, cutText, lineWidth, padText, renderLine, textWidth, wrapText } from '../../../src/cli/terminal-line.js'
import { clockWords, latencyWords, rateWords, shortSpan } from '../../../src/cli/watch-words.js'

it.each([
  ['shop', 4], ['', 0], ['日本', 4], ['한국', 4], ['ｆｕｌｌ', 8], ['é', 1], ['e\u0301', 1], ['👍', 2], ['👩‍👩‍👧', 2], ['❤️', 2], ['…', 1], ['a\u200bb', 2],
])('%s is %i columns wide', (text, width) => expect(textWidth(text)).toBe(width))

it.each([
  ['shop', 4, 'shop'], ['shops', 4, 'sho…'], ['日本語', 6, '日本語'], ['日本語', 5, '日本…'], ['日本語', 4, '日…'], ['日本語', 2, '…'], ['日本語', 1, '…'], ['shop', 0, ''], ['👩‍👩‍👧ab', 3, '👩‍👩‍👧…'], ['a word', 3, 'a…'],
])('%s in %i columns is %s', (text, columns, cut) => {
  expect(cutText(text, columns)).toBe(cut)
  expect(textWidth(cutText(text, columns))).toBeLessThanOrEqual(columns)
})

it('a line is cut between and inside its spans', () => {
  const line = [{ text: 'ab', style: 'bold' }, { text: '日本' }, { text: 'cd' }] as const
  const cut = (columns: number): string => renderLine(cutLine(line, columns), { colour: false })
  expect([8, 7, 6, 5, 4, 3, 2, 1, 0].map(cut)).toEqual(['ab日本cd', 'ab日本…', 'ab日…', 'ab日…', 'ab…', 'ab…', 'a…', '…', ''])
  for (let columns = 0; columns < 9; columns += 1) expect(lineWidth(cutLine(line, columns))).toBeLessThanOrEqual(columns)
})

it('text is padded and wrapped by its width', () => {
  expect([padText('日', 4), padText('日', 4, 'right'), padText('long', 2)]).toEqual(['日  ', '  日', 'long'])
  expect(wrapText('one two three', 7)).toEqual(['one two', 'three'])
  expect(wrapText('/a/very/long/path here', 8)).toEqual(['/a/very/', 'long/pat', 'h here'])
  expect(wrapText('日本語', 4)).toEqual(['日本', '語'])
  expect(wrapText('日', 1)).toEqual(['日'])
})

it('numbers are as short as they can be', () => {
  expect([0, 59_400, 99_000, 100_000, 5_999_000, 7_200_000, 86_400_000 * 5].map(shortSpan)).toEqual(['0 s', '59 s', '99 s', '1 min', '99 min', '2 h', '5 d'])
  expect([undefined, 0, 0.04, 0.25, 9.94, 9.96, 1234.4].map(rateWords)).toEqual(['-', '0', '<0.1', '0.3', '9.9', '10', '1234'])
  expect([null, 0.04, 9.94, 12.4, 999, 1000, 9_900, 30_000, 600_000].map(latencyWords)).toEqual(['-', '0.0 ms', '9.9 ms', '12 ms', '999 ms', '1.0 s', '9.9 s', '30 s', '10 min'])
  const today = new Date(2026, 0, 2, 12).getTime()
  expect([clockWords(today, today), clockWords(new Date(2026, 0, 1, 8, 30).getTime(), today)]).toEqual(['12:00:00', '01-01 08:30'])
})
