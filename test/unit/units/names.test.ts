import { expect, it } from 'vitest'
import { instanceUnit, parseInstance } from '../../../src/units/names.js'

it('reads back what it writes', () => {
  expect(parseInstance('shop', instanceUnit('shop', 42, 3))).toEqual({ generation: 42, process: 3 })
})

it.each(['shop@.service', 'shop@42.service', 'shop@42.1.socket', 'shopify@1.1.service', 'shop@0.1.service', 'shop@1.1.1.service', 'shop@-1.1.service', 'shop.service'])(
  'takes %s for no instance of shop',
  (unit) => {
    expect(parseInstance('shop', unit)).toBeUndefined()
  },
)
