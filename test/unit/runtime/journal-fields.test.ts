import { expect, test } from 'vitest'
import { fieldName, fieldValue, formatFields, journalFields, maxValueLength } from '../../../src/runtime/journal-fields.js'

test.each([
  ['requestId', 'REQUEST_ID'],
  ['HTTPStatus', 'HTTP_STATUS'],
  ['userID2', 'USER_ID2'],
  ['already_FINE', 'ALREADY_FINE'],
  ['with-dash and.dot', 'WITH_DASH_AND_DOT'],
  ['_hidden', 'HIDDEN'],
  ['2fast', 'F_2FAST'],
  ['größe', 'GR_SSE'],
  ['___', undefined],
  ['', undefined],
  ['x'.repeat(80), 'X'.repeat(64)],
])('field name %s', (key, name) => expect(fieldName(key)).toBe(name))

const circular: Record<string, unknown> = { a: 1 }
circular.self = circular
const shared = { n: 1 }

test.each([
  ['text', 'text'],
  ['a\u0000b', 'ab'],
  [1.5, '1.5'],
  [10n, '10'],
  [true, 'true'],
  [null, 'null'],
  [undefined, 'undefined'],
  [new Date(0), '1970-01-01T00:00:00.000Z'],
  [new Date(Number.NaN), 'Invalid Date'],
  [new Map([['k', 1]]), '{"k":1}'],
  [new Set([1, 2]), '[1,2]'],
  [Buffer.from('hi'), '6869'],
  [{ at: new Date(0), big: 1n, bytes: new Uint8Array([1, 255]) }, '{"at":"1970-01-01T00:00:00.000Z","big":"1","bytes":"01ff"}'],
  [circular, '{"a":1,"self":"[circular]"}'],
  [{ one: shared, two: shared }, '{"one":{"n":1},"two":{"n":1}}'],
  [new TypeError('broken'), 'TypeError: broken'],
  [{ cause: new Error('inner') }, '{"cause":"Error: inner"}'],
  [Symbol('s'), 'Symbol(s)'],
  [Object.create(null), '{}'],
])('value %#', (value, text) => expect(fieldValue(value)).toBe(text))

test('values that resist are marked, huge ones are cut', () => {
  const hostile = { get x(): never { throw new Error('no') } }
  expect(fieldValue({ hostile })).toBe('[unprintable]')
  expect(fieldValue('x'.repeat(maxValueLength + 5))).toBe(`${'x'.repeat(maxValueLength)}… (5 more characters)`)
})

test('fields: undefined is left out, errors add their stack and code, reserved names are moved', () => {
  const error = Object.assign(new Error('no'), { code: 'ENOENT' })
  const { ERROR_STACK: stack, ...rest } = journalFields({ error, gone: undefined, message: 'm', priority: 1, holdfastApp: 'x', messageId: 'id' })
  expect(stack).toContain('journal-fields.test.ts')
  expect(rest).toEqual({
    ERROR: 'Error: no', ERROR_CODE: 'ENOENT', FIELD_MESSAGE: 'm', FIELD_PRIORITY: '1', FIELD_HOLDFAST_APP: 'x', MESSAGE_ID: 'id',
  })
  expect(journalFields(null)).toEqual({})
  expect(journalFields('text')).toEqual({})
  expect(journalFields({ get x(): never { throw new Error('no') } })).toEqual({ X: '[unreadable]' })
})

test('fields as text', () => {
  expect(formatFields({ REQUEST_ID: 'r1', TEXT: 'two words', EMPTY: '' })).toBe(' request_id=r1 text="two words" empty=""')
})
