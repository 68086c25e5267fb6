import { readFileSync, readdirSync, realpathSync, statSync } from 'node:fs'
import { dirname, join, sep } from 'node:path'
import { describeForeign, findForeign } from './foreign.js'
import { unfit } from '../refusal.js'

/** The real paths of node and of the CLI, which the units will run as root. */
export interface Programs {
  node: string
  cli: string
  homePaths: string[]
}

export interface ProgramOptions {
  scope: 'system' | 'user'
  /** The app's source folder. */
  directory?: string
}

const homeFolders = ['/home/', '/root/', '/run/user/']

/**
 * Checks the programs that the units will run. Whoever may write one of them, or a folder on its way,
 * would be root at the next restart.
 * @throws HoldfastError `machine-unfit`
 */
export function checkPrograms(node: string, cli: string, options: ProgramOptions): Programs {
  const programs = locatePrograms(node, cli)
  checkProgram('node', programs.node, options)
  checkProgram('holdfast', programs.cli, options)
  if (options.scope === 'system') {
    for (const file of packageFiles(programs.cli)) refuseForeign('holdfast', programs.cli, describeForeign(file))
  }
  return programs
}

/** The programs, unchecked: for showing what would be. */
export function locatePrograms(node: string, cli: string): Programs {
  const programs = { node: realpathSync(node), cli: realpathSync(cli) }
  return { ...programs, homePaths: homeFolders.some((home) => programs.node.startsWith(home)) ? [dirname(dirname(programs.node))] : [] }
}

type Program = 'node' | 'holdfast'

function checkProgram(what: Program, path: string, { scope, directory }: ProgramOptions): void {
  if (/[\s"'$%\\]/.test(path)) throw unfit(`${what} is at ${JSON.stringify(path)}, which a unit cannot name safely`, moveHint(what))
  if (path.includes(`${sep}_npx${sep}`)) throw unfit(`${what} runs from npx's cache (${path}), which npm empties`, moveHint(what))
  if (directory !== undefined && isBelow(path, realFolder(directory))) {
    throw unfit(`${what} is at ${path}, inside the app's own folder: pushing code would change what ${scope === 'system' ? 'root' : 'the units'} run${scope === 'system' ? 's' : ''}`, moveHint(what))
  }
  if (scope === 'system') refuseForeign(what, path, findForeign(path))
}

function refuseForeign(what: Program, path: string, foreign: string | undefined): void {
  if (foreign !== undefined) throw unfit(`${what} is at ${path}, and ${foreign}: whoever that is would be root at the next restart`, moveHint(what))
}

/** All that the CLI loads: its own package, and the packages it depends on, where npm has put them. */
function packageFiles(cli: string): string[] {
  const own = dirname(dirname(dirname(cli)))
  const packages = findDependencies(own, [dirname(own)])
  // Who may write to `node_modules`, or to a scope in it, may put another package in the place of one.
  const around = new Set([...packages].flatMap((folder) => [dirname(folder), dirname(dirname(folder))]))
  const folders = [join(own, 'dist'), join(own, 'units'), ...packages]
  return [own, join(own, 'package.json'), ...around, ...folders.flatMap((folder) => [folder, ...listBelow(folder)])]
}

/**
 * The folders of the packages that this one needs, and those need, as its package.json says: each in
 * `node_modules` of the package itself, or in that of one around it. Optional ones may be missing.
 */
function findDependencies(folder: string, modulesAround: readonly string[], found = new Set<string>()): Set<string> {
  const { dependencies, optionalDependencies } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Record<string, object | undefined>
  const modules = [join(folder, 'node_modules'), ...modulesAround]
  for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
    const place = modules.map((at) => join(at, name)).find((at) => statSync(at, { throwIfNoEntry: false })?.isDirectory())
    if (place === undefined || found.has(place)) continue
    found.add(place)
    findDependencies(place, modules, found)
  }
  return found
}

function listBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    return entry.isDirectory() ? [path, ...listBelow(path)] : [path]
  })
}

function moveHint(what: Program): string {
  return what === 'holdfast' ? 'as root: npm install --global holdfast, and run that one' : 'install node for all users, such as by the package nodejs, and run holdfast with it'
}

const isBelow = (path: string, folder: string): boolean => path.startsWith(folder.endsWith(sep) ? folder : folder + sep)

function realFolder(folder: string): string {
  try {
    return realpathSync(folder)
  } catch {
    return folder
  }
}
