import { existsSync } from 'node:fs'
import { parse } from 'smol-toml'
import { readConfigFile } from '../config/read-file.js'
import { HoldfastError } from '../errors.js'
import { installedApps } from '../release/manifest.js'
import type { Places } from '../release/paths.js'

/**
 * The app that a command is about: the one given, else that of ./holdfast.toml, else the only one installed.
 * @throws HoldfastError `usage`
 */
export function chooseApp(given: string | undefined, places: Places): string {
  if (given !== undefined) return given
  const here = appHere('holdfast.toml')
  if (here !== undefined) return here
  const apps = installedApps(places).sort()
  if (apps.length === 1) return apps[0] as string
  throw new HoldfastError('usage', apps.length === 0 ? 'no app is installed, and there is no holdfast.toml here' : `which app? installed: ${apps.join(', ')}`, {
    hint: apps.length === 0 ? 'holdfast install, in the folder with its holdfast.toml' : 'name one, or run this in the folder with its holdfast.toml',
  })
}

/** Its name alone counts here: whatever else is wrong in the file is for `holdfast check`. */
function appHere(file: string): string | undefined {
  if (!existsSync(file)) return undefined
  try {
    const { app } = parse(readConfigFile(file, { trusted: true }) ?? '')
    return typeof app === 'string' ? app : undefined
  } catch {
    return undefined
  }
}
