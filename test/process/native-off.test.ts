import { expect, test, vi } from 'vitest'

test('HOLDFAST_NATIVE=off loads neither, and says why', async () => {
  vi.stubEnv('HOLDFAST_NATIVE', 'off')
  const { loadJournald, loadSdNotify, nativeStatus } = await import('../../src/runtime/native.js')
  expect([loadSdNotify(), loadJournald()]).toEqual([undefined, undefined])
  const reason = 'HOLDFAST_NATIVE=off is set'
  expect(nativeStatus()).toEqual({ 'sd-notify': { loaded: false, reason }, 'systemd-journald': { loaded: false, reason } })
})
