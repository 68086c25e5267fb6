import { expect, it } from 'vitest'
import { unitOptions } from '../../../src/cli/logs.js'
import { waitText } from '../../../src/cli/stop.js'
import { alignRows, bytesWords, spanWords } from '../../../src/cli/words.js'
import { plainText } from '../../../src/deploy/foreign-text.js'
import { notifyPattern } from '../../../src/units/names.js'
import { parseProperties } from '../../../src/systemd/systemctl.js'
import { instance } from './observed.js'

it.each([[0, '0 s'], [-5, '0 s'], [59_400, '59 s'], [59_600, '1 min'], [3_599_000, '59 min'], [7_500_000, '2 h 5 min'], [7_200_000, '2 h'], [90_000_000, '1 d 1 h']])(
  '%i ms are %s', (ms, text) => expect(spanWords(ms)).toBe(text),
)

it.each([[0, '0.0K'], [729_088, '712.0K'], [47_500_000, '45.3M'], [2 ** 30, '1.0G'], [2 ** 50, '1024.0T']])(
  '%i bytes are %s', (bytes, text) => expect(bytesWords(bytes)).toBe(text),
)

it('a table has no blanks at the ends of its lines', () => {
  expect(alignRows([['a', 'long', ''], ['bcd', 'x', 'y']])).toEqual(['a    long', 'bcd  x     y'])
})

it('an app cannot write to the terminal by its status', () => {
  expect(plainText('a\u001b]0;x\u0007\nb\u202e c')).toBe('a ]0;x b  c')
})

it('the journal is asked for exact units, and never for another app’s', () => {
  const units = ['shop.service', 'shop-drain.service', 'shop-http.socket', 'shop@.service'].map((name) => ({ name, text: '' }))
  const manifest = { version: 1 as const, app: 'shop', node: '', cli: '', homePaths: [], units, files: [] }
  expect(unitOptions(manifest, 'system')).toEqual(['--unit=shop.service', '--unit=shop-drain.service', '--unit=shop-http.socket', '--unit=shop@*.service', '--unit=system-shop.slice', '--unit=shop-deploy.service', '--unit=shop-hook.service',
    '--unit=shop-expiry.service', '--unit=shop-health-[0-9]*.[0-9]*.service', `--unit=${notifyPattern('shop')}`,
  ])
  expect(unitOptions(manifest, 'user')).toEqual(expect.arrayContaining(['--user-unit=shop@*.service', '--user-unit=app-shop.slice']))
  // Not below the slice of `shop`.
  expect(unitOptions({ ...manifest, app: 'shop-admin' }, 'system')).toContain('--unit=system-shop\\x2dadmin.slice')
})

it('a stop says what it waits for', () => {
  expect(waitText('shop', [])).toBe('Stopping shop')
  expect(waitText('shop', [instance(2, { status: 'draining: 1 request' }), instance(1)])).toBe('Stopping shop: 2 instances drain: 2.1 waits for 1 request; 1.1')
})

it('properties of several values keep them all', () => {
  expect(parseProperties('Listen=a (Stream)\nListen=b (Stream)\nX=y=z\n', ['Listen', 'X', 'Gone'])).toEqual({ Listen: 'a (Stream)\nb (Stream)', X: 'y=z', Gone: '' })
})
