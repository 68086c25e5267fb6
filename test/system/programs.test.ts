import { chmodSync, chownSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, expect, it } from 'vitest'
import { checkPrograms } from '../../src/deploy/install/programs.js'
import { makeProgramFiles } from '../program-files.js'
import './harness.js'

// Here, as only root can give files away.
let folder: string
let node: string
let cli: string

beforeEach(() => {
  ({ folder, node, cli } = makeProgramFiles())
})

const options = { scope: 'system' as const }
const change: [string, () => void, RegExp][] = [
  ['the entry is a user’s', () => chownSync(cli, 1234, 0), /main\.js belongs to user 1234: whoever that is would be root/],
  ['a folder on the way is a user’s', () => chownSync(join(folder, 'lib'), 1234, 0), /lib belongs to user 1234/],
  ['node’s folder is open to all', () => chmodSync(join(folder, 'bin'), 0o777), /node is at .*, and everybody may write to .*\/bin/],
  ['node itself is open to a group', () => { chownSync(node, 0, 1234); chmodSync(node, 0o775) }, /group 1234 may write to .*\/bin\/node/],
  ['a dependency is a user’s', () => chownSync(join(folder, 'lib/commander/index.js'), 1234, 0), /commander\/index\.js belongs to user 1234/],
  ['a dependency of a dependency is a user’s', () => chownSync(join(folder, 'lib/@scope/below/package.json'), 1234, 0), /below\/package\.json belongs to user 1234/],
  ['the scope around it is open to all', () => chmodSync(join(folder, 'lib/@scope'), 0o777), /everybody may write to .*\/@scope/],
  ['a template is open to all', () => chmodSync(join(folder, 'lib/holdfast/units/app.service'), 0o666), /everybody may write to .*app\.service/],
  ['a sticky file is no sticky folder', () => chmodSync(node, 0o1777), /everybody may write to .*\/bin\/node/],
]

it('takes what only root may change, also below a sticky folder such as /tmp', () => {
  expect(checkPrograms(node, cli, options)).toEqual({ node, cli, homePaths: [] })
  chmodSync(join(folder, 'bin'), 0o1777)
  chmodSync(join(folder, 'lib'), 0o775) // root's own group
  expect(() => checkPrograms(node, cli, options)).not.toThrow()
})

it.each(change)('refuses it where %s', (_, act, message) => {
  act()
  expect(() => checkPrograms(node, cli, options)).toThrow(message)
})
