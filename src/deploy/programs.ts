import { lstatSync, realpathSync, statSync } from 'node:fs'
import { dirname, sep } from 'node:path'
import { HoldfastError } from '../errors.js'

/** The real paths of node and of the CLI, which the units will run as root. */
export interface Programs {
  node: string
  cli: string
  homePaths: string[]
}

const homeFolders = ['/home/', '/root/', '/run/user/']

/**
 * Checks the programs that the units will run. Whoever may write one of them, or a folder on its way,
 * would be root at the next restart.
 * @throws HoldfastError `machine-unfit`
 */
export function checkPrograms(node: string, cli: string, options: { scope: 'system' | 'user'; directory?: string }): Programs {
  const programs = { node: realpathSync(node), cli: realpathSync(cli) }
  for (const [what, path] of Object.entries(programs) as ['node' | 'cli', string][]) {
    const name = what === 'cli' ? 'holdfast' : 'node'
    if (/[\s"'$%\\]/.test(path)) throw unfit(`${name} is at ${JSON.stringify(path)}, which a unit cannot name safely`, moveHint(what))
    if (path.includes(`${sep}_npx${sep}`)) throw unfit(`${name} runs from npx's cache (${path}), which npm empties`, moveHint(what))
    const folder = options.directory
    if (folder !== undefined && isBelow(path, realFolder(folder))) {
      throw unfit(`${name} is at ${path}, inside the app's own folder: pushing code would change what root runs`, moveHint(what))
    }
    if (options.scope === 'system') {
      const writable = findForeign(path)
      if (writable !== undefined) throw unfit(`${name} is at ${path}, and ${writable}: whoever that is would be root at the next restart`, moveHint(what))
    }
  }
  return { ...programs, homePaths: homeFolders.some((home) => programs.node.startsWith(home)) ? [dirname(dirname(programs.node))] : [] }
}

/** The first part of a path that somebody other than root may write to, as the end of a sentence. */
function findForeign(path: string): string | undefined {
  for (let part = path; ; part = dirname(part)) {
    const { uid, mode } = lstatSync(part)
    if (uid !== 0) return `${part} belongs to user ${uid}`
    if ((mode & 0o002) !== 0 && (mode & 0o1000) === 0) return `everybody may write to ${part}`
    if ((mode & 0o020) !== 0 && statSync(part).gid !== 0) return `group ${statSync(part).gid} may write to ${part}`
    if (part === '/') return undefined
  }
}

function moveHint(what: 'node' | 'cli'): string {
  return what === 'cli' ? 'As root: npm install --global holdfast, and run that one.' : 'Install node for all users, such as by the package nodejs, and run holdfast with it.'
}

const unfit = (message: string, hint: string): HoldfastError => new HoldfastError('machine-unfit', message, { hint })
const isBelow = (path: string, folder: string): boolean => path.startsWith(folder.endsWith(sep) ? folder : folder + sep)

function realFolder(folder: string): string {
  try {
    return realpathSync(folder)
  } catch {
    return folder
  }
}
