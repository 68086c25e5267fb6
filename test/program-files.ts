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
  const files = {
    'holdfast/package.json': '{ "dependencies": { "commander": "1" }, "optionalDependencies": { "not-there": "1" } }',
    'holdfast/units/app.service': '',
    'commander/package.json': '{ "dependencies": { "@scope/below": "1" } }',
    'commander/index.js': '',
    '@scope/below/package.json': '{ "dependencies": { "commander": "1" } }',
  }
  for (const [file, text] of [[node, ''], [cli, ''], ...Object.entries(files).map(([path, text]) => [join(folder, 'lib', path), text])] as [string, string][]) {
    mkdirSync(dirname(file), { recursive: true, mode: 0o755 })
    writeFileSync(file, text)
  }
  return { folder, node, cli }
}
