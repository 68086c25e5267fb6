import { chmodSync, mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import type { AppPaths } from './paths.js'

/**
 * Makes /run/holdfast/<app>, which instances look into: open to all, whatever the umask of who makes it, and whoever did. An
 * instance that is started by hand after a reboot has systemd make it on the way to the private sockets, for root alone; the app's
 * user would not see there that it is held back.
 */
export function makeRunFolder(paths: AppPaths): void {
  mkdirSync(paths.run, { recursive: true, mode: 0o755 })
  for (const folder of [dirname(paths.run), paths.run]) {
    if ((statSync(folder).mode & 0o777) !== 0o755) chmodSync(folder, 0o755)
  }
}
