import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { checkPrograms, locatePrograms } from '../../../src/deploy/programs.js'

let folder: string
let node: string
let cli: string

beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'programs-')))
  node = join(folder, 'bin/node')
  cli = join(folder, 'lib/holdfast/dist/cli/main.js')
  for (const file of [node, cli, join(folder, 'lib/holdfast/package.json'), join(folder, 'lib/holdfast/units/app.service'), join(folder, 'lib/commander/index.js')]) {
    mkdirSync(join(file, '..'), { recursive: true, mode: 0o755 })
    writeFileSync(file, '')
  }
})
afterEach(() => rmSync(folder, { recursive: true }))

describe('in the scope of a user', () => {
  const options = { scope: 'user' as const }

  it('the programs may be anywhere that stays', () => {
    expect(checkPrograms(node, cli, options)).toEqual({ node, cli, homePaths: [] })
  })

  it('links are followed, as it is the real path that lasts', () => {
    symlinkSync(node, join(folder, 'current'))
    expect(locatePrograms(join(folder, 'current'), cli).node).toBe(node)
  })

  it.each([
    ['.npm/_npx/1a2b/node_modules/holdfast/dist/cli/main.js', /runs from npx's cache/],
    ['a folder/main.js', /cannot name safely/],
    ['100%/main.js', /cannot name safely/],
  ])('but not at %s', (path, message) => {
    const place = join(folder, path)
    mkdirSync(join(place, '..'), { recursive: true })
    writeFileSync(place, '')
    expect(() => checkPrograms(node, place, options)).toThrow(message)
  })

  it('nor below the app’s own folder, by whatever path that is named', () => {
    symlinkSync(join(folder, 'lib'), join(folder, 'app'))
    expect(() => checkPrograms(node, cli, { ...options, directory: join(folder, 'app') })).toThrow(/inside the app's own folder/)
    expect(() => checkPrograms(node, cli, { ...options, directory: join(folder, 'li') })).not.toThrow()
    expect(() => checkPrograms(node, cli, { ...options, directory: join(folder, 'not/there') })).not.toThrow()
  })
})

it('names the part of a home folder that node needs', () => {
  // The function looks at real paths alone, so that it can be asked about this node.
  const { homePaths } = locatePrograms(process.execPath, process.execPath)
  expect(homePaths).toHaveLength(/^\/(?:home|root|run\/user)\//.test(realpathSync(process.execPath)) ? 1 : 0)
})
