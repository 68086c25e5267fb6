import { describe, expect, it } from 'vitest'
import { commandWord, listWord, plainValue, timeSpan } from '../../../src/units/escape.js'

describe('a word of a command line', () => {
  it.each([
    ['/usr/bin/node', '"/usr/bin/node"'],
    ['', '""'],
    ['two words', '"two words"'],
    ['100%', '"100%%"'],
    ['%n', '"%%n"'],
    ['$HOME', '"$$HOME"'],
    ['${HOME}', '"$${HOME}"'],
    ['say "hi"', '"say \\"hi\\""'],
    ["it's", '"it\'s"'],
    ['back\\slash', '"back\\\\slash"'],
    ['ends in \\', '"ends in \\\\"'],
    ['a\nExecStartPost=/bin/evil', '"a\\x0aExecStartPost=/bin/evil"'],
    ['tab\there', '"tab\\x09here"'],
    ['; rm', '"; rm"'],
    ['-x', '"-x"'],
    ['žluťoučký', '"žluťoučký"'],
  ])('%j', (value, expected) => {
    expect(commandWord(value)).toBe(expected)
  })

  it('refuses a NUL', () => {
    expect(() => commandWord('a\0b')).toThrow(/NUL/)
  })
})

it('leaves $ alone in a list of words, where it means nothing', () => {
  expect(listWord('/srv/$x %y')).toBe('"/srv/$x %%y"')
})

describe('a plain value', () => {
  it.each([
    ['127.0.0.1:8080', '127.0.0.1:8080'],
    ['/run/a b/c', '/run/a b/c'],
    ['50% off', '50%% off'],
    ['a "quoted" word', 'a "quoted" word'],
  ])('%j', (value, expected) => {
    expect(plainValue(value)).toBe(expected)
  })

  it.each(['', 'a\nb', 'a\rb', 'a\0b', ' a', 'a ', 'a\\', 'a\u001bb'])('refuses %j', (value) => {
    expect(() => plainValue(value)).toThrow(/cannot stand in a unit file/)
  })
})

it.each([
  [60_000, '60s'],
  [1_500, '1500ms'],
  [0, '0s'],
  [905_000, '905s'],
])('writes %i ms as a time span', (ms, expected) => {
  expect(timeSpan(ms)).toBe(expected)
})
