import { expect, it } from 'vitest'
import { quoteWord, shellWord } from '../../../src/config/shell.js'

it.each([
  ['shop-1.2_3+a@b%c=d:e,f/g.tgz', 'shop-1.2_3+a@b%c=d:e,f/g.tgz'],
  ['', "''"],
  ['a b', "'a b'"],
  ["y$(id)'s", "'y$(id)'\\''s'"],
  ['`id`', "'`id`'"],
  ['~', "'~'"],
  ['a\nb', "'a\nb'"],
])('%j is %s for a shell', (word, text) => expect(shellWord(word)).toBe(text))
it('a NUL is no word', () => {
  expect(() => shellWord('a\0')).toThrow('NUL')
  expect(quoteWord('a')).toBe("'a'")
})
