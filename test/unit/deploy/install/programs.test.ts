import { mkdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { checkPrograms, locatePrograms } from '../../../../src/deploy/install/programs.js'
import { makeProgramFiles } from '../../../program-files.js'

let folder: string
let node: string
let cli: string

beforeEach(() => {
  ({ folder, node, cli } = makeProgramFiles())
})

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
