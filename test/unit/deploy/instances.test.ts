import { expect, it } from 'vitest'
import { hasPrivateSocket, hasStandby } from '../../../src/deploy/instances.js'
import { privateTemplate } from '../../../src/units/names.js'
import { makeApp } from './app-on-disk.js'

const preloaded = ['node', '--import', 'holdfast/register', 'server.js']
const health = { probe: { kind: 'http', path: '/healthz', host: 'localhost', tls: false }, intervalMs: 1, timeoutMs: 1, successes: 1, deadlineMs: 1 } as const

it.each([
  ['the preload', { command: preloaded, standby: true }, true],
  // Its report tells how its bake goes.
  ['the preload, and no standby', { command: preloaded, standby: false }, true],
  ['a preload that cannot be seen', { command: ['./start.sh'], standby: true }, true],
  ['another program', { command: ['./server'], standby: false }, false],
  ['another program, asked for its health', { command: ['./server'], standby: false, health }, true],
])('with %s', (_, { command, standby, ...rest }, isPrivate) => {
  const { app } = makeApp()
  const config = { ...app.config, command, start: { ...app.config.start, standby }, ...rest }
  expect(hasPrivateSocket({ ...app, units: [privateTemplate('shop')] }, config)).toBe(isPrivate)
  expect(hasStandby({ ...app, units: [privateTemplate('shop')] }, config)).toBe(standby)
  // Units of an older version.
  expect(hasPrivateSocket({ ...app, units: [] }, config)).toBe(false)
})
