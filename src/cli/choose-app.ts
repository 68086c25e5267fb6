import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'smol-toml'
import { appNamePattern } from '../config/names.js'
import { quote } from '../config/quote.js'
import { readConfigFile } from '../config/read-file.js'
import { isPlainlySource } from '../deploy/operation/source-of.js'
import { HoldfastError } from '../errors.js'
import { installedApps } from '../release/manifest.js'
import type { Places } from '../release/paths.js'

/**
 * The app that a command is about: the one given, else that of ./holdfast.toml, else the only one installed.
 * @throws HoldfastError `usage`
 */
export function chooseApp(given: string | undefined, places: Places): string {
  if (given !== undefined) return given
  const here = nameInFolder('.')
  if (here !== undefined) return here
  const apps = installedApps(places).sort()
  if (apps.length === 1) return apps[0] as string
  throw new HoldfastError('usage', apps.length === 0 ? 'no app is installed, and there is no holdfast.toml here' : `which app? installed: ${apps.join(', ')}`, {
    hint: apps.length === 0 ? 'holdfast install, in the folder with its holdfast.toml' : 'name one, or run this in the folder with its holdfast.toml',
  })
}

/**
 * The `app` of a folder's holdfast.toml. Its name alone counts here: whatever else is wrong in the file is for `holdfast check`.
 * @throws HoldfastError `usage` where it cannot be a name: the file may be anybody's, and the name becomes a path
 */
export function nameInFolder(folder: string): string | undefined {
  const file = join(folder, 'holdfast.toml')
  if (!existsSync(file)) return undefined
  const app = readName(file)
  if (app === undefined || appNamePattern.test(app)) return app
  throw new HoldfastError('usage', `${file} names the app ${quote(app)}, which is no app's name`, { hint: 'holdfast check' })
}

function readName(file: string): string | undefined {
  try {
    const { app } = parse(readConfigFile(file, { trusted: true }) ?? '')
    return typeof app === 'string' ? app : undefined
  } catch {
    return undefined
  }
}

/** What [APP] [SOURCE] of a deploy mean. */
export interface DeployWords {
  /** Undefined: see `chooseApp`. */
  app: string | undefined
  /** Undefined: the app's usual one. */
  source: string | undefined
}

/**
 * Tells the app from the source. Pure but for `exists`.
 * @param apps those that are installed
 * @throws HoldfastError `usage`
 */
export function readDeployWords(words: readonly string[], apps: readonly string[], exists: (path: string) => boolean): DeployWords {
  const [first, second] = words
  if (first === undefined) return { app: undefined, source: undefined }
  if (second !== undefined) {
    if (isPlainlySource(first) || !appNamePattern.test(first)) {
      throw new HoldfastError('usage', `${first} is no app's name${isPlainlySource(second) ? '' : ': the app stands before the source'}`, { hint: 'holdfast deploy APP SOURCE' })
    }
    return { app: first, source: second }
  }
  if (isPlainlySource(first)) return { app: undefined, source: first }
  // With no such path: whatever it is meant to be, it is called as an app is.
  if (!exists(first)) return appNamePattern.test(first) ? { app: first, source: undefined } : { app: undefined, source: first }
  if (!apps.includes(first)) return { app: undefined, source: first }
  throw new HoldfastError('usage', `${first} is an app, and lies here as well`, { hint: `holdfast deploy ${first} ./${first}   # or, from its usual source: (cd / && holdfast deploy ${first})` })
}
