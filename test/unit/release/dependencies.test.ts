import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, lstatSync, readlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import type { Config } from '../../../src/config/model.js'
import { parseConfig } from '../../../src/config/parse.js'
import { planDependencies, reuseDependencies, type DependenciesPlan } from '../../../src/release/dependencies.js'
import { findCommandReason } from '../../../src/release/install-command.js'
import type { Release } from '../../../src/release/release.js'
import { removeRelease } from '../../../src/release/store.js'

let now: string
let before: string
const release: Release = {
  id: 'r1', createdAt: '', source: { kind: 'archive', name: 'x', sha256: '' }, fingerprint: '', outcome: 'good', dependencies: { outcome: 'installed', node: 'v20' },
}
const lock = '{"lockfileVersion":3,"packages":{"node_modules/dep":{"version":"1.0.0","resolved":"https://registry.example/dep.tgz"}}}'

beforeEach(() => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-dependencies-'))
  onTestFinished(() => removeRelease(folder))
  now = join(folder, 'now')
  before = join(folder, 'before')
  for (const each of [now, before]) {
    mkdirSync(each)
    writePackage(each, {})
    writeFileSync(join(each, 'package-lock.json'), lock)
  }
  mkdirSync(join(before, 'node_modules/dep'), { recursive: true })
  writeDependency('dep', {})
})

const writePackage = (folder: string, more: object): void => writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'shop', dependencies: { dep: '^1.0.0' }, scripts: { start: 'x' }, ...more }))
const writeBoth = (more: object): void => [now, before].forEach((folder) => writePackage(folder, more))
const writeDependency = (name: string, scripts: object): void => {
  mkdirSync(join(before, 'node_modules', name), { recursive: true })
  writeFileSync(join(before, 'node_modules', name, 'package.json'), JSON.stringify({ name: name.split('node_modules/').at(-1), scripts }))
}

function configOf(text: string | undefined, more = ''): Config {
  const config = parseConfig(`app = "shop"\ncommand = ["node", "x.js"]\n${more}`, { file: 'x', folder: '/srv/shop' })
  const install = text === undefined ? {} : { install: { text, argv: ['/bin/sh', '-c', text] } }
  return { ...config, hooks: { timeoutMs: 1, ...install } }
}
const plan = (over: { text?: string | undefined; previous?: Partial<Release>; config?: Config; node?: string } = {}): DependenciesPlan =>
  planDependencies({
    folder: now,
    config: over.config ?? configOf('text' in over ? over.text : 'npm ci --omit=dev'),
    previous: { release: { ...release, ...over.previous }, folder: before, config: configOf('npm ci --omit=dev') },
    node: over.node ?? 'v20',
  })

it('are taken over where nothing changed that they depend on', () => {
  expect(plan()).toEqual({ kind: 'reuse', why: 'nothing changed since release r1 that they depend on' })
  // What else a release changes is no reason, nor is the order of keys.
  writeFileSync(join(now, 'server.js'), 'new')
  writePackage(now, { version: '2.0.0', scripts: { start: 'y', build: 'z' }, dependencies: { dep: '^1.0.0' } })
  expect(plan({ previous: { dependencies: { outcome: 'reused', node: 'v20' } } }).kind).toBe('reuse')
})

it('there are none without a hook, and nothing to take over without a release', () => {
  expect(plan({ text: undefined })).toEqual({ kind: 'none', why: 'there is no hooks.install' })
  expect(planDependencies({ folder: now, config: configOf('npm ci') })).toEqual({ kind: 'run', why: 'there is no release before it' })
})

it.each<[string, string, () => DependenciesPlan]>([
  ['another hook', 'hooks.install changed', () => plan({ text: 'npm ci' })],
  ['another environment', 'env changed', () => plan({ config: configOf('npm ci --omit=dev', 'env = { NODE_ENV = "test" }') })],
  ['another node', 'node is v22 now, and was v20', () => plan({ node: 'v22' })],
  ['a release whose hook did not run', 'hooks.install did not run in release r1', () => plan({ previous: { dependencies: { outcome: 'skipped', node: 'v20' } } })],
  ['a release in place', 'release r1 runs in place', () => plan({ previous: { source: { kind: 'directory', path: '/srv', snapshot: false } } })],
  ['no node_modules', 'release r1 has no node_modules', () => (rmSync(join(before, 'node_modules'), { recursive: true }), plan())],
  ['node_modules that are a link', 'release r1 has no node_modules', () => (rmSync(join(before, 'node_modules'), { recursive: true }), symlinkSync('/usr', join(before, 'node_modules')), plan())],
  ['node_modules of its own', 'it brings a node_modules of its own', () => (mkdirSync(join(now, 'node_modules')), plan())],
  ['another lock file', 'package-lock.json changed', () => (writeFileSync(join(now, 'package-lock.json'), `${lock} `), plan())],
  ['a lock file more', 'yarn.lock changed', () => (writeFileSync(join(now, 'yarn.lock'), ''), plan())],
  ['no lock file', 'there is no lock file', () => ([now, before].forEach((folder) => rmSync(join(folder, 'package-lock.json'))), plan())],
  ['a lock file that is a link', 'package-lock.json is no plain file', () => (rmSync(join(now, 'package-lock.json')), symlinkSync(join(before, 'package-lock.json'), join(now, 'package-lock.json')), plan())],
  ['a lock file that names folders', 'package-lock.json names dependencies that are folders or files of the release', () => ([now, before].forEach((folder) => writeFileSync(join(folder, 'package-lock.json'), '{"resolved":"file:../dep"}')), plan())],
  ['other settings', '.npmrc changed', () => (writeFileSync(join(now, '.npmrc'), 'omit=dev'), plan())],
  ['other dependencies', 'dependencies of package.json changed', () => (writePackage(now, { dependencies: { dep: '^1.0.0', other: '1' } }), plan())],
  ['other overrides', 'overrides of package.json changed', () => (writePackage(now, { overrides: { a: '1' } }), plan())],
  ['a lifecycle script', 'package.json has a script "postinstall", which an install runs', () => (writeBoth({ scripts: { postinstall: 'x' } }), plan())],
  ['workspaces', 'package.json has workspaces', () => (writeBoth({ workspaces: ['a'] }), plan())],
  ['a dependency that is a folder', 'dependencies of package.json names folders or files of the release', () => (writeBoth({ dependencies: { dep: 'file:dep' } }), plan())],
  ['a dependency that is a path', 'dependencies of package.json names folders or files of the release', () => (writeBoth({ dependencies: { dep: '../dep' } }), plan())],
  ['a build of its own', 'binding.gyp is there, with which an install is more than its lock file', () => (writeFileSync(join(now, 'binding.gyp'), ''), plan())],
  ['no package.json', 'there is no package.json', () => (rmSync(join(now, 'package.json')), plan())],
  ['a broken package.json', 'package.json cannot be read', () => (writeFileSync(join(now, 'package.json'), '{'), plan())],
  ['a script of a dependency', '@prisma/client has a postinstall script, which may read the release\'s files', () => (writeDependency('@prisma/client', { postinstall: 'x' }), plan())],
  ['a script of a nested one', 'deep has an install script, which may read the release\'s files', () => (writeDependency('dep/node_modules/deep', { install: 'x' }), plan())],
  ['what cannot be compared', 'overrides of package.json changed', () => ([now, before].forEach((folder) => writeFileSync(join(folder, 'package.json'), `{"overrides":${'['.repeat(50_000)}${']'.repeat(50_000)}}`)), plan())],
  ['a script in another store', 'stored has a preinstall script, which may read the release\'s files', () => (writeDependency('.bun/stored@1/node_modules/stored', { preinstall: 'x' }), plan())],
  ['a script in pnpm’s store', 'stored has a preinstall script, which may read the release\'s files', () => (writeDependency('.pnpm/stored@1/node_modules/stored', { preinstall: 'x' }), plan())],
])('are installed with %s', (_, why, act) => {
  expect(act()).toEqual({ kind: 'run', why })
})

it('a script that only fetches a native part is no reason, nor is one that is not run', () => {
  writeDependency('esbuild', { postinstall: 'x' })
  expect(plan().kind).toBe('reuse')
  writeDependency('other', { postinstall: 'x' })
  expect(plan().kind).toBe('run')
  const config = configOf('npm ci --ignore-scripts')
  expect(planDependencies({ folder: now, config, previous: { release, folder: before, config }, node: 'v20' }).kind).toBe('reuse')
})

describe('a plain install command', () => {
  it.each([
    'npm ci', 'npm ci --omit=dev --no-audit --no-fund', 'npm install --omit dev', ' npm  i ', 'pnpm install --frozen-lockfile --prod', 'yarn', 'yarn --immutable',
    'yarn install --production=true', 'bun install --production',
  ])('%s', (text) => {
    expect(findCommandReason(['/bin/sh', '-c', text])).toBeUndefined()
  })
  it.each([
    'npm ci && npm run build', 'npm ci; x', 'npm ci | cat', 'npm ci\nnpm run build', 'A=b npm ci', 'npm ci $X', 'npm ci `x`', 'npm ci > x', 'npm run build', 'npm install express', 'npm ci --prefix web',
    'npm ci --no-package-lock', 'npm i -g', 'npm ci -w web', 'yarn add x', 'make', './install', 'npx npm ci', 'constructor', 'npm constructor', 'pnpm -r install', '',
  ])('is not %j', (text) => {
    expect(findCommandReason(['/bin/sh', '-c', text])).toMatch(/^hooks\.install /)
  })
  it('may be a list', () => {
    expect(findCommandReason(['npm', 'ci'])).toBeUndefined()
    expect(findCommandReason(['npm', 'ci', 'a;b'])).toMatch(/^hooks\.install has a;b/)
  })
})

describe('taking them over', () => {
  it('gives the new release the same files, and follows no link', async () => {
    symlinkSync('/etc', join(before, 'node_modules/link'))
    chmodSync(join(before, 'node_modules/dep/package.json'), 0o444)
    chmodSync(now, 0o555)
    await reuseDependencies(before, now)
    const [one, other] = [statSync(join(before, 'node_modules/dep/package.json')), statSync(join(now, 'node_modules/dep/package.json'))]
    expect({ ino: other.ino, mode: other.mode & 0o7777 }).toEqual({ ino: one.ino, mode: 0o444 })
    expect(lstatSync(join(now, 'node_modules/link')).isSymbolicLink()).toBe(true)
    expect(readlinkSync(join(now, 'node_modules/link'))).toBe('/etc')
    expect(statSync(now).mode & 0o7777).toBe(0o555)
  })
  it('copies where the filesystem makes no links', async () => {
    const other = mkdtempSync('/dev/shm/holdfast-dependencies-')
    onTestFinished(() => rmSync(other, { recursive: true }))
    await reuseDependencies(before, other)
    expect(statSync(join(other, 'node_modules/dep/package.json')).nlink).toBe(1)
  })
  it('says what is wrong', async () => {
    rmSync(join(before, 'node_modules'), { recursive: true })
    await expect(reuseDependencies(before, now)).rejects.toThrow(/node_modules could not be taken over: cp: .*No such file/)
  })
})
