import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { shellText } from '../config/shell.js'
import { formatSize } from '../config/size.js'
import { explainSystemError, HoldfastError } from '../errors.js'
import { folderBytes } from './folder-size.js'
import type { Repository } from './git-address.js'
import { lastWords, runGit, type GitOptions, type GitResult } from './git-command.js'

type Remote = Extract<Repository, { kind: 'remote' }>

export interface MirrorOptions {
  /** The state folder of the app. */
  state: string
  /** The most that a release may be, in bytes; see `mirrorLimit`. */
  limitBytes: number
  /** Of what the other side sends. */
  onProgress?(progress: { bytes: number }): void
  onNote?(text: string): void
  signal?: AbortSignal
}

/** How often the size of what git writes is looked at, in milliseconds. */
const measureMs = 1000

/** The most that a mirror may be, in bytes: a repository's history is larger than one commit of it, but not without end. */
export const mirrorLimit = (limitBytes: number): number => Math.max(4 * limitBytes, 2 ** 30)

/** Whether what git says is about the mirror itself rather than the other side. */
const brokenMirror = /object file .* is empty|bad object|corrupt|invalid sha1 pointer|loose object|\.lock': File exists|unable to read tree|not a git repository: '/i

/** The name of a repository's mirror, without `.git`; the repository as a release records it, without its credentials. */
export const mirrorName = (repository: string): string => createHash('sha256').update(repository).digest('hex').slice(0, 16)

/**
 * Brings the app's mirror of a repository up to date: every branch, no tags. One that a kill left in the middle, or that is
 * broken, is made anew. The caller holds the lock of the app's deploys.
 * @returns the path of the bare repository
 * @throws HoldfastError `fetch-failed`, `system-refused`
 */
export async function updateMirror(repository: Remote, options: MirrorOptions): Promise<string> {
  const { state, onNote } = options
  const folder = join(state, 'git')
  const name = mirrorName(repository.shown)
  const mirror = join(folder, `${name}.git`)
  // There while git writes: git leaves locks behind when it is killed.
  const unfinished = join(folder, `${name}.unfinished`)
  try {
    // It holds the whole history; a release may be for the app's group alone.
    await mkdir(folder, { recursive: true, mode: 0o700 })
    if (existsSync(unfinished)) await rm(mirror, { recursive: true, force: true })
    await writeFile(unfinished, '')
  } catch (error) {
    throw explainSystemError(error)
  }
  let result = await fetchBranches(repository, mirror, options)
  if (result.code !== 0 && brokenMirror.test(result.said.join('\n'))) {
    onNote?.(`the mirror of ${repository.shown} was broken, and is made anew: ${lastWords(result.said)}`)
    await rm(mirror, { recursive: true, force: true })
    result = await fetchBranches(repository, mirror, options)
  }
  // Whatever ended it but a SIGKILL, git has tidied up.
  if (result.code !== undefined) await rm(unfinished, { force: true })
  if (result.code !== 0) throw explainRemote(repository, result)
  return mirror
}

/** The branch that the other side's HEAD names; undefined where it names none. */
export async function askRemoteHead(repository: Remote, signal?: AbortSignal): Promise<string | undefined> {
  const result = await runGit([...accessArguments(repository), 'ls-remote', '--symref', '--', repository.shown, 'HEAD'], accessOptions(repository, signal))
  if (result.code !== 0) throw explainRemote(repository, result)
  return /^ref: refs\/heads\/(.+)\tHEAD$/m.exec(result.stdout)?.[1]
}

async function fetchBranches(repository: Remote, mirror: string, { limitBytes, signal, onProgress }: MirrorOptions): Promise<GitResult> {
  if (!existsSync(join(mirror, 'HEAD'))) {
    await rm(mirror, { recursive: true, force: true })
    const made = await runGit(['init', '--quiet', '--bare', '--template=', mirror], signal === undefined ? {} : { signal })
    if (made.code !== 0) throw new HoldfastError('fetch-failed', `git could not make a mirror at ${mirror}: ${lastWords(made.said)}`, { hint: `df -h ${shellText(mirror)}` })
  }
  return await withinLimit(repository, mirror, { limitBytes, ...(signal === undefined ? {} : { signal }) }, (stop, watch) =>
    runGit(
      [
        // A pack, however few the objects are: with many loose ones it would take long to measure.
        ...accessArguments(repository), '-c', 'fetch.unpackLimit=1', '--git-dir', mirror,
        'fetch', '--prune', '--force', '--no-tags', '--no-recurse-submodules', '--no-write-fetch-head', '--update-shallow', '--progress',
        '--', repository.shown, '+refs/heads/*:refs/heads/*',
      ],
      {
        ...accessOptions(repository, stop),
        onReceived: (bytes) => {
          watch(bytes)
          onProgress?.({ bytes })
        },
      },
    ))
}

/** Ends what fills a mirror once that is larger than it may be, by what git says and by what lies there; the mirror goes with it. */
async function withinLimit(
  repository: Remote, mirror: string, { limitBytes, signal }: Pick<MirrorOptions, 'limitBytes' | 'signal'>,
  fill: (stop: AbortSignal, watch: (bytes: number) => void) => Promise<GitResult>,
): Promise<GitResult> {
  const most = mirrorLimit(limitBytes)
  const tooLarge = new HoldfastError('fetch-failed', `${repository.shown} is larger than ${formatSize(most)} with all its history, and no more is fetched`, {
    hint: 'where it is meant to be so large, raise max_size under [source] in the installed holdfast.toml (four times that is the most): sudo holdfast install',
  })
  const stop = new AbortController()
  const watch = (bytes: number): void => {
    if (bytes > most) stop.abort(tooLarge)
  }
  const measure = (): void => watch(folderBytes(mirror) ?? 0)
  const forward = (): void => stop.abort(signal?.reason)
  const timer = setInterval(measure, measureMs)
  signal?.addEventListener('abort', forward)
  try {
    signal?.throwIfAborted()
    const result = await fill(stop.signal, watch)
    measure()
    stop.signal.throwIfAborted()
    return result
  } catch (error) {
    if (error === tooLarge) await rm(mirror, { recursive: true, force: true })
    throw error
  } finally {
    clearInterval(timer)
    signal?.removeEventListener('abort', forward)
  }
}

/** Credentials are answered by a helper that reads them from its environment: what is an argument, everybody can see. */
function accessArguments({ credentials }: Remote): string[] {
  if (credentials === undefined) return []
  const answer = '!f() { test "$1" != get || printf "username=%s\\npassword=%s\\n" "$HOLDFAST_GIT_USERNAME" "$HOLDFAST_GIT_PASSWORD"; }; f'
  // The empty one puts aside what else would answer for this host.
  return ['-c', `credential.${credentials.origin}.helper=`, '-c', `credential.${credentials.origin}.helper=${answer}`]
}

function accessOptions({ protocol, credentials }: Remote, signal: AbortSignal | undefined): GitOptions {
  return {
    // A redirect may lead from http to https, and never elsewhere.
    protocols: protocol === 'http' ? 'http:https' : protocol,
    ...(credentials === undefined ? {} : { env: { HOLDFAST_GIT_USERNAME: credentials.username, HOLDFAST_GIT_PASSWORD: credentials.password } }),
    ...(signal === undefined ? {} : { signal }),
  }
}

const mends: readonly [pattern: RegExp, mend: (repositoryWord: string) => string][] = [
  [/Host key verification failed/i, () => 'ssh does not know the host yet: as the user who deploys, run ssh once and compare the key it shows (sudo ssh -T git@HOST)'],
  [/Permission denied|Authentication failed|could not read Username|could not read Password|terminal prompts disabled|access denied|returned error: 40[13]/i, (repository) => `the user who deploys has no access: give it a deploy key (/root/.ssh) or a credential helper, then try: sudo git ls-remote ${repository}`],
  [/Could not resolve host|Name or service not known/i, () => 'the name of the host cannot be found: getent hosts HOST'],
  [/No space left/i, () => 'df -h   # then make room, and run this again'],
  [/not found|does not exist|does not appear to be a git repository|returned error: 404/i, (repository) => `is the address right, and the repository still there? sudo git ls-remote ${repository}`],
]

function explainRemote({ shown }: Remote, { said, code }: GitResult): HoldfastError {
  const words = said.join('\n')
  const mend = mends.find(([pattern]) => pattern.test(words))?.[1] ?? ((repository: string) => `sudo git ls-remote ${repository}   # as the user who deploys`)
  return new HoldfastError('fetch-failed', `${shown} could not be fetched: git ended with ${code === undefined ? 'a signal' : `status ${code}`}: ${lastWords(said)}`, { hint: mend(shellText(shown)) })
}
