import { expect, it } from 'vitest'
import { hasPreload } from '../../../src/config/preload.js'

it.each<[command: string[], env: Record<string, string>, expected: boolean]>([
  [['node', '--import', 'holdfast/register', 'server.js'], {}, true],
  [['/usr/bin/node', '--import=holdfast/register', 'server.js'], {}, true],
  [['node', '--import', 'tsx', '--enable-source-maps', '--import', 'holdfast/register', 'server.ts'], {}, true],
  [['node', '--title', 'shop', '-r', '/opt/holdfast/dist/runtime/register.js', 'server.js'], {}, true],
  [['node', '--import', 'file:///srv/shop/node_modules/holdfast/dist/runtime/register.js', 'server.js'], {}, true],
  [['node', '--import', './node_modules/holdfast/dist/runtime/register.js', 'server.js'], {}, true],
  [['node', 'server.js'], { NODE_OPTIONS: '--enable-source-maps --import holdfast/register' }, true],
  [['./node_modules/.bin/next', 'start'], { NODE_OPTIONS: '--import=holdfast/register' }, true],
  [['node', 'server.js'], {}, false],
  [['node', '--import', 'other/register', 'server.js'], {}, false],
  // Another project's own module of that name.
  [['node', '--import', './dist/runtime/register.js', 'server.js'], {}, false],
  // An argument of the app's.
  [['node', 'server.js', '--import', 'holdfast/register'], {}, false],
  [['node', '--title', '--import', 'holdfast/register'], {}, false],
  [['python3', '--import', 'holdfast/register'], {}, false],
  [['sh', '-c', 'exec node --import holdfast/register server.js'], {}, false],
  [['node', 'server.js'], { OPTIONS: '--import holdfast/register' }, false],
])('%j with %j: %s', (command, env, expected) => {
  expect(hasPreload({ command, env })).toBe(expected)
})
