import type { Readable } from 'node:stream'
import { quote } from '../config/quote.js'
import { shellText } from '../config/shell.js'
import { HoldfastError } from '../errors.js'
import { isBranchName } from './branch-name.js'
import { lastWords, runGit, type GitResult } from './git-command.js'

/** git on one repository; `take` as in `runGit`. */
export type Git = (args: readonly string[], env?: Record<string, string>, take?: (stdout: Readable) => Promise<unknown>) => Promise<GitResult>

/** More are not named. */
const mostSubmodules = 5

/** @throws HoldfastError `usage` for what git would not take as a branch's name, or would take for something else */
export async function checkBranchName(branch: string): Promise<void> {
  const checked = isBranchName(branch) ? await runGit(['check-ref-format', `refs/heads/${branch}`]) : undefined
  if (checked?.code === 0) return
  throw new HoldfastError('usage', `${quote(branch)} cannot be the name of a branch`, { hint: 'write it as `git branch` lists it, such as main' })
}

/** The full commit that a branch is at. `from` says who chose the branch, where nobody asked for it. */
export async function findBranchTip(git: Git, repository: string, branch: string, from?: string): Promise<string> {
  const tip = await git(['rev-parse', '--verify', '--quiet', `refs/heads/${branch}^{commit}`])
  const commit = tip.stdout.trim()
  if (tip.code === 0 && isFullCommit(commit)) return commit
  const branches = await listBranches(git, [])
  const chosen = from === undefined ? '' : `, ${from}`
  const message = branches.length === 0 ? `${repository} has no branches: nothing was committed to it yet` : `${repository} has no branch ${quote(branch)}${chosen}; it has ${showSome(branches)}`
  throw new HoldfastError('fetch-failed', message, { hint: branches.length === 0 ? 'push a commit, and run this again' : `name one of them: --branch ${shellText(branches[0] ?? '')}` })
}

/**
 * The full commit of one that may be abbreviated, which the branch must contain.
 * @throws HoldfastError `usage` for what is no commit, `fetch-failed` when it is not there, not clear, or elsewhere
 */
export async function findCommit(git: Git, repository: string, branch: string, written: string): Promise<string> {
  if (!/^[0-9a-f]{7,64}$/i.test(written)) {
    throw new HoldfastError('usage', `${quote(written)} is no commit: 7 to 40 hexadecimal digits were expected`, { hint: 'git log --oneline   # lists them' })
  }
  // Not by rev-parse of the word, which may as well be the name of a branch.
  const objects = (await git(['rev-parse', `--disambiguate=${written.toLowerCase()}`])).stdout.split('\n').filter(isFullCommit)
  const commits: string[] = []
  for (const object of objects.slice(0, 20)) {
    if ((await git(['cat-file', '-t', object])).stdout.trim() === 'commit') commits.push(object)
  }
  const [commit] = commits
  if (commit === undefined) {
    throw new HoldfastError('fetch-failed', `commit ${written} is on no branch of ${repository}${await explainShallow(git)}`, { hint: 'was it pushed? git push, and run this again' })
  }
  if (commits.length > 1) {
    throw new HoldfastError('fetch-failed', `commit ${written} is not clear: it begins ${commits.map((one) => one.slice(0, 16)).join(' and ')}`, { hint: 'write more digits' })
  }
  const contained = await git(['merge-base', '--is-ancestor', commit, `refs/heads/${branch}`])
  if (contained.code === 0) return commit
  if (contained.code !== 1) throw new HoldfastError('fetch-failed', `git could not compare commit ${written} with branch ${quote(branch)} of ${repository}: ${lastWords(contained.said)}`, { hint: 'git fsck   # in the repository' })
  const elsewhere = await listBranches(git, [`--contains=${commit}`])
  const where = elsewhere.length === 0 ? 'no branch contains it' : `it is on ${showSome(elsewhere)}`
  throw new HoldfastError('fetch-failed', `commit ${commit.slice(0, 12)} is not on branch ${quote(branch)} of ${repository}: ${where}${await explainShallow(git)}`, {
    hint: elsewhere[0] === undefined ? 'merge it first, or deploy what the branch has' : `deploy it from there: --branch ${shellText(elsewhere[0])} --commit ${commit.slice(0, 12)}`,
  })
}

/** The branch that HEAD names; undefined when it names a commit, or nothing. */
export async function readHead(git: Git): Promise<string | undefined> {
  const head = await git(['symbolic-ref', '--quiet', 'HEAD'])
  return /^refs\/heads\/(.+)$/.exec(head.stdout.trim())?.[1]
}

/**
 * Folders of the commit that are submodules, some of them at least; git archive(1) leaves them empty. They are what the tree says:
 * `.gitmodules` may be missing or malformed.
 * @returns undefined when the tree cannot be read
 */
export async function findSubmodules(git: Git, commit: string): Promise<string[] | undefined> {
  const found: string[] = []
  const listed = await git(['ls-tree', '-r', '-z', commit], {}, async (stdout) => {
    let rest = ''
    for await (const chunk of stdout as AsyncIterable<Buffer>) {
      const entries = (rest + chunk.toString('latin1')).split('\0')
      rest = entries.pop() ?? ''
      for (const entry of entries) if (entry.startsWith('160000 ') && found.length < mostSubmodules) found.push(entry.slice(entry.indexOf('\t') + 1))
    }
  })
  return listed.code === 0 ? found.map((path) => quote(Buffer.from(path, 'latin1').toString('utf8'))) : undefined
}

/** Whether attributes of the commit keep files in Git LFS. */
export async function findLfs(git: Git, commit: string): Promise<boolean> {
  return (await git(['grep', '--quiet', '--fixed-strings', '-e', 'filter=lfs', commit, '--', ':(glob)**/.gitattributes'])).code === 0
}

async function explainShallow(git: Git): Promise<string> {
  const shallow = (await git(['rev-parse', '--is-shallow-repository'])).stdout.trim() === 'true'
  return shallow ? '; the repository is shallow, its history is cut off (git fetch --unshallow)' : ''
}

async function listBranches(git: Git, choice: string[]): Promise<string[]> {
  return (await git(['for-each-ref', '--format=%(refname:lstrip=2)', '--sort=-committerdate', ...choice, 'refs/heads'])).stdout.split('\n').filter((name) => name !== '')
}

function showSome(branches: readonly string[]): string {
  const shown = branches.slice(0, 5).map((branch) => quote(branch)).join(', ')
  return branches.length > 5 ? `${shown} and ${branches.length - 5} more` : shown
}

const isFullCommit = (text: string): boolean => /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(text)
