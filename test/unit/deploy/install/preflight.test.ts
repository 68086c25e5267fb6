import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { checkManager, checkRunning, type Machine } from '../../../../src/deploy/install/preflight.js'
import { HoldfastError } from '../../../../src/errors.js'

let root: string
beforeEach(() => { root = mkdtempSync(join(tmpdir(), 'machine-')) })
afterEach(() => rmSync(root, { recursive: true }))

const machine = (uid: number, env: NodeJS.ProcessEnv = {}): Machine => ({ root, uid, env })

function refusal(act: () => void): HoldfastError {
  try {
    act()
  } catch (error) {
    if (error instanceof HoldfastError) return error
  }
  throw new Error('it was not refused')
}

it('needs a machine that systemd has booted', () => {
  for (const scope of ['system', 'user'] as const) {
    const { message, hint, code } = refusal(() => checkManager(scope, machine(0)))
    expect({ message, code }).toEqual({ message: 'systemd does not run here: /run/systemd/system is missing', code: 'machine-unfit' })
    expect(hint).toContain('holdfast render shows the units anywhere')
  }
})

it('needs root for the system’s apps, but not to look', () => {
  mkdirSync(join(root, 'run/systemd/system'), { recursive: true })
  expect(() => checkManager('system', machine(0))).not.toThrow()
  expect(refusal(() => checkManager('system', machine(1000))).message).toMatch(/needs root/)
  expect(() => checkRunning('system', machine(1000))).not.toThrow()
})

it('needs a manager of the user’s, where XDG_RUNTIME_DIR or else the uid says', () => {
  mkdirSync(join(root, 'run/systemd/system'), { recursive: true })
  expect(refusal(() => checkManager('user', machine(1000))).hint).toMatch(/enable-linger/)
  mkdirSync(join(root, 'run/user/1000/systemd/private'), { recursive: true })
  expect(() => checkManager('user', machine(1000))).not.toThrow()
  expect(() => checkManager('user', machine(1000, { XDG_RUNTIME_DIR: '/elsewhere' }))).toThrow(/no systemd of user 1000/)
  mkdirSync(join(root, 'elsewhere/systemd/private'), { recursive: true })
  expect(() => checkManager('user', machine(1000, { XDG_RUNTIME_DIR: '/elsewhere' }))).not.toThrow()
})
