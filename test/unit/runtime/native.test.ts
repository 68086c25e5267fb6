import { expect, test } from 'vitest'
import { loadJournald, loadSdNotify, nativeStatus } from '../../../src/runtime/native.js'

// Where this fails, the suite would test the fallbacks alone: install a C++ toolchain, pkg-config and libsystemd-dev, and let
// npm run the packages' install scripts.
test('both native packages are really loaded in this run', () => {
  expect(process.env.HOLDFAST_NATIVE).not.toBe('off')
  expect(nativeStatus()).toEqual({ 'sd-notify': { loaded: true }, 'systemd-journald': { loaded: true } })
  expect(loadSdNotify()?.sendState).toBeTypeOf('function')
  expect(loadJournald()?.info).toBeTypeOf('function')
})
