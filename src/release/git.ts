import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { shellText } from '../config/shell.js'
import { explainSystemError, HoldfastError } from '../errors.js'
import { parseRepository, type Repository } from './git-address.js'
import { lastWords, runGit, type GitOptions } from './git-command.js'
import { accessLocal } from './git-local.js'
import { askRemoteHead, updateMirror } from './git-mirror.js'
import { checkBranchName, findBranchTip, findCommit, findLfs, findSubmodules, readHead, type Git } from './git-revision.js'
import { spool } from './spool.js'
import type { Fetched, FetchOptions, SourceSpec } from './source-spec.js'

/**
 * Takes a commit of a repository as a tar (`source.tar` of the staging folder), as git archive(1) writes it: what is committed,
 * less what `export-ignore` leaves out.
 * @throws HoldfastError `usage` for a repository or branch that cannot be, `fetch-failed`, `system-refused`
 */
export async function fetchGit(spec: Extract<SourceSpec, { kind: 'git' }>, staging: string, options: FetchOptions): Promise<Fetched> {
  const { signal, onNote } = options
  const repository = parseRepository(spec.repository)
  if (spec.branch !== undefined) await checkBranchName(spec.branch)
  if (repository.kind === 'remote' && repository.protocol === 'git') onNote?.('git:// is neither encrypted nor authenticated: what it brings may come from anybody on the way')

  const place = await openRepository(repository, options)
  const run: Git = (args, env = {}, take) => runGit([...place.args, ...args], { ...place.options, env: { ...place.options.env, ...env } }, take)
  const { branch, from } = await chooseBranch(spec, repository, run, options)
  const tip = await findBranchTip(run, repository.shown, branch, from)
  const commit = spec.commit === undefined ? tip : await findCommit(run, repository.shown, branch, spec.commit)

  const submodules = await findSubmodules(run, commit)
  if (submodules === undefined) throw await explainUnreadable(repository, commit, place, 'its files cannot be listed')
  if (submodules.length > 0) {
    throw new HoldfastError('fetch-failed', `${repository.shown} has submodules (${submodules.join(', ')}), which are not fetched: the release would be without them`, {
      hint: 'deploy an archive that has them: git clone --recurse-submodules, then tar, then holdfast deploy shop.tar.gz',
    })
  }
  if (await findLfs(run, commit)) onNote?.('the repository keeps files in Git LFS: the release has their pointers instead; for their contents deploy a folder or an archive')

  const file = join(staging, 'source.tar')
  const progress = { ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }), ...(signal === undefined ? {} : { signal }) }
  const archived = await hideSignatures(staging, place.options, (hidden) =>
    runGit([...place.args, 'archive', '--format=tar', commit], hidden, (stdout) =>
      spool(stdout, file, { what: `${repository.shown} at ${commit.slice(0, 12)}`, limitBytes: options.limitBytes, ...progress })))
  if (archived.code !== 0) {
    await rm(file, { force: true })
    throw await explainUnreadable(repository, commit, place, lastWords(archived.said))
  }
  return { kind: 'archive', file, source: { kind: 'git', repository: repository.shown, branch, commit } }
}

/** A mirror that is broken goes, and is made anew by the next. */
async function explainUnreadable(repository: Repository, commit: string, { mirror }: Place, why: string): Promise<HoldfastError> {
  if (mirror !== undefined) await rm(mirror, { recursive: true, force: true })
  return new HoldfastError('fetch-failed', `commit ${commit.slice(0, 12)} of ${repository.shown} could not be read: ${why}`, {
    hint: mirror === undefined ? `git -C ${shellText(repository.shown)} fsck` : 'its mirror was removed, and the next deploy makes it anew: run this again',
  })
}

/** What git starts to look at a signature, each of its own kind. */
const verifiers = ['gpg', 'gpgsm', 'ssh-keygen']

/**
 * `$Format:%G?$` in a file with `export-subst` would have git give whatever somebody committed as a signature to gpg, as root: what
 * it finds instead tells nothing. `git archive` does not heed `gpg.program` before git 2.43. Another account's git looks as it likes.
 */
async function hideSignatures<T>(staging: string, options: GitOptions, act: (options: GitOptions) => Promise<T>): Promise<T> {
  if (options.as !== undefined) return await act(options)
  const folder = join(staging, 'no-signatures')
  try {
    try {
      await mkdir(folder, { mode: 0o700 })
      for (const name of verifiers) await writeFile(join(folder, name), '#!/bin/sh\nexit 1\n', { mode: 0o700 })
    } catch (error) {
      throw explainSystemError(error)
    }
    return await act({ ...options, env: { ...options.env, PATH: `${folder}:${process.env['PATH'] ?? '/usr/bin:/bin'}` } })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

interface Place {
  args: string[]
  options: GitOptions
  /** Holdfast's own copy. */
  mirror?: string
}

async function openRepository(repository: Repository, options: FetchOptions): Promise<Place> {
  const signal = options.signal === undefined ? {} : { signal: options.signal }
  if (repository.kind === 'remote') {
    options.onNote?.(`fetching ${repository.shown}`)
    const mirror = await updateMirror(repository, options)
    return { args: ['--git-dir', mirror], options: signal, mirror }
  }
  const local = await accessLocal(repository.path)
  const place = { args: local.args, options: { ...local.options, ...signal } }
  const found = await runGit([...place.args, 'rev-parse', '--git-dir'], place.options)
  if (found.code !== 0) {
    const isForeign = /dubious ownership/.test(found.said.join('\n'))
    throw new HoldfastError('fetch-failed', `${repository.path} cannot be read as a git repository: ${lastWords(found.said)}`, {
      hint: isForeign ? `it belongs to several accounts, or to another one: make it one's own (chown -R), or deploy as root: ls -la ${shellText(repository.path)}` : `git -C ${shellText(repository.path)} status   # as its owner, who must be able to reach it`,
    })
  }
  return place
}

/** The one asked for, else that of the live release from the same repository, else the one that HEAD names. */
async function chooseBranch(spec: { branch?: string }, repository: Repository, run: Git, { lastGit, signal }: FetchOptions): Promise<{ branch: string; from?: string }> {
  if (spec.branch !== undefined) return { branch: spec.branch }
  if (lastGit !== undefined && lastGit.repository === repository.shown) return { branch: lastGit.branch, from: 'the branch of what is live' }
  const head = repository.kind === 'remote' ? await askRemoteHead(repository, signal) : await readHead(run)
  if (head !== undefined) return { branch: head, from: "the repository's HEAD" }
  throw new HoldfastError('fetch-failed', `${repository.shown} has no commits yet, or its HEAD names no branch`, { hint: 'name the branch: --branch main' })
}
