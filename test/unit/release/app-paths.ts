import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { pathsOf, type AppPaths } from '../../../src/release/paths.js'

/** Where the app `shop` of the system's manager lies, with its state in a folder that goes when the test ends. */
export function makePaths(): AppPaths {
  const state = mkdtempSync(join(tmpdir(), 'holdfast-state-'))
  onTestFinished(() => rmSync(state, { recursive: true }))
  const paths = pathsOf({ scope: 'system', config: '/etc/holdfast', units: '/etc/systemd/system', runtimeUnits: '/run/systemd/system', state, run: '/run/holdfast' }, 'shop')
  mkdirSync(paths.state)
  return paths
}
