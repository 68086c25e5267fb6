import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { nameInFolder, readDeployWords } from '../../../src/cli/choose-app.js'
import { openApp, openUnits } from '../../../src/cli/context.js'
import { pathsOf, placesOf } from '../../../src/release/paths.js'

const read = (...words: string[]) => readDeployWords(words, ['shop', 'blog'], (path) => path === 'web' || path === 'blog')

describe('the words of a deploy', () => {
  it.each([
    [[], { app: undefined, source: undefined }],
    [['shop'], { app: 'shop', source: undefined }],
    [['shop', 'web'], { app: 'shop', source: 'web' }],
    [['web'], { app: undefined, source: 'web' }],
    [['./shop'], { app: undefined, source: './shop' }],
    [['-'], { app: undefined, source: '-' }],
    [['x.git'], { app: undefined, source: 'x.git' }],
    [['git@example.com:shop'], { app: undefined, source: 'git@example.com:shop' }],
    // Not installed, and so told.
    [['shpo'], { app: 'shpo', source: undefined }],
    [['Shop.zip'], { app: undefined, source: 'Shop.zip' }],
  ])('%j', (words, meant) => {
    expect(read(...words)).toEqual(meant)
  })
  it('are refused where they could mean two things, or stand the wrong way round', () => {
    expect(() => read('blog')).toThrow('blog is an app, and lies here as well')
    expect(() => read('./web', 'shop')).toThrow('./web is no app\'s name: the app stands before the source')
    expect(() => read('-', '-')).toThrow('- is no app\'s name')
  })
})

describe('a name that is a path', () => {
  const evil = ['../x', '../../../srv/evil/x', '/etc', 'a/b', '..', '--overlay=/etc/x', 'a\nb', '']
  const makeFolder = (): string => {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-test-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    return folder
  }

  it.each(evil)('%j has no folders', (app) => {
    expect(() => pathsOf(placesOf('system'), app)).toThrow(expect.objectContaining({ code: 'usage' }) as Error)
  })
  it.each(evil)('%j in holdfast.toml is refused', (app) => {
    const folder = makeFolder()
    writeFileSync(join(folder, 'holdfast.toml'), `app = ${JSON.stringify(app)}\n`)
    expect(() => nameInFolder(folder)).toThrow(expect.objectContaining({ code: 'usage' }) as Error)
  })
  it('is no name at all where it is none', () => {
    const folder = makeFolder()
    expect(nameInFolder(folder)).toBeUndefined()
    writeFileSync(join(folder, 'holdfast.toml'), 'app = 1')
    expect(nameInFolder(folder)).toBeUndefined()
    writeFileSync(join(folder, 'holdfast.toml'), 'app = "shop"\nwhatever = ')
    expect(nameInFolder(folder)).toBeUndefined()
    writeFileSync(join(folder, 'holdfast.toml'), 'app = "shop"\nelse = 1')
    expect(nameInFolder(folder)).toBe('shop')
  })
})

it('an app whose own files are about another one is not opened', () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-test-'))
  const before = { ...process.env }
  onTestFinished(() => {
    Object.assign(process.env, before)
    rmSync(folder, { recursive: true })
  })
  Object.assign(process.env, { HOME: folder, XDG_CONFIG_HOME: join(folder, 'config'), XDG_STATE_HOME: join(folder, 'state'), XDG_RUNTIME_DIR: join(folder, 'run') })
  const paths = pathsOf(placesOf('user'), 'shop')
  mkdirSync(paths.state, { recursive: true })
  mkdirSync(join(folder, 'config/holdfast'), { recursive: true })
  const manifest = (app: string): void => writeFileSync(join(paths.state, 'manifest.json'), JSON.stringify({ version: 1, app, units: [], files: [], node: '', cli: '', homePaths: [] }))
  const config = (app: string): void => writeFileSync(paths.config, `app = "${app}"\ncommand = ["./server"]\ndirectory = "${folder}"\n[listen]\nhttp = 8080\n`)
  manifest('shop')
  config('shop')
  expect(openApp('shop', { user: true }).config.app).toBe('shop')
  config('blog')
  expect(() => openApp('shop', { user: true })).toThrow('is the configuration of blog, not of shop')
  manifest('../blog')
  expect(() => openUnits('shop', { user: true })).toThrow('manifest.json is that of "../blog", not of shop')
})
