import { expect, it } from 'vitest'
import { fillTemplate } from '../../../src/units/template.js'

it('puts values in', () => {
  expect(fillTemplate('A={{one}} {{two}}', { one: '1', two: '2' })).toBe('A=1 2')
})

it('leaves out a line without a value, and the comment right above it', () => {
  expect(fillTemplate('# keeps\nA=1\n# goes\n# too\nB={{none}}\nC=2', { none: undefined })).toBe('# keeps\nA=1\nC=2')
})

it('repeats a line for each value of a list', () => {
  expect(fillTemplate('# once\nA={{many}}', { many: ['1', '2'] })).toBe('# once\nA=1\nA=2')
  expect(fillTemplate('# goes\nA={{many}}\nB=1', { many: [] })).toBe('B=1')
})

it('does not fill what a value brings along', () => {
  expect(fillTemplate('A={{one}}', { one: '{{two}}', two: 'no' })).toBe('A={{two}}')
  expect(fillTemplate('A={{one}}', { one: "$& $' $1" })).toBe("A=$& $' $1")
})

it('fails on a name that nobody knows', () => {
  expect(() => fillTemplate('A={{oen}}', { one: '1' })).toThrow(/\{\{oen\}\}/)
})
