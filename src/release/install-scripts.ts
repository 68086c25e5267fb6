import { readdirSync, type Dirent } from 'node:fs'
import { join } from 'node:path'
import { readPackage } from './package-files.js'

/**
 * Packages whose install scripts fetch or compile a native part and look at nothing of the release. Others may read
 * it: the one of @prisma/client makes code of a schema that lies there.
 */
const selfContained = new Set([
  'argon2', 'bcrypt', 'better-sqlite3', 'bufferutil', 'canvas', 'core-js', 'core-js-pure', 'cpu-features', 'es5-ext', 'esbuild', 'fsevents', 'holdfast', 'isolated-vm',
  'lmdb', 'msgpackr-extract', 'nan', 'node-sass', 'protobufjs', 're2', 'sd-notify', 'sharp', 'sqlite3', 'ssh2', 'swc', 'systemd-journald', 'unrs-resolver', 'utf-8-validate',
  '@apollo/protobufjs', '@parcel/watcher', '@swc/core',
])

/** Why installed packages cannot be taken over for the sake of their install scripts, or undefined. */
export function findInstallScripts(nodeModules: string): string | undefined {
  for (const folder of packageFolders(nodeModules)) {
    const found = readPackage(folder)
    if (typeof found === 'string') continue
    const { name, scripts } = found
    if (typeof scripts !== 'object' || scripts === null || selfContained.has(String(name))) continue
    const script = ['preinstall', 'install', 'postinstall'].find((key) => key in scripts)
    if (script !== undefined) return `${String(name)} has ${script === 'install' ? 'an install' : `a ${script}`} script, which may read the release's files`
  }
  return undefined
}

/** The folders of packages below a node_modules, nested ones and those in a package manager's store included; links are not followed. */
function* packageFolders(nodeModules: string): Generator<string> {
  for (const entry of foldersIn(nodeModules)) {
    const folder = join(nodeModules, entry.name)
    if (entry.name.startsWith('.')) {
      // .pnpm, .bun and .store of npm and yarn.
      for (const { name } of foldersIn(folder)) {
        yield join(folder, name, 'package')
        yield* packageFolders(join(folder, name, 'node_modules'))
      }
    } else if (entry.name.startsWith('@')) {
      for (const { name } of foldersIn(folder)) yield* withNested(join(folder, name))
    } else {
      yield* withNested(folder)
    }
  }
}

function* withNested(folder: string): Generator<string> {
  yield folder
  yield* packageFolders(join(folder, 'node_modules'))
}

function foldersIn(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  } catch {
    return []
  }
}
