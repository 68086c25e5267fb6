import { join } from 'node:path'
import { parse } from 'smol-toml'
import { isPlainlySource } from '../deploy/source-of.js'
import { appNamePattern } from '../config/names.js'
import { readConfigFile } from '../config/read-file.js'
import { HoldfastError } from '../errors.js'
import { installedApps } from '../release/manifest.js'
import type { Places } from '../release/paths.js'

/**
 * The app that a command without a name is about: the one that ./holdfast.toml names, else the only one installed.
 * @throws HoldfastError `usage`
 */
export function chooseApp(places: Places, cwd = process.cwd()): string {
  const named = nameInFolder(cwd)
  const apps = installedApps(places).sort()
  if (named !== undefined && apps.includes(named)) return named
  if (apps.length === 1 && named === undefined) return apps[0] as string
  if (named !== undefined) throw new HoldfastError('usage', `${join(cwd, 'holdfast.toml')} names the app ${named}, which is not installed`, { hint: 'holdfast install' })
  throw new HoldfastError('usage', apps.length === 0 ? 'no app is installed' : `which app? Installed are ${apps.join(', ')}`, {
    hint: apps.length === 0 ? 'in the folder of one: holdfast init, then: holdfast install' : 'name it: holdfast COMMAND APP',
  })
}

/** What [APP] [SOURCE] mean. */
export interface DeployWords {
  /** Undefined: see `chooseApp`. */
  app: string | undefined
  /** Undefined: the app's usual one. */
  source: string | undefined
}

/**
 * Tells the app from the source. Pure but for `exists`.
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
  if (!exists(first)) {
    // No such path: whatever it is meant to be, it is called as an app is.
    return appNamePattern.test(first) ? { app: first, source: undefined } : { app: undefined, source: first }
  }
  if (!apps.includes(first)) return { app: undefined, source: first }
  throw new HoldfastError('usage', `${first} is an app, and lies here as well`, { hint: `holdfast deploy ${first} ./${first}   # or, from its usual source: (cd / && holdfast deploy ${first})` })
}

/** The `app` of a folder's holdfast.toml, whatever else is in it. */
export function nameInFolder(folder: string): string | undefined {
  try {
    const { app } = parse(readConfigFile(join(folder, 'holdfast.toml')) ?? '')
    return typeof app === 'string' && appNamePattern.test(app) ? app : undefined
  } catch {
    return undefined
  }
}
