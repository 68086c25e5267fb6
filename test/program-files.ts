import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { onTestFinished } from 'vitest'

/** Files as a node and a package of Holdfast have them, in a folder that goes with the test. */
export function makeProgramFiles(): { folder: string; node: string; cli: string } {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'programs-')))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const node = join(folder, 'bin/node')
  const cli = join(folder, 'lib/holdfast/dist/cli/main.js')
  for (const file of [node, cli, ...['holdfast/package.json', 'holdfast/units/app.service', 'commander/index.js'].map((path) => join(folder, 'lib', path))]) {
    mkdirSync(dirname(file), { recursive: true, mode: 0o755 })
    writeFileSync(file, '')
  }
  return { folder, node, cli }
}
