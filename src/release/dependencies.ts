import { chmodSync, lstatSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../config/model.js'
import { HoldfastError } from '../errors.js'
import { runProgram } from '../run-program.js'
import { findCommandReason } from './install-command.js'
import { findInstallScripts } from './install-scripts.js'
import { readPackage, readPlain, type Package } from './package-files.js'
import type { Release } from './release.js'
import { removeRelease } from './store.js'

export interface DependenciesPlan {
  /** `none`: there is no `hooks.install`. */
  kind: 'run' | 'reuse' | 'none'
  /** One clause for people, such as `package-lock.json changed`. */
  why: string
}

/** The newest release whose dependencies could be taken over. */
export interface PreviousRelease {
  release: Release
  /** Absolute path of its code. */
  folder: string
  config: Config
}

export interface PlanOptions {
  /** The new release's code, before any hook. */
  folder: string
  config: Config
  previous?: PreviousRelease
  /** Version of the node that would install. Default: this one's. */
  node?: string
}

const lockFiles = ['package-lock.json', 'npm-shrinkwrap.json', 'yarn.lock', 'pnpm-lock.yaml', 'bun.lock', 'bun.lockb']
/** Files that change what is installed, besides package.json. */
const settingFiles = ['.npmrc', '.yarnrc', '.yarnrc.yml', '.pnpmfile.cjs', 'bunfig.toml']
/** Files and folders with which an install reads more than its lock file. */
const beyond = ['pnpm-workspace.yaml', 'lerna.json', 'binding.gyp', '.yarn/patches', '.yarn/plugins']
const sections = [
  'dependencies', 'devDependencies', 'optionalDependencies', 'peerDependencies', 'peerDependenciesMeta', 'dependenciesMeta', 'bundleDependencies',
  'bundledDependencies', 'overrides', 'resolutions', 'engines', 'packageManager', 'devEngines', 'pnpm', 'trustedDependencies', 'allowScripts', 'os', 'cpu',
]
const lifecycle = ['preinstall', 'install', 'postinstall', 'prepublish', 'preprepare', 'prepare', 'postprepare', 'dependencies', 'pnpm:devPreinstall']

/**
 * Whether `hooks.install` has to run, or the dependencies of the previous release are what it would install. Says `run`
 * wherever that is not plain. Reads files, changes nothing.
 */
export function planDependencies({ folder, config, previous, node = process.version }: PlanOptions): DependenciesPlan {
  const { install } = config.hooks
  if (install === undefined) return { kind: 'none', why: 'there is no hooks.install' }
  if (previous === undefined) return { kind: 'run', why: 'there is no release before it' }
  const reason =
    (install.text === previous.config.hooks.install?.text ? undefined : 'hooks.install changed') ??
    findCommandReason(install.argv) ??
    findReleaseReason(previous, node) ??
    (isEqual(config.env, previous.config.env) ? undefined : 'env changed') ??
    findFileReason(folder, previous.folder) ??
    (exists(join(folder, 'node_modules')) ? 'it brings a node_modules of its own' : undefined) ??
    (install.argv.join(' ').includes('--ignore-scripts') ? undefined : findInstallScripts(join(previous.folder, 'node_modules')))
  return reason === undefined ? { kind: 'reuse', why: `nothing changed since release ${previous.release.id} that they depend on` } : { kind: 'run', why: reason }
}

/**
 * Gives a folder the `node_modules` of a sealed release. Its files are hard links, as nobody writes to either: no time
 * and no room; copies where the filesystem makes none. Links are kept, not followed.
 * @param from the release's folder
 * @param to the folder of the new one, which has none
 * @throws HoldfastError `release-failed`
 */
export async function reuseDependencies(from: string, to: string): Promise<void> {
  const [source, target] = [join(from, 'node_modules'), join(to, 'node_modules')]
  const mode = statSync(to).mode & 0o7777
  // Sealed already: its owner may write again, for now.
  if (process.geteuid?.() !== 0) chmodSync(to, mode | 0o200)
  try {
    const linked = await runProgram('cp', ['--archive', '--link', '--no-target-directory', '--', source, target])
    if (linked.status === 0) return
    removeRelease(target)
    const copied = await runProgram('cp', ['--archive', '--reflink=auto', '--no-target-directory', '--', source, target])
    if (copied.status === 0) return
    removeRelease(target)
    throw new HoldfastError('release-failed', `${source} could not be taken over: ${copied.stderr.trim().split('\n')[0]}`, { hint: 'df -h; df -i   # is there room?' })
  } finally {
    chmodSync(to, mode)
  }
}

function findReleaseReason({ release, folder }: PreviousRelease, node: string): string | undefined {
  const { dependencies, source, id } = release
  if (source.kind === 'directory' && !source.snapshot) return `release ${id} runs in place`
  if (dependencies === undefined || !['installed', 'reused'].includes(dependencies.outcome)) return `hooks.install did not run in release ${id}`
  if (dependencies.node !== node) return `node is ${node} now, and was ${dependencies.node}`
  if (!isFolder(join(folder, 'node_modules'))) return `release ${id} has no node_modules`
  return undefined
}

/** What in the files of both releases speaks against it. */
function findFileReason(folder: string, previous: string): string | undefined {
  const now = readPackage(folder)
  const before = readPackage(previous)
  if (typeof now === 'string') return now
  if (typeof before === 'string') return before
  for (const name of beyond) if (exists(join(folder, name)) || exists(join(previous, name))) return `${name} is there, with which an install is more than its lock file`
  const packageReason = findPackageReason(now)
  if (packageReason !== undefined) return packageReason
  const section = sections.find((name) => !isEqual(now[name], before[name]))
  if (section !== undefined) return `${section} of package.json changed`
  let locks = 0
  for (const name of [...lockFiles, ...settingFiles]) {
    const text = readPlain(join(folder, name))
    const old = readPlain(join(previous, name))
    if (text === 'other' || old === 'other') return `${name} is no plain file`
    if (text === undefined ? old !== undefined : old === undefined || !text.equals(old)) return `${name} changed`
    if (text === undefined || !lockFiles.includes(name)) continue
    locks += 1
    if (pointsHere(text.toString('latin1'))) return `${name} names dependencies that are folders or files of the release`
  }
  return locks === 0 ? 'there is no lock file' : undefined
}

function findPackageReason(now: Package): string | undefined {
  if (now['workspaces'] !== undefined) return 'package.json has workspaces'
  const scripts = now['scripts']
  const script = typeof scripts === 'object' && scripts !== null ? lifecycle.find((name) => name in scripts) : undefined
  if (script !== undefined) return `package.json has a script ${quote(script)}, which an install runs`
  for (const name of sections.filter((name) => now[name] !== undefined && isEqual(now[name], now[name]))) {
    if (/"(?:[^"]*@)?(?:file|link|portal|workspace|patch):|":\s*"(?:\.|\/|~\/)|patchedDependencies/.test(JSON.stringify(now[name] ?? null))) {
      return `${name} of package.json names folders or files of the release`
    }
  }
  return undefined
}

/** A lock file that points into the release's own folder. */
const pointsHere = (text: string): boolean => /\b(?:file|link|portal|patch):|"link": ?true/.test(text)

const quote = (word: string): string => JSON.stringify(word)

/** In whatever order their keys are; what is nested too deep is equal to nothing. */
function isEqual(one: unknown, other: unknown): boolean {
  try {
    return JSON.stringify(sortKeys(one)) === JSON.stringify(sortKeys(other))
  } catch {
    return false
  }
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys)
  if (typeof value !== 'object' || value === null) return value
  return Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1)).map(([key, inner]) => [key, sortKeys(inner)])
}

const exists = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false }) !== undefined
const isFolder = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true
