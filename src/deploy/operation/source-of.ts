import { resolve } from 'node:path'
import { quote } from '../../config/quote.js'
import { shellWord } from '../../config/shell.js'
import { parseAddress, showAddress } from '../../config/web-address.js'
import { HoldfastError } from '../../errors.js'
import { takeDigits } from '../../release/address.js'
import { isBranchName } from '../../release/branch-name.js'
import type { SourceSpec } from '../../release/source-spec.js'

/** What lies at a path, as far as a source is concerned. */
export type PathKind = 'folder' | 'file' | 'other' | 'absent'

/** What stands around the word on the command line. */
export interface SourceOptions {
  branch?: string
  commit?: string
  /** Of a file, an address or standard input. */
  sha256?: string
  /** The word is known to name a repository, whatever it looks like. Default false. */
  isRepository?: boolean
  /** What a relative path is relative to. */
  cwd: string
  kindOf(path: string): PathKind
}

/** Standard input is a source only once it is spooled: an archive whose path is not known yet. */
export type AskedSource = SourceSpec | { kind: 'input'; sha256?: string; /** What it is called where it comes from. */ name?: string }

const nameOfInput = 'standard input'

/**
 * What a word of the command line means as a source. Pure but for `kindOf`.
 * @throws HoldfastError `usage`
 */
export function sourceOf(word: string, options: SourceOptions): AskedSource {
  const asked = readWord(word, options)
  if (asked.kind !== 'git') refuseGitOptions(asked, options)
  if (options.sha256 === undefined) {
    if (asked.kind === 'address') throw usage(`${sourceText(asked)} needs the checksum of what is expected there`, `sha256sum FILE, where it was made; then: holdfast deploy … ${shellWord(sourceText(asked))} --sha256 SUM`)
    return asked
  }
  if (asked.kind === 'git') throw usage('--sha256 is the checksum of an archive, and this source is a git repository', '--commit names what is expected of one')
  if (asked.kind === 'directory') throw usage(`--sha256 is the checksum of an archive, and ${asked.path} is a folder`, 'leave it out')
  return { ...asked, sha256: takeDigits(options.sha256, sourceText(asked)) }
}

/**
 * What `--overlay` means: an archive, which is here or at an address.
 * @throws HoldfastError `usage`
 */
export function overlayOf(word: string, options: Pick<SourceOptions, 'sha256' | 'cwd' | 'kindOf'>): AskedSource {
  const asked = readWord(word, options)
  if (asked.kind === 'directory' || asked.kind === 'git') throw usage(`--overlay takes an archive, and ${word} is a ${asked.kind === 'git' ? 'git repository' : 'folder'}`, `tar -czf overlay.tar.gz -C FOLDER .; then: --overlay overlay.tar.gz`)
  if (options.sha256 !== undefined) return { ...asked, sha256: takeDigits(options.sha256, `the overlay ${sourceText(asked)}`) }
  if (asked.kind === 'address') throw usage(`--overlay ${sourceText(asked)} needs the checksum of what is expected there`, 'add --overlay-sha256 SUM')
  return asked
}

/** Once standard input is spooled. */
export const spooled = (asked: AskedSource, path: string): SourceSpec =>
  asked.kind === 'input' ? { kind: 'archive', path, name: sourceText(asked), ...(asked.sha256 === undefined ? {} : { sha256: asked.sha256 }) } : asked

/** A source as people read it: without credentials. */
export function sourceText(asked: AskedSource): string {
  switch (asked.kind) {
    case 'input':
      return asked.name ?? nameOfInput
    case 'directory':
      return asked.path
    case 'archive':
      return asked.name
    case 'address':
      return showPlace(asked.url)
    case 'git': {
      const commit = asked.commit === undefined ? '' : ` commit ${asked.commit.slice(0, 12)}`
      return `${showPlace(asked.repository)}${asked.branch === undefined ? '' : ` branch ${asked.branch}`}${commit}`
    }
  }
}

/** The words of a command line that ask for the same again, without credentials. */
export function sourceArguments(asked: AskedSource): string[] {
  switch (asked.kind) {
    case 'input':
      return ['-']
    case 'directory':
      return [asked.path]
    case 'archive':
      return [asked.path, ...(asked.sha256 === undefined ? [] : ['--sha256', asked.sha256])]
    case 'address':
      return [showPlace(asked.url), ...(asked.sha256 === undefined ? [] : ['--sha256', asked.sha256])]
    case 'git':
      return [
        showPlace(asked.repository),
        ...(asked.branch === undefined ? [] : ['--branch', asked.branch]),
        ...(asked.commit === undefined ? [] : ['--commit', asked.commit]),
      ]
  }
}

/** Whether a word cannot be an app's name: it says itself what kind of source it is. */
export const isPlainlySource = (word: string): boolean => word === '-' || /[/:]/.test(word) || word.startsWith('.') || word.endsWith('.git')

const isGitAddress = (word: string): boolean =>
  /^(?:ssh|git):\/\//.test(word) || /^(?:https|file):\/\/.*\.git\/?$/.test(word) || /^[A-Za-z0-9_][\w.-]*@[A-Za-z0-9][\w.-]*:(?!\/\/)./.test(word)

function readWord(word: string, { branch, commit, isRepository = false, cwd, kindOf }: SourceOptions): AskedSource {
  // eslint-disable-next-line no-control-regex
  if (word === '' || /[\u0000-\u001f\u007f]/.test(word)) throw usage(`${JSON.stringify(word)} names no source`, 'holdfast deploy --help')
  if (word === '-') return { kind: 'input' }
  if (/^(?:https|file|ssh|git):\/\//.test(word) && parseAddress(word) === undefined) {
    throw usage(`${showAddress(word)} is no address`, 'write https://host/path; in a password, % / @ : ? and # stand as %25 %2F %40 %3A %3F and %23')
  }
  const git = { ...(branch === undefined ? {} : { branch: branchName(branch) }), ...(commit === undefined ? {} : { commit: commitName(commit) }) }
  const isGitAsked = isRepository || branch !== undefined || commit !== undefined
  if (isGitAddress(word)) return { kind: 'git', repository: word, ...git }
  if (/^(?:https|file):\/\//.test(word)) return isGitAsked ? { kind: 'git', repository: word, ...git } : { kind: 'address', url: word }
  const [, scheme] = /^([a-z][a-z0-9+.-]*):\/\//i.exec(word) ?? []
  if (scheme !== undefined) {
    throw usage(`${scheme}:// is no address that a release is fetched from`, scheme.toLowerCase() === 'http' ? 'use https://; or: curl … | holdfast deploy APP -' : 'https:// and file:// are, and of a repository ssh:// and git:// too')
  }
  const path = resolve(cwd, word)
  switch (kindOf(path)) {
    case 'folder':
      return isGitAsked || path.endsWith('.git') ? { kind: 'git', repository: path, ...git } : { kind: 'directory', path }
    case 'file':
      return { kind: 'archive', path, name: path.slice(path.lastIndexOf('/') + 1) }
    case 'other':
      throw usage(`${path} is neither a folder nor a file`, `to read it as an archive: holdfast deploy APP - < ${shellWord(word)}`)
    case 'absent':
      throw usage(`there is no ${path}`, 'name a folder, an archive, an address, a git repository, or - for standard input')
  }
}

function refuseGitOptions(asked: AskedSource, { branch, commit }: SourceOptions): void {
  if (branch === undefined && commit === undefined) return
  throw usage(`${branch === undefined ? '--commit' : '--branch'} is about a git repository, and ${sourceText(asked)} is none`, 'name the repository, or leave it out')
}

function branchName(name: string): string {
  if (!isBranchName(name)) throw usage(`--branch: ${quote(name)} cannot be a branch`, 'git branch --all, in the repository')
  return name
}

function commitName(name: string): string {
  if (!/^[0-9a-f]{7,64}$/i.test(name)) throw usage(`--commit takes 7 to 64 hexadecimal digits, not ${JSON.stringify(name)}`, 'git rev-parse HEAD')
  return name.toLowerCase()
}

/** Without credentials: a path and `git@host:path` have none. */
const showPlace = (place: string): string => (/^[a-z]+:\/\//.test(place) ? showAddress(place) : place)

const usage = (message: string, hint: string): HoldfastError => new HoldfastError('usage', message, { hint })
