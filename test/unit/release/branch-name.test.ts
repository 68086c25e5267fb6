import { spawnSync } from 'node:child_process'
import { expect, it } from 'vitest'
import { isBranchName } from '../../../src/release/branch-name.js'

it.each(['main', 'feature/x-1', 'a.b', 'ä', '@x', 'a@b', 'x.locked', 'a/b.c'])('%s is a branch', (name) => {
  expect(isBranchName(name)).toBe(true)
  expect(spawnSync('git', ['check-ref-format', '--branch', name]).status).toBe(0)
})
it.each(['', 'HEAD', '-x', '.x', 'a/.b', 'a..b', 'a.lock', 'a.lock/b', '/a', 'a/', 'a//b', 'a.', 'a b', 'a~', 'a^', 'a:', 'a?', 'a*', 'a[', 'a\\', 'a@{', 'a\u007f', 'a\n'])('%j is none', (name) => {
  expect(isBranchName(name)).toBe(false)
  expect(spawnSync('git', ['check-ref-format', '--branch', name]).status).not.toBe(0)
})
it('what git takes for another name is none', () => {
  expect(isBranchName('@')).toBe(false)
})
