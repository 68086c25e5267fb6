import { lstatSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { HoldfastError } from '../errors.js'
import type { GitOptions } from './git-command.js'

/** How git is run on a repository of this machine. */
export interface LocalAccess {
  /** In front of git's command. */
  args: string[]
  options: GitOptions
}

/**
 * A repository's configuration can name programs, and git as root would start them. So root runs git as the repository's owner,
 * and takes nothing but the tar stream. Git's own check of the owner stays in force for everybody else.
 * @throws HoldfastError `fetch-failed` when there is none
 */
export function accessLocal(path: string, caller = process.getuid?.()): LocalAccess {
  const owner = findOwner(path)
  if (caller === 0 && owner.uid === 0) checkRootsOwn(path)
  return {
    args: ['-C', path],
    options: {
      // There, and not in a folder above it.
      env: { GIT_CEILING_DIRECTORIES: dirname(path) },
      ...(caller === 0 && owner.uid !== 0 ? { as: owner } : {}),
    },
  }
}

/** The account that is not root's, of the folder or of the `.git` in it. */
function findOwner(path: string): { uid: number; gid: number } {
  const folder = lstatSync(path, { throwIfNoEntry: false })
  if (folder === undefined) throw missing(`there is no repository ${path}`, path)
  if (folder.isSymbolicLink()) throw missing(`${path} is a symbolic link`, path, 'name the folder itself: readlink -f')
  if (!folder.isDirectory()) throw missing(`${path} is no repository, but a file`, path)
  const inner = lstatSync(join(path, '.git'), { throwIfNoEntry: false })
  const { uid, gid } = folder.uid !== 0 || inner === undefined ? folder : inner
  return { uid, gid }
}

/** Root's own repository is one whose configuration nobody else can write. */
function checkRootsOwn(path: string): void {
  const inner = join(path, '.git')
  const found = lstatSync(inner, { throwIfNoEntry: false })
  // Of a worktree it is a file, which names a folder that git itself looks at the owner of.
  const own = found === undefined ? [join(path, 'config')] : found.isDirectory() ? [inner, join(inner, 'config')] : [inner]
  for (const place of [path, ...own]) {
    const status = lstatSync(place, { throwIfNoEntry: false })
    if (status === undefined || status.isSymbolicLink() || (status.uid === 0 && (status.mode & 0o022) === 0)) continue
    throw new HoldfastError('fetch-failed', `${path} is root's, but others may write to ${place}: its configuration would run programs as root`, {
      hint: `give it to the account that pushes to it: chown -R ACCOUNT: ${path}; or take the permission away: chmod -R go-w ${path}`,
    })
  }
}

function missing(message: string, path: string, mend = 'ls -ld'): HoldfastError {
  return new HoldfastError('fetch-failed', message, { hint: `${mend} ${path}` })
}
