import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { Standby } from '../../../src/runtime/standby.js'

function makeHoldFile(): string {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-standby-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, '43.1.hold')
  writeFileSync(file, '')
  return file
}

it('is over at once where there is no hold file, or none is named, and does not begin when one comes', async () => {
  const file = makeHoldFile()
  rmSync(file)
  const standby = new Standby(file)
  writeFileSync(file, '')
  for (const one of [standby, new Standby(undefined), new Standby('')]) {
    expect(one.isHeld).toBe(false)
    await one.over()
  }
})

it('is over when its file goes, and never for a process that drains before', async () => {
  const file = makeHoldFile()
  const [before, after, other] = [new Standby(file), new Standby(file), new Standby(file)]
  const over: string[] = []
  // Its timer is the first to look.
  void before.over().then(() => over.push('asked before the drain'))
  before.giveUp()
  after.giveUp()
  void after.over().then(() => over.push('asked after it'))
  const ends = other.over().then(() => over.push('another'))
  rmSync(file)
  await ends
  expect(over).toEqual(['another'])
  expect([before.isHeld, other.isHeld]).toEqual([true, false])
})
