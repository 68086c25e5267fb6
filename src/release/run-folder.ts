import { chmodSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import type { AppPaths } from './paths.js'

/** Makes /run/holdfast/<app>, which instances look into: open to all, whatever the umask of who makes it. */
export function makeRunFolder(paths: AppPaths): void {
  const first = mkdirSync(paths.run, { recursive: true, mode: 0o755 })
  if (first === undefined) return
  for (const folder of [dirname(paths.run), paths.run]) chmodSync(folder, 0o755)
}
