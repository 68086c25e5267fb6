import { lstatSync, readFileSync, realpathSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { shellText } from '../config/shell.js'
import { HoldfastError } from '../errors.js'
import { lastWords, runGit, type GitOptions } from './git-command.js'

/** How git is run on a repository of this machine. */
export interface LocalAccess {
  /** In front of git's command. */
  args: string[]
  options: GitOptions
}

/** A group that owns nothing: root's would come to an owner with a folder that only `chown USER` was done to. */
const noGroup = 65_534

/**
 * A repository's configuration can name programs, and git as root would start them. So root runs git as the repository's owner,
 * and takes nothing but the tar stream; one of root's own is read as root when nobody else has a say in it. Git's own check of
 * the owner stays in force for everybody.
 * @throws HoldfastError `fetch-failed` when there is none, or root's own is open to others
 */
export async function accessLocal(path: string, caller = process.getuid?.()): Promise<LocalAccess> {
  const { uid, gid } = findOwner(path)
  const isRoots = caller === 0 && uid === 0
  // What was checked is what git opens.
  const place = isRoots ? realpathSync(path) : path
  if (isRoots) await checkRootsOwn(place)
  return {
    args: ['-C', place],
    options: {
      // There, and not in a folder above it.
      env: { GIT_CEILING_DIRECTORIES: dirname(place) },
      ...(caller === 0 && !isRoots ? { as: { uid, gid: gid === 0 ? noGroup : gid } } : {}),
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

/**
 * Root's own repository is one that only root can change or exchange: every folder that git may take its configuration from,
 * with all above it, and every file of it. What it includes would have to be looked at in the same way, so nothing is included.
 */
async function checkRootsOwn(path: string): Promise<void> {
  const folders = gitFolders(path)
  for (const folder of [path, ...folders]) checkWay(path, folder)
  for (const folder of folders) {
    for (const name of ['HEAD', 'commondir', 'gitdir', 'config', 'config.worktree', 'info', 'info/attributes']) checkOwn(path, join(folder, name))
    for (const name of ['config', 'config.worktree']) await checkIncludes(path, join(folder, name))
  }
}

/** Where git may look: the folder's `.git`, the folder itself as a bare repository, and what those name. */
function gitFolders(path: string): string[] {
  const inner = join(path, '.git')
  checkOwn(path, inner)
  const found = lstatSync(inner, { throwIfNoEntry: false })
  // Of a worktree it is a file.
  const named = found?.isFile() === true ? readPointer(path, inner, path, /^gitdir: ([^\r\n]+)\n?$/) : found?.isDirectory() === true ? inner : undefined
  const bare = lstatSync(join(path, 'HEAD'), { throwIfNoEntry: false }) === undefined ? undefined : path
  return [named, bare].filter((folder) => folder !== undefined).flatMap((folder) => {
    checkWay(path, folder)
    const pointer = join(folder, 'commondir')
    checkOwn(path, pointer)
    return lstatSync(pointer, { throwIfNoEntry: false }) === undefined ? [folder] : [folder, readPointer(path, pointer, folder, /^([^\r\n]+)\n?$/)]
  })
}

/** The folder that a file of git's names, which no symbolic link may lead to. */
function readPointer(repository: string, file: string, base: string, pattern: RegExp): string {
  let why = 'names no folder'
  try {
    const [, named] = pattern.exec(readFileSync(file, 'utf8')) ?? []
    if (named !== undefined) {
      const folder = resolve(base, named)
      if (realpathSync(folder) === folder) return folder
      why = `leads through a symbolic link, by way of ${folder}`
    }
  } catch (error) {
    why = `cannot be followed: ${(error as Error).message}`
  }
  throw new HoldfastError('fetch-failed', `${repository} is root's, and its ${file} ${why}`, { hint: `cat ${shellText(file)}; git -C ${shellText(repository)} worktree repair` })
}

/** A folder and all above it: whoever may write to one of them can put another in its place (not where it is sticky, as /tmp). */
function checkWay(repository: string, folder: string): void {
  checkOwn(repository, folder)
  for (let at = folder; at !== '/'; ) {
    at = dirname(at)
    const { uid, mode } = lstatSync(at)
    if (uid !== 0 || ((mode & 0o022) !== 0 && (mode & 0o1000) === 0)) throw refuse(repository, at)
  }
}

function checkOwn(repository: string, place: string): void {
  const status = lstatSync(place, { throwIfNoEntry: false })
  if (status === undefined) return
  if (status.isSymbolicLink()) {
    throw new HoldfastError('fetch-failed', `${repository} is root's, and ${place} is a symbolic link: what it leads to could run programs as root`, { hint: `name the repository that it leads to: readlink -f ${shellText(place)}` })
  }
  if (status.uid !== 0 || (status.mode & 0o022) !== 0) throw refuse(repository, place)
}

/** Outside of any repository, git reads the file and nothing else. */
async function checkIncludes(repository: string, file: string): Promise<void> {
  if (lstatSync(file, { throwIfNoEntry: false }) === undefined) return
  const listed = await runGit(['config', '--file', file, '--no-includes', '--null', '--name-only', '--list'])
  if (listed.code !== 0) throw new HoldfastError('fetch-failed', `${repository} cannot be read: ${lastWords(listed.said)}`, { hint: `git config --file ${shellText(file)} --list` })
  if (!listed.stdout.split('\0').some((key) => /^include(?:if)?\./i.test(key))) return
  throw new HoldfastError('fetch-failed', `${repository} is root's, and ${file} includes other files, which could run programs as root`, {
    hint: `write into it what they say; or give the repository to the account that pushes to it: chown -R ACCOUNT: ${shellText(repository)}`,
  })
}

function refuse(repository: string, place: string): HoldfastError {
  return new HoldfastError('fetch-failed', `${repository} is root's, but others may write to ${place}: its configuration would run programs as root`, {
    hint: `give it to the account that pushes to it: chown -R ACCOUNT: ${shellText(repository)}; or let nobody else write: chown -R root: ${shellText(place)}; chmod go-w ${shellText(place)}`,
  })
}

function missing(message: string, path: string, mend = 'ls -ld'): HoldfastError {
  return new HoldfastError('fetch-failed', message, { hint: `${mend} ${shellText(path)}` })
}
