import { expect, it } from 'vitest'
import { chooseGit } from '../../../../src/deploy/operation/last-git.js'
import type { Release } from '../../../../src/release/release.js'
import { release } from '../releases.js'

const git = (id: string, outcome: Release['outcome']): Release => release(id, { outcome, source: { kind: 'git', repository: 'ssh://git@git.example/shop.git', branch: id, commit: 'c'.repeat(40) } })

it.each<[string, Release[], string | undefined, string | undefined]>([
  ['the live one, though a later one failed', [git('main', 'good'), git('next', 'failed')], 'main', 'main'],
  ['the live one, though a newer one was good before a rollback', [git('main', 'good'), git('next', 'good')], 'main', 'main'],
  ['the last good one, where what is live is from elsewhere', [git('old', 'good'), git('main', 'good'), git('next', 'untried'), release('zip')], 'zip', 'main'],
  ['the last good one, where nothing is live', [git('main', 'good'), git('next', 'failed')], undefined, 'main'],
  ['none, where all failed', [git('next', 'failed')], undefined, undefined],
])('a deploy that names no branch takes %s', (_, releases, live, branch) => {
  expect(chooseGit(releases, live)?.branch).toBe(branch)
})
