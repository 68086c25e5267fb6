import { execFileSync } from 'node:child_process'
import { expect, it } from 'vitest'
import { commandScript, environmentFile } from '../../../src/release/instance.js'

it.each([
  [['/usr/bin/node', 'server.js']],
  [['/usr/bin/node', '--title=it\'s "here"', '$HOME', '`id`', '$(id)', '\\', '*', 'two\nlines', '', '-n', ';', '%n', 'é']],
])('starts just this command: %j', (command) => {
  const shown = execFileSync('/bin/sh', ['-c', commandScript(['/usr/bin/printf', '%s\\0', ...command])], { encoding: 'utf8' })
  expect(shown.split('\0').slice(0, -1)).toEqual(command)
})

it('refuses a NUL', () => {
  expect(() => commandScript(['a\0b'])).toThrow(/NUL/)
})

it('writes an environment file as systemd.exec(5) reads it', () => {
  expect(environmentFile([['A', 'plain'], ['B', 'a "b" \\ $c `d`'], ['C', 'two\nlines']])).toBe('A="plain"\nB="a \\"b\\" \\\\ \\$c \\`d\\`"\nC="two\nlines"\n')
})
