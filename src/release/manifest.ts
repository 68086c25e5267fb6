import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { HoldfastError } from '../errors.js'
import { writeDurably } from './durable-file.js'
import { pathsOf, type AppPaths, type Places } from './paths.js'

/** What `install` wrote for an app: `manifest.json`. `uninstall` removes just that. */
export interface Manifest {
  version: 1
  app: string
  /** Absolute real paths, as install found them. */
  node: string
  cli: string
  /** See `Installation.homePaths`. */
  homePaths: string[]
  units: WrittenUnit[]
  /** Absolute paths of files other than units. */
  files: string[]
  /** Absolute paths of folders that systemd makes for unix sockets, outermost first. */
  folders?: string[]
}

export interface WrittenUnit {
  name: string
  text: string
  /** What stood there before, should an install have been cut off between the manifest and the unit. */
  previous?: string
}

const manifestFile = (paths: AppPaths): string => join(paths.state, 'manifest.json')

/** Undefined where the app is not installed. */
export function readManifest(paths: AppPaths): Manifest | undefined {
  const file = manifestFile(paths)
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Manifest
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new HoldfastError('state-corrupt', `${file} cannot be read: ${(error as Error).message}`, {
      hint: `Remove ${file} and the units of ${paths.app} in ${paths.units}, then install again.`,
      cause: error,
    })
  }
}

export function writeManifest(paths: AppPaths, manifest: Manifest): void {
  writeDurably(manifestFile(paths), `${JSON.stringify(manifest, null, 2)}\n`)
}

/** The names of the apps that are installed in a scope. */
export function installedApps(places: Places): string[] {
  let names: string[]
  try {
    names = readdirSync(places.state)
  } catch {
    return []
  }
  return names.filter((name) => {
    try {
      readFileSync(manifestFile(pathsOf(places, name)))
      return true
    } catch {
      return false
    }
  })
}
