import { describe, expect, test } from 'vitest'
import { lockAddress } from '../../../src/runtime/name-lock.js'

describe('lockAddress', () => {
  test('is a name that can be read, filled up to what every node makes of it', () => {
    const address = lockAddress('shop', 'nightly-report', 1000)
    expect(address.replaceAll('\0', '')).toBe('holdfast/1000/shop/nightly-report')
    expect(address.startsWith('\0')).toBe(true)
    expect(Buffer.byteLength(address)).toBe(108)
  })

  test.each([
    ['long', 'x'.repeat(500)], ['of another alphabet', 'ночной отчёт'], ['with a NUL', 'a\0'], ['with a slash', 'a/b'], ['with a line', 'a\nb'], ['empty', ''],
  ])('a name that is %s goes by its hash, and fits', (_, name) => {
    const address = lockAddress('shop', name, 2 ** 32 - 2)
    expect(address).toMatch(/^\0holdfast\/4294967294\/shop\/sha256\/[0-9a-f]{40}\0*$/)
    expect(Buffer.byteLength(address)).toBe(108)
  })

  test('no two names, apps or users share one', () => {
    const cases: [string, string, number][] = [
      ['shop', 'a', 1], ['shop', 'b', 1], ['shopify', 'a', 1], ['shop', 'a', 2], ['shop', 'a\0', 1], ['shop', 'a\0\0', 1],
      ['shop', 'x'.repeat(300), 1], ['shop', 'x'.repeat(301), 1], ['a'.repeat(60), 'x'.repeat(300), 1], ['a'.repeat(61), 'x'.repeat(300), 1],
    ]
    const addresses = cases.map(([app, name, uid]) => lockAddress(app, name, uid))
    expect(new Set(addresses).size).toBe(cases.length)
    for (const address of addresses) expect(Buffer.byteLength(address)).toBe(108)
  })
})
