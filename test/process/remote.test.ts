/** `holdfast deploy --to`, with a stub in the place of ssh(1). */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { version } from '../../src/cli/version.js'
import { ensureBuilt, root } from './built.js'

beforeAll(ensureBuilt, 60_000)
let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-test-'))
  mkdirSync(join(folder, 'web/.git'), { recursive: true })
  mkdirSync(join(folder, 'web/node_modules'))
  writeFileSync(join(folder, 'web/holdfast.toml'), 'app = "shop"\ncommand = ["./server"]\n[hooks]\ninstall = "npm ci"\n')
  writeFileSync(join(folder, 'web/server'), 'hello')
})
afterEach(() => rmSync(folder, { recursive: true }))

function deploy(how: string, ...words: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [join(root, 'dist/cli/main.js'), 'deploy', ...words, '--to', 'anna@shop.example.com'], {
    encoding: 'utf8', cwd: folder, input: '',
    env: { ...process.env, HOLDFAST_SSH: `${process.execPath} ${join(root, 'test/process/stub-ssh.mjs')}`, STUB_SSH: how, STUB_SEEN: join(folder, 'seen') },
  })
}

/** What a terminal acts on, but for the end of a line. */
const acted = /(?!\n)[\p{Cc}\p{Cf}]/u

describe('a deploy to another machine', () => {
  it('sends the folder without what is made there, and shows what is told', () => {
    const { status, stdout, stderr } = deploy('live', 'web')
    expect(stderr).toBe('')
    expect(status).toBe(0)
    expect(stdout).toBe('anna deploys web to shop (x)\nfetch     done        0.1 s\nshop: generation 2 is live, release r, after 0.2 s.\n')
    const names = spawnSync('tar', ['-tzf', join(folder, 'seen.archive')], { encoding: 'utf8' }).stdout.trim().split('\n').sort()
    expect(names).toEqual(['./', './holdfast.toml', './server'])
    const args = JSON.parse(readFileSync(join(folder, 'seen.args'), 'utf8')) as string[]
    expect(args.slice(-3, -1)).toEqual(['--', 'anna@shop.example.com'])
    expect(args.at(-1)).toMatch(/'holdfast' 'deploy' '--json' '--remote' '.*' '--' 'shop' '-'$/)
  })

  it('sends a file as it is, and passes the events on with --json', () => {
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, i) => i % 251))
    writeFileSync(join(folder, 'shop.zip'), bytes)
    const { status, stdout } = deploy('live', 'shop', './shop.zip', '--json')
    expect(status).toBe(0)
    expect(stdout.trim().split('\n').map((line) => (JSON.parse(line) as { type: string }).type)).toEqual(['deploy', 'step', 'end'])
    expect(readFileSync(join(folder, 'seen.archive')).equals(bytes)).toBe(true)
  })

  it.each([
    ['failed', 1, 'Error: the deploy of shop failed at step migrate: no\n    why\nTry: mend it'],
    ['absent', 2, 'anna@shop.example.com has no program holdfast on its PATH. Nothing was begun there\nTry: '],
    ['sudo', 2, 'may not run holdfast as root without a password: sudo: a password is required. Nothing was begun there\nTry: '],
    ['old', 2, 'is of another version, which takes no deploys from here. Nothing was begun there\nTry: '],
    ['newer', 2, `is of version 99.0.0, and this one is ${version}. Nothing was begun there\nTry: ssh anna@shop.example.com sudo npm install --global holdfast@${version}`],
    ['busy', 2, 'Error: ben deploys x to shop\nTry: add --wait'],
    ['unreachable', 1, 'cannot be reached: ssh: connect to host shop.example.com port 22: Connection refused. Nothing was begun there\nTry: '],
    ['cut', 1, 'was lost while the archive was sent. Nothing was begun there\nTry: '],
    ['lost-early', 1, 'was lost before it answered. Whether the deploy has begun there is not known\nTry: ssh anna@shop.example.com holdfast status shop'],
    ['lost', 1, 'was lost. The deploy goes on there\nTry: ssh anna@shop.example.com holdfast status shop'],
  ])('tells what it means when it is %s', (how, status, text) => {
    // More than a pipe holds.
    if (how === 'cut') writeFileSync(join(folder, 'web/large'), Buffer.from(Array.from({ length: 3_000_000 }, () => Math.floor(Math.random() * 256))))
    const result = deploy(how, 'web')
    expect(result.stderr).toContain(text)
    expect(result.status).toBe(status)
  })

  it('shows nothing that a terminal acts on, and passes over what is no event', () => {
    const { status, stdout, stderr } = deploy('hostile', 'web')
    expect(status).toBe(1)
    expect(stdout + stderr).not.toMatch(acted)
    expect(stdout).toBe('anna deploys web to shop (x y)\nfetch     done        0.1 s\n')
    expect(stderr).toContain('Error: the deploy of shop failed at step migrate: no\n    why\nTry: mend it')
    const json = deploy('hostile', 'web', '--json')
    expect(json.stdout).not.toMatch(acted)
    expect(json.stdout.trim().split('\n').map((line) => (JSON.parse(line) as { type: string }).type)).toEqual(['deploy', 'step', 'end'])
  })

  it('keeps little of what is said there before holdfast answers', () => {
    const { status, stderr } = deploy('chatty', 'web')
    expect(status).toBe(3)
    expect(stderr.split('\n')).toHaveLength(51)
    expect(stderr).toContain('line 9999\n')
    expect(stderr.length).toBeLessThan(60 * (17 << 10))
  })

  it('prints the plan of the other machine as JSON, or says that it is none', () => {
    const plan = deploy('plan', 'web', '--dry-run', '--json')
    expect(plan.stderr).toBe('')
    expect(plan.status).toBe(0)
    expect(plan.stdout).not.toMatch(acted)
    expect(JSON.parse(plan.stdout)).toEqual({ app: 'shop', what: 'a\u009b31m\u202eb' })
    const none = deploy('no-plan', 'web', '--dry-run', '--json')
    expect(none.stdout).toBe('')
    expect(none.stderr).toContain('what anna@shop.example.com answered is no plan')
    expect(none.status).toBe(1)
    expect(deploy('no-plan', 'web', '--dry-run').stdout).toBe('  not JSON\n')
  })

  it.each(['-oProxyCommand=x', 'a b', ''])('refuses %j as a machine', (host) => {
    const { status, stderr } = spawnSync(process.execPath, [join(root, 'dist/cli/main.js'), 'deploy', 'web', `--to=${host}`], { encoding: 'utf8', cwd: folder })
    expect(stderr).toContain('is no machine')
    expect(status).toBe(2)
  })

  it('refuses a repository that is on this machine alone', () => {
    const { status, stderr } = deploy('live', 'web', '--branch', 'main')
    expect(stderr).toContain('which anna@shop.example.com cannot read')
    expect(status).toBe(2)
  })
})
