import { describe, expect, test } from 'vitest'
import { lockScope } from '../../../src/runtime/exclusive.js'
import { lockAddress } from '../../../src/runtime/name-lock.js'

describe('lockScope', () => {
  test('is the folder of the app below its manager’s, whoever the user is', () => {
    expect(lockScope('shop', { HOLDFAST_STOP_FILE: '/run/holdfast/shop/42.1.stop' })).toBe('/run/holdfast/shop')
    expect(lockScope('shop', { HOLDFAST_STOP_FILE: '/run/user/1000/holdfast/shop/42.1.stop' })).toBe('/run/user/1000/holdfast/shop')
    expect(lockScope('shop', {})).toBe(`/${process.getuid?.()}/shop`)
  })
})

describe('lockAddress', () => {
  test('is a name that can be read, filled up to what every node makes of it', () => {
    const address = lockAddress('/run/holdfast/shop', 'nightly-report')
    expect(address.replaceAll('\0', '')).toBe('holdfast/run/holdfast/shop/nightly-report')
    expect(address.startsWith('\0')).toBe(true)
    expect(Buffer.byteLength(address)).toBe(108)
  })

  test.each([
    ['long', 'x'.repeat(500)], ['of another alphabet', 'ночной отчёт'], ['with a NUL', 'a\0'], ['with a slash', 'a/b'], ['with a line', 'a\nb'], ['empty', ''],
  ])('a name that is %s goes by its hash, and fits', (_, name) => {
    const address = lockAddress('/run/user/4294967294/holdfast/shop', name)
    expect(address).toMatch(/^\0holdfast\/run\/user\/4294967294\/holdfast\/shop\/sha256\/[0-9a-f]{40}\0*$/)
    expect(Buffer.byteLength(address)).toBe(108)
  })

  test('no two names or scopes share one', () => {
    const long = `/run/holdfast/${'a'.repeat(90)}`
    const cases: [string, string][] = [
      ['/run/holdfast/shop', 'a'], ['/run/holdfast/shop', 'b'], ['/run/holdfast/shopify', 'a'], ['/run/user/1/holdfast/shop', 'a'],
      ['/run/holdfast/shop', 'a\0'], ['/run/holdfast/shop', 'a\0\0'], ['/run/holdfast/shop', 'x'.repeat(300)], ['/run/holdfast/shop', 'x'.repeat(301)],
      [long, 'a'], [long, 'b'], [`${long}a`, 'a'], [long, 'x'.repeat(300)], [`${long}a`, 'x'.repeat(300)],
    ]
    const addresses = cases.map(([scope, name]) => lockAddress(scope, name))
    expect(new Set(addresses).size).toBe(cases.length)
    for (const address of addresses) expect(Buffer.byteLength(address)).toBe(108)
  })
})
