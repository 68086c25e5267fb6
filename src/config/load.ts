import { readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import type { Config } from './model.js'
import { parseConfig } from './parse.js'
import { missingFile, readConfigFile } from './read-file.js'

export { parseConfig, type ParseOptions } from './parse.js'

/** How `loadConfig` reads a file. */
export interface LoadOptions {
  /** false: a symbolic link is refused and the package.json beside it is not looked at. Default true. */
  trusted?: boolean
  /** true for /etc/holdfast/<app>.toml: a relative `directory` is refused there. Default false. */
  installed?: boolean
}

/**
 * Reads, parses and checks a configuration. A relative `directory` is taken from the file's own folder.
 * Throws one `config-invalid` that lists every problem, each with its line and its mend.
 */
export function loadConfig(file: string, { trusted = true, installed = false }: LoadOptions = {}): Config {
  const text = readConfigFile(file, { trusted })
  if (text === undefined) throw missingFile(resolve(file))
  const folder = dirname(resolve(file))
  return parseConfig(text, {
    file,
    trusted,
    ...(installed ? {} : { folder }),
    ...(trusted && !installed ? { scripts: readScripts(folder) } : {}),
  })
}

/** `scripts` of the package.json in a folder; none where it is missing or malformed. */
export function readScripts(folder: string): Record<string, string> {
  try {
    const { scripts } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { scripts?: unknown }
    if (typeof scripts !== 'object' || scripts === null) return {}
    return Object.fromEntries(Object.entries(scripts).filter((entry): entry is [string, string] => typeof entry[1] === 'string'))
  } catch {
    return {}
  }
}
