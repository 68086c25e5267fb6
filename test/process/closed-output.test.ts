/** What becomes of a command whose reader has gone away, as `| head` does. */
import { spawn, spawnSync } from 'node:child_process'
import { closeSync, constants, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeAll, beforeEach, expect, it } from 'vitest'
import { ensureBuilt, root } from './built.js'

beforeAll(ensureBuilt, 60_000)
let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-test-'))
  mkdirSync(join(folder, 'web'))
  writeFileSync(join(folder, 'web/holdfast.toml'), 'app = "shop"\ncommand = ["./server"]\n')
})
afterEach(() => rmSync(folder, { recursive: true }))

/** A pipe that nobody reads any more: each write to it fails. */
function openDeadPipe(): number {
  const pipe = join(mkdtempSync(join(folder, 'pipe-')), 'pipe')
  spawnSync('mkfifo', [pipe])
  const reader = openSync(pipe, constants.O_RDWR)
  const writer = openSync(pipe, constants.O_WRONLY)
  closeSync(reader)
  return writer
}

function run(how: string, ...words: string[]): Promise<number | null> {
  const dead = openDeadPipe()
  const child = spawn(process.execPath, [join(root, 'dist/cli/main.js'), ...words], {
    cwd: folder, stdio: ['ignore', dead, dead],
    env: {
      ...process.env, HOME: folder, XDG_RUNTIME_DIR: folder, XDG_STATE_HOME: folder, XDG_CONFIG_HOME: folder,
      HOLDFAST_SSH: `${process.execPath} ${join(root, 'test/process/stub-ssh.mjs')}`, STUB_SSH: how, STUB_SEEN: join(folder, 'seen'),
    },
  })
  closeSync(dead)
  return new Promise((resolve) => child.on('exit', resolve))
}

it.each([['live', 0], ['failed', 1], ['lost', 1], ['busy', 2]])('a deploy that is followed and %s ends with status %i', async (how, status) => {
  expect(await run(how, 'deploy', 'web', '--to', 'h')).toBe(status)
})
it('the deploy itself goes on, and fails as it would have', async () => {
  expect(await run('', '--user', 'deploy-run', 'shop', '20261121-103100-3fa9c1')).toBe(1)
})
it('what only prints ends as it would have', async () => {
  expect(await run('', 'check', 'web/holdfast.toml')).toBe(0)
  writeFileSync(join(folder, 'web/holdfast.toml'), 'app = "shop"\n')
  expect(await run('', 'check', 'web/holdfast.toml')).toBe(2)
})
