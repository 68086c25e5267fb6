import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { checkUnedited } from '../../../../src/deploy/install/unedited.js'
import { findUnfinished } from '../../../../src/release/durable-file.js'
import type { Manifest, WrittenUnit } from '../../../../src/release/manifest.js'
import { pathsOf } from '../../../../src/release/paths.js'

let units: string
beforeEach(() => { units = mkdtempSync(join(tmpdir(), 'units-')) })
afterEach(() => rmSync(units, { recursive: true }))

const paths = () => pathsOf({ scope: 'system', config: units, units, runtimeUnits: '/run/systemd/system', state: units, run: units }, 'shop')
const manifest = (...written: WrittenUnit[]): Manifest => ({ version: 1, app: 'shop', node: '/n', cli: '/c', homePaths: [], units: written, files: [] })
const name = 'shop.service'
const stands = (text: string): void => writeFileSync(join(units, name), text)

it('lets pass what was written, what is about to be, and what an interrupted install found', () => {
  expect(() => checkUnedited(undefined, paths())).not.toThrow()
  expect(() => checkUnedited(manifest({ name, text: 'a\n' }), paths())).not.toThrow() // somebody removed it: it is written again
  for (const text of ['new\n', 'old\n', 'next\n']) {
    stands(text)
    expect(() => checkUnedited(manifest({ name, text: 'new\n', previous: 'old\n' }), paths(), [{ name, text: 'next\n' }])).not.toThrow()
  }
})

it('refuses anything else, with the difference and a way to keep it', () => {
  stands('[Service]\nNice=5\n')
  expect(() => checkUnedited(manifest({ name, text: '[Service]\n' }), paths())).toThrow(
    expect.objectContaining({
      code: 'unit-edited',
      message: expect.stringMatching(/shop\.service was edited since holdfast wrote it:\n--- shop\.service as written\n\+\+\+ shop\.service as found\n[^]*\n\+Nice=5$/),
      hint: expect.stringContaining('systemctl edit shop.service'),
    }) as Error,
  )
})

it('knows the temporary files of a writer that was killed, and nobody else’s', () => {
  for (const file of ['shop.service.123.new', 'shop.service', 'shop.service.new', 'shop.service.d', 'shop.service.1x.new', 'x-shop.service.1.new', 'shop.service.bak.1.new']) writeFileSync(join(units, file), '')
  expect(findUnfinished(join(units, name))).toEqual([join(units, 'shop.service.123.new')])
  expect(findUnfinished('/nowhere/at/all')).toEqual([])
})
