import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { excludeOf, planRemote, sshArgs } from '../../../src/cli/remote.js'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-test-'))
  mkdirSync(join(folder, 'web'))
  writeFileSync(join(folder, 'web/holdfast.toml'), 'app = "shop"\ncommand = ["./server"]\n')
  writeFileSync(join(folder, 'it\'s.zip'), '')
})
afterEach(() => rmSync(folder, { recursive: true }))
const words = (...given: Parameters<typeof planRemote>): string[] => planRemote(...given).command
const client = (command: string[]): unknown => JSON.parse(command[command.indexOf('--remote') + 1] as string)
/** Without the client, which is a text of its own. */
const rest = (command: string[]): string[] => command.filter((_, i) => command[i - 1] !== '--remote')

describe('a deploy to another machine', () => {
  it('names the app of the folder, and sends what lies here', () => {
    const command = words('h', [join(folder, 'web')], { migrate: false, wait: true })
    expect(rest(command)).toEqual(['holdfast', 'deploy', '--no-migrate', '--wait', '--json', '--remote', '--', 'shop', '-'])
    expect(client(command)).toEqual({ name: `${folder}/web`, again: `holdfast deploy shop ${folder}/web --no-migrate --to h` })
    const archive = words('h', ['shop', join(folder, "it's.zip")], { overlay: join(folder, "it's.zip"), sha256: 'a'.repeat(64), user: true })
    expect(rest(archive)).toEqual(['holdfast', '--user', 'deploy', '--sha256', 'a'.repeat(64), '--overlay', '-', '--json', '--remote', '--', 'shop', '-'])
    expect(client(archive)).toMatchObject({ name: "it's.zip", overlayName: "it's.zip" })
  })

  it('lets nothing that a folder says become an option of what runs as root there', () => {
    writeFileSync(join(folder, 'web/holdfast.toml'), 'app = "--overlay=/etc/x"\n')
    expect(() => words('h', [join(folder, 'web')], {})).toThrow('names the app "--overlay=/etc/x", which is no app\'s name')
  })

  it('passes on what has an address', () => {
    expect(rest(words('h', ['shop', 'git@example.com:shop.git'], { branch: 'main' })).slice(2)).toEqual(['--branch', 'main', '--json', '--remote', '--', 'shop', 'git@example.com:shop.git'])
    expect(rest(words('h', ['shop', 'https://a:b@example.com/x.zip'], { sha256: 'a'.repeat(64), dryRun: true })).slice(2)).toEqual(['--sha256', 'a'.repeat(64), '--dry-run', '--remote', '--', 'shop', 'https://a:b@example.com/x.zip'])
    expect(rest(words('h', ['shop'], { commit: 'abcdef1' })).slice(2)).toEqual(['--commit', 'abcdef1', '--json', '--remote', '--', 'shop'])
    expect(rest(words('h', ['shop'], { overlay: 'https://example.com/x.zip', overlaySha256: 'a'.repeat(64) })).slice(2)).toEqual(['--overlay', 'https://example.com/x.zip', '--overlay-sha256', 'a'.repeat(64), '--json', '--remote', '--', 'shop'])
    expect(() => words('h', ['shop', join(folder, 'web')], { branch: 'main' })).toThrow('a repository on this machine, which h cannot read')
  })

  it('quotes every word for the shell there, and becomes root there unless it is for a user', () => {
    const args = sshArgs('anna@h', ['holdfast', "it's", '$(x)'], { user: false, env: {} })
    expect(args.slice(0, -1)).toEqual(['ssh', '-T', '-o', 'ServerAliveInterval=15', '--', 'anna@h'])
    expect(args.at(-1)).toBe(`exec sh -c 'if [ "$(id -u)" = 0 ]; then exec "$@"; else exec sudo -n -- "$@"; fi' sh 'holdfast' 'it'\\''s' '$(x)'`)
    expect(sshArgs('h', ['x'], { user: true, env: {} }).at(-1)).toBe(`exec sh -c 'exec "$@"' sh 'x'`)
    expect(sshArgs('h', ['x'], { user: true, env: { HOLDFAST_SSH: ' ssh -p 2222 ' } }).slice(0, 4)).toEqual(['ssh', '-p', '2222', '-T'])
  })

  it('leaves out the repository, and node_modules where a hook makes them there', () => {
    const web = join(folder, 'web')
    expect(['.git', 'a/.git', '.gitignore', 'node_modules', 'a.js'].filter(excludeOf(web))).toEqual(['.git', 'a/.git'])
    writeFileSync(join(web, 'holdfast.toml'), 'app = "shop"\ncommand = ["./server"]\n[hooks]\ninstall = "npm ci"\n')
    expect(['.git', 'node_modules', 'a/node_modules', 'node_modules.js'].filter(excludeOf(web))).toEqual(['.git', 'node_modules', 'a/node_modules'])
  })
})
