import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { init, planInit } from '../../../src/cli/init.js'
import { loadConfig } from '../../../src/config/load.js'
import type { Config } from '../../../src/config/model.js'
import { catchError } from './fixtures.js'

let folder: string
beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), 'holdfast-init-')), 'my_shop')
  mkdirSync(folder)
})
afterEach(() => rmSync(dirname(folder), { recursive: true }))

type Files = Record<string, string | object>

function put(files: Files): void {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content))
  }
}

const port = ({ listen }: Config): unknown => listen[0]?.address.kind === 'tcp' && listen[0].address.port

describe('init', () => {
  test.each<[what: string, files: Files, app: string, command: string[], port: number]>([
    ['an empty folder', {}, 'my-shop', ['node', 'server.js'], 3000],
    ['a start script', { 'package.json': { name: '@me/Web.Shop', scripts: { start: 'PORT=8081 node app.js' } } }, 'web-shop', ['node', 'app.js'], 8081],
    ['a wrapped start script', { 'package.json': { scripts: { start: 'npm run go', go: 'cross-env A=b nodemon x.js' } } }, 'my-shop', ['node', 'x.js'], 3000],
    ['tsx', { 'package.json': { scripts: { start: 'tsx src/server.ts --port 4000' } } }, 'my-shop', ['node', '--import', 'tsx', 'src/server.ts', '--port', '4000'], 4000],
    ['a start script for a shell', { 'package.json': { scripts: { start: 'a && b' } }, 'index.js': 'app.listen(5000)' }, 'my-shop', ['node', 'index.js'], 5000],
    ['main', { 'package.json': { main: './lib/go.js' }, 'lib/go.js': 'listen(process.env.PORT || 4321)' }, 'my-shop', ['node', 'lib/go.js'], 4321],
    ['dist', { 'package.json': {}, 'dist/index.js': '' }, 'my-shop', ['node', 'dist/index.js'], 3000],
    ['.env', { '.env': 'X=1\nPORT="7000"\n', 'server.js': '' }, 'my-shop', ['node', 'server.js'], 7000],
    ['the runtime', { 'package.json': { dependencies: { holdfast: '1', fastify: '5' } }, 'server.js': '' }, 'my-shop', ['node', '--import', 'holdfast/register', 'server.js'], 3000],
    ['the runtime, preloaded already', { 'package.json': { scripts: { start: 'node --import holdfast/register a.js' }, dependencies: { holdfast: '1' } } }, 'my-shop', ['node', '--import', 'holdfast/register', 'a.js'], 3000],
    ['Next.js', { 'package.json': { scripts: { start: 'next start' }, dependencies: { next: '15' } } }, 'my-shop', ['node', '.next/standalone/server.js'], 3000],
    ['Nest', { 'package.json': { scripts: { start: 'nest start', 'start:prod': 'node dist/main' }, dependencies: { '@nestjs/core': '11' } } }, 'my-shop', ['node', 'dist/main'], 3000],
    ['a package.json that is none', { 'package.json': '{"name":' }, 'my-shop', ['node', 'server.js'], 3000],
    ['a list', { 'package.json': '[]' }, 'my-shop', ['node', 'server.js'], 3000],
    ['wrong types', { 'package.json': { name: 5, main: {}, scripts: [1], dependencies: 'x' } }, 'my-shop', ['node', 'server.js'], 3000],
    ['nasty words', { 'package.json': '{"name": "systemd", "main": "../../x", "scripts": {"start": "LISTEN_FDS=3 A=\'\\ud800\\u007f\\" \\u2028\' node \'a \\"b\\\\.js\'"}}' }, 'my-shop', ['node', 'a "b\\.js'], 3000],
    ['a port that is none', { 'package.json': { scripts: { start: 'node s.js --port 99999' } } }, 'my-shop', ['node', 's.js', '--port', '99999'], 3000],
  ])('%s', (_what, files, app, command, expectedPort) => {
    put(files)
    const { file, notes } = init(folder)
    expect(file).toBe(join(folder, 'holdfast.toml'))
    const config = loadConfig(file)
    expect(config).toMatchObject({ app, command, directory: folder })
    expect(port(config)).toBe(expectedPort)
    expect(config.env['NODE_ENV']).toBe('production')
    expect(notes.every((note) => note.length > 10 && !note.includes('\n'))).toBe(true)
  })

  test('says how to get the runtime', () => {
    put({ 'package.json': { scripts: { start: 'node server.js' } }, 'server.js': '' })
    const { text, notes } = planInit(folder)
    expect(text).toContain('# command = ["node", "--import", "holdfast/register", "server.js"]\ncommand = ["node", "server.js"]')
    expect(notes.join()).toContain('npm install holdfast')
  })

  test('every commented key is in order too', () => {
    const text = planInit(folder).text.replace(/^# (?=[a-z_]+ = |\[)/gm, '').replace(/\ncommand = (?=\["node", "--)/, '\n# $&')
    for (const table of ['preview', 'admission', 'notify']) expect(text).toContain(`\n[${table}]\n`)
    writeFileSync(join(folder, 'holdfast.toml'), text.replace(/^command = \["node", "server\.js"\]\n/m, ''))
    expect(loadConfig(join(folder, 'holdfast.toml'))).toMatchObject({ data: true, user: 'my-shop', limits: { tasks: 512 }, preview: { address: { port: 8090 } }, notify: { command: ['/usr/local/bin/tell-chat'] }, hooks: { install: { text: 'npm ci --omit=dev' } } })
  })

  test.each<[what: string, files: Files, install: string, migrate: string]>([
    ['npm', { 'package.json': { scripts: { migrate: 'x' } }, 'package-lock.json': {} }, 'npm ci --omit=dev', 'npm run migrate'],
    ['a build', { 'package.json': { scripts: { build: 'tsc', 'db:migrate': 'x' } } }, 'npm ci && npm run build', 'npm run db:migrate'],
    ['pnpm', { 'pnpm-lock.yaml': '' }, 'pnpm install --frozen-lockfile --prod', 'npm run migrate'],
    ['yarn', { 'package.json': { scripts: { build: 'tsc' } }, 'yarn.lock': '' }, 'yarn install --frozen-lockfile && yarn run build', 'npm run migrate'],
  ])('suggests hooks: %s', (_what, files, install, migrate) => {
    put(files)
    const { text } = planInit(folder)
    expect(text).toContain(`# install = "${install}"\n`)
    expect(text).toContain(`# migrate = "${migrate}"\n`)
  })

  test('never overwrites', () => {
    put({ 'holdfast.toml': 'mine' })
    expect(catchError(() => init(folder))).toMatchObject({ code: 'usage', message: `${join(folder, 'holdfast.toml')} exists already, and is never overwritten` })
    expect(readFileSync(join(folder, 'holdfast.toml'), 'utf8')).toBe('mine')
  })

  test('nor through a link that leads nowhere', () => {
    symlinkSync('elsewhere', join(folder, 'holdfast.toml'))
    expect(catchError(() => init(folder)).code).toBe('usage')
  })

  test('needs a folder', () => {
    expect(catchError(() => init(join(folder, 'none'))).code).toBe('usage')
  })
})
