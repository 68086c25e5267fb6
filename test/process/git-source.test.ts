import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { HoldfastError } from '../../src/errors.js'
import { fetchSource } from '../../src/release/fetch.js'
import type { Fetched, FetchOptions } from '../../src/release/source-spec.js'
import { serveRepositories, type GitServer } from './git-server.js'

let folder: string
let work: string
let staging: string
let server: GitServer | undefined
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-git-'))
  work = join(folder, 'work')
  staging = join(folder, 'staging')
  mkdirSync(staging)
  git('init', '--quiet', '--initial-branch=main')
})
afterEach(() => {
  server?.close()
  server = undefined
  rmSync(folder, { recursive: true })
})

const identity = {
  PATH: process.env['PATH'], HOME: '/nonexistent', GIT_CONFIG_NOSYSTEM: '1', GIT_AUTHOR_NAME: 'A', GIT_AUTHOR_EMAIL: 'a@example.com',
  GIT_COMMITTER_NAME: 'A', GIT_COMMITTER_EMAIL: 'a@example.com', GIT_ALLOW_PROTOCOL: 'file',
}

/** git in the folder where people work. */
function git(...args: string[]): string {
  mkdirSync(work, { recursive: true })
  return execFileSync('git', args, { cwd: work, env: identity, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim()
}

/** Commits files; the full commit. */
function commit(files: Record<string, string>): string {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(work, name)), { recursive: true })
    writeFileSync(join(work, name), text)
    git('add', '--', name)
  }
  git('commit', '--quiet', '--allow-empty', '--message=x')
  return git('rev-parse', 'HEAD')
}

type GitSpec = { repository?: string; branch?: string; commit?: string }

async function take(spec: GitSpec = {}, more: Partial<FetchOptions> = {}): Promise<Extract<Fetched, { kind: 'archive' }>> {
  rmSync(join(staging, 'source.tar'), { force: true })
  const fetched = await fetchSource({ kind: 'git', repository: work, ...spec }, staging, { limitBytes: 1 << 20, state: join(folder, 'state'), ...more })
  if (fetched.kind !== 'archive') throw new Error('expected an archive')
  return fetched
}

async function refuse(taking: Promise<unknown>): Promise<HoldfastError> {
  const error = await taking.then(() => new Error('nothing was thrown'), (reason: unknown) => reason)
  if (!(error instanceof HoldfastError)) throw error
  expect(readdirSync(staging)).toEqual([])
  return error
}

const list = ({ file }: { file: string }): string[] => execFileSync('tar', ['--list', '--file', file], { encoding: 'utf8' }).trim().split('\n')
const show = ({ file }: { file: string }, name: string): string => execFileSync('tar', ['--extract', '--to-stdout', '--file', file, name], { encoding: 'utf8' })

describe('a commit', () => {
  test('of HEAD’s branch, as it was committed', async () => {
    const first = commit({ 'server.js': 'one', '.gitattributes': 'notes.md export-ignore', 'notes.md': 'x' })
    writeFileSync(join(work, 'server.js'), 'not committed')
    const fetched = await take()
    expect(fetched).toEqual({ kind: 'archive', file: join(staging, 'source.tar'), source: { kind: 'git', repository: work, branch: 'main', commit: first } })
    expect(list(fetched)).toEqual(['.gitattributes', 'server.js'])
    expect(show(fetched, 'server.js')).toBe('one')
  })

  test('of the branch asked for, else the one deployed last from there, else HEAD’s', async () => {
    commit({ a: 'main' })
    git('checkout', '--quiet', '-b', 'feature/x')
    commit({ a: 'feature' })
    git('checkout', '--quiet', 'main')
    const branchOf = async (spec: GitSpec, lastGit?: { repository: string; branch: string }): Promise<string> => {
      const fetched = await take(spec, lastGit === undefined ? {} : { lastGit })
      return `${fetched.source.kind === 'git' && fetched.source.branch}: ${show(fetched, 'a')}`
    }
    expect(await branchOf({})).toBe('main: main')
    expect(await branchOf({ branch: 'feature/x' })).toBe('feature/x: feature')
    expect(await branchOf({}, { repository: work, branch: 'feature/x' })).toBe('feature/x: feature')
    expect(await branchOf({}, { repository: '/srv/other.git', branch: 'feature/x' })).toBe('main: main')
    expect(await branchOf({ branch: 'main' }, { repository: work, branch: 'feature/x' })).toBe('main: main')
  })

  test('that the branch contains, in full or abbreviated', async () => {
    const first = commit({ a: '1' })
    commit({ a: '2' })
    for (const written of [first, first.slice(0, 7), first.slice(0, 12).toUpperCase()]) {
      const fetched = await take({ commit: written })
      expect(fetched.source).toMatchObject({ commit: first })
      expect(show(fetched, 'a')).toBe('1')
    }
  })

  test('is not taken for a branch of that name', async () => {
    const first = commit({ a: '1' })
    commit({ a: '2' })
    git('branch', first.slice(0, 7))
    git('tag', first.slice(0, 8), 'HEAD')
    for (const length of [7, 8]) expect((await take({ commit: first.slice(0, length) })).source).toMatchObject({ commit: first })
  })

  test('on a branch whose name a shell would act on', async () => {
    commit({ a: '1' })
    git('branch', '-m', 'y$(id)')
    const hint = 'name one of them: --branch \'y$(id)\''
    expect(await refuse(take({ branch: 'none' }))).toMatchObject({ hint })
    git('checkout', '--quiet', '-b', 'main')
    const first = git('rev-parse', 'HEAD')
    git('checkout', '--quiet', 'y$(id)')
    const second = commit({ a: '2' })
    expect(first).not.toBe(second)
    expect(await refuse(take({ branch: 'main', commit: second }))).toMatchObject({ hint: `deploy it from there: --branch 'y$(id)' --commit ${second.slice(0, 12)}` })
  })

  test('that is on another branch', async () => {
    commit({ a: '1' })
    git('checkout', '--quiet', '-b', 'next')
    const elsewhere = commit({ a: '2' })
    const short = elsewhere.slice(0, 12)
    expect(await refuse(take({ branch: 'main', commit: elsewhere }))).toMatchObject({
      code: 'fetch-failed',
      message: `commit ${short} is not on branch "main" of ${work}: it is on "next"`,
      hint: `deploy it from there: --branch next --commit ${short}`,
    })
    git('checkout', '--quiet', 'main')
    git('branch', '--quiet', '-D', 'next')
    expect((await refuse(take({ commit: elsewhere }))).message).toContain('no branch contains it')
  })

  test('that is not there, or is none', async () => {
    commit({ a: '1' })
    const blob = git('rev-parse', 'HEAD:a')
    expect((await refuse(take({ commit: '0'.repeat(40) }))).message).toBe(`commit ${'0'.repeat(40)} is on no branch of ${work}`)
    expect((await refuse(take({ commit: blob }))).message).toContain('is on no branch of')
    for (const written of ['HEAD~1', 'abc', '--output=x', 'main', '']) expect(await refuse(take({ commit: written }))).toMatchObject({ code: 'usage' })
  })

  test('past the limit', async () => {
    commit({ a: 'x'.repeat(100_000) })
    expect((await refuse(take({}, { limitBytes: 65_536 }))).message).toMatch(/^.* at [0-9a-f]{12} is larger than 64K, the most that is taken$/)
  })
})

describe('a branch', () => {
  test('that is not there', async () => {
    commit({ a: '1' })
    expect(await refuse(take({ branch: 'none' }))).toMatchObject({ code: 'fetch-failed', message: `${work} has no branch "none"; it has "main"`, hint: 'name one of them: --branch main' })
    expect((await refuse(take({}, { lastGit: { repository: work, branch: 'gone' } }))).message).toBe(`${work} has no branch "gone", the branch of what is live; it has "main"`)
  })

  test.each(['--upload-pack=touch canary', '-x', 'a..b', 'a b', 'a\nb', '@{-1}', 'a.lock', '', 'a~1', ':x'])('%j is no name', async (branch) => {
    commit({ a: '1' })
    expect(await refuse(take({ branch }))).toMatchObject({ code: 'usage', message: expect.stringContaining('cannot be the name of a branch') })
  })

  test('of an empty repository, and of a HEAD that names none', async () => {
    expect((await refuse(take())).message).toBe(`${work} has no branches: nothing was committed to it yet`)
    commit({ a: '1' })
    git('checkout', '--quiet', '--detach')
    expect(await refuse(take())).toMatchObject({ message: expect.stringContaining('its HEAD names no branch'), hint: 'name the branch: --branch main' })
  })
})

describe('a repository', () => {
  test('that is none, or not the top of one', async () => {
    expect((await refuse(take({ repository: join(folder, 'none') }))).message).toBe(`there is no repository ${join(folder, 'none')}`)
    commit({ 'inner/a': '1' })
    symlinkSync('work', join(folder, 'link'))
    writeFileSync(join(folder, 'file'), '')
    expect((await refuse(take({ repository: join(work, 'inner') }))).message).toContain('cannot be read as a git repository: fatal: not a git repository')
    expect((await refuse(take({ repository: join(folder, 'file') }))).message).toContain('is no repository, but a file')
    expect((await refuse(take({ repository: join(folder, 'link') }))).message).toContain('is a symbolic link')
  })

  test('that is shallow', async () => {
    const first = commit({ a: '1' })
    commit({ a: '2' })
    git('clone', '--quiet', '--depth=1', `file://${work}`, '../shallow')
    const repository = join(folder, 'shallow')
    expect(show(await take({ repository }), 'a')).toBe('2')
    expect((await refuse(take({ repository, commit: first }))).message).toContain('the repository is shallow, its history is cut off')
  })

  test('that is a worktree of another', async () => {
    commit({ a: '1' })
    git('worktree', 'add', '--quiet', '-b', 'next', '../next')
    expect((await take({ repository: join(folder, 'next') })).source).toMatchObject({ repository: join(folder, 'next'), branch: 'next' })
  })

  test('with submodules, and one that had some', async () => {
    const first = commit({ a: '1' })
    git('update-index', '--add', '--cacheinfo', `160000,${first},vendor/lib`)
    commit({ '.gitmodules': '[submodule "lib"]\npath = vendor/lib\nurl = ext::sh\n' })
    expect((await refuse(take())).message).toBe(`${work} has submodules ("vendor/lib"), which are not fetched: the release would be without them`)
    git('rm', '--quiet', '--cached', 'vendor/lib')
    commit({})
    expect(list(await take())).toContain('.gitmodules')
  })

  test.each<[what: string, modules: string | undefined]>([
    ['no .gitmodules', undefined],
    ['one that is malformed', '[submodule "lib'],
    ['one that names another', '[submodule "lib"]\npath = other\nurl = x\n'],
  ])('with a submodule, and %s', async (_, modules) => {
    const first = commit({ a: '1' })
    git('update-index', '--add', '--cacheinfo', `160000,${first},vendor/lib\u00e9`)
    commit(modules === undefined ? {} : { '.gitmodules': modules })
    expect((await refuse(take())).message).toContain('has submodules ("vendor/lib\u00e9"), which are not fetched')
  })

  test('whose files cannot be listed', async () => {
    commit({ 'inner/a': '1' })
    const tree = git('rev-parse', 'HEAD:inner')
    rmSync(join(work, '.git/objects', tree.slice(0, 2), tree.slice(2)))
    expect((await refuse(take())).message).toContain('could not be read: its files cannot be listed')
  })

  test('with files in Git LFS: their pointers, and a note', async () => {
    commit({ 'assets/.gitattributes': '*.bin filter=lfs -text', 'assets/a.bin': 'version https://git-lfs.github.com/spec/v1\n' })
    git('config', 'filter.lfs.smudge', 'echo smudged')
    git('config', 'filter.lfs.required', 'true')
    const notes: string[] = []
    expect(show(await take({}, { onNote: (note) => notes.push(note) }), 'assets/a.bin')).toContain('version https://git-lfs')
    expect(notes).toEqual([expect.stringContaining('the release has their pointers instead')])
  })

  test('an aborted one', async () => {
    commit({ a: '1' })
    const reason = new Error('enough')
    await expect(take({}, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    const abort = new AbortController()
    await expect(take({}, { signal: abort.signal, onProgress: () => abort.abort(reason) })).rejects.toBe(reason)
    expect(readdirSync(staging)).toEqual([])
  })

  test('without git', async () => {
    commit({ a: '1' })
    const { PATH } = process.env
    process.env['PATH'] = '/nonexistent'
    try {
      expect(await refuse(take())).toMatchObject({ code: 'fetch-failed', message: 'git is not installed on this machine' })
    } finally {
      process.env['PATH'] = PATH
    }
  })
})

describe('a hostile configuration', () => {
  /** As root the repository is somebody else's, as it would be; without root it is one's own. */
  const owner = process.getuid?.() === 0 ? 65_534 : process.getuid?.() ?? 0
  let canaries: string

  beforeEach(() => {
    canaries = join(folder, 'canaries')
    mkdirSync(canaries)
    chmodSync(canaries, 0o777)
    chmodSync(folder, 0o755)
  })

  const give = (place: string): void => {
    if (owner !== process.getuid?.()) execFileSync('chown', ['--recursive', `${owner}:${owner}`, place])
  }

  test('runs nothing that is named for it', async () => {
    commit({ a: '1' })
    const touch = (name: string): string => `touch ${join(canaries, name)}; false`
    for (const key of [
      'core.fsmonitor', 'core.sshCommand', 'core.askPass', 'core.gitProxy', 'core.pager', 'core.editor', 'core.alternateRefsCommand', 'credential.helper',
      'uploadpack.packObjectsHook', 'diff.external', 'alias.archive', 'alias.rev-parse', 'gpg.program', 'tar.tar.command', 'archive.remote', 'pager.grep',
    ]) git('config', key, touch(key))
    git('config', 'core.hooksPath', join(work, 'hooks'))
    mkdirSync(join(work, 'hooks'))
    for (const hook of ['post-index-change', 'reference-transaction', 'pre-auto-gc', 'post-checkout']) {
      writeFileSync(join(work, 'hooks', hook), `#!/bin/sh\n${touch(hook)}\n`, { mode: 0o755 })
    }
    give(work)
    expect(show(await take(), 'a')).toBe('1')
    expect(readdirSync(canaries)).toEqual([])
  })

  test('runs filters as the repository’s owner, never as root', async () => {
    commit({ a: 'plain', '.gitattributes': 'a filter=mine' })
    const seen = join(canaries, 'seen')
    git('config', 'filter.mine.smudge', `(id -u; id -G; echo "$HOME"; env | grep -c SECRET) > ${seen}; tr a-z A-Z`)
    give(work)
    process.env['HOLDFAST_SECRET'] = 'SECRET'
    try {
      expect(show(await take(), 'a')).toBe('PLAIN')
    } finally {
      delete process.env['HOLDFAST_SECRET']
    }
    const [uid, , , secrets] = readFileSync(seen, 'utf8').split('\n')
    expect(uid).toBe(String(owner))
    expect(secrets).toBe('0')
    if (process.getuid?.() === 0) expect(readFileSync(seen, 'utf8')).toBe(`${owner}\n${owner}\n/nonexistent\n0\n`)
  })

  test('of a bare repository, too', async () => {
    commit({ a: 'plain', '.gitattributes': 'a filter=mine' })
    git('clone', '--quiet', '--bare', '.', '../bare.git')
    const repository = join(folder, 'bare.git')
    execFileSync('git', ['--git-dir', repository, 'config', 'filter.mine.smudge', `id -u > ${join(canaries, 'seen')}; cat`])
    give(repository)
    expect((await take({ repository })).source).toMatchObject({ repository, branch: 'main' })
    expect(readFileSync(join(canaries, 'seen'), 'utf8')).toBe(`${owner}\n`)
  })

  test('of root’s own repository that others may write to is not read', async () => {
    commit({ a: '1' })
    chmodSync(join(work, '.git'), 0o777)
    const error = take().then(() => undefined, (reason: unknown) => reason)
    if (process.getuid?.() === 0) expect(await error).toMatchObject({ code: 'fetch-failed', message: expect.stringContaining('its configuration would run programs as root') })
    else expect(await error).toBeUndefined()
  })

  describe.runIf(process.getuid?.() === 0)('of root’s own repository', () => {
    const everybody = 65_534
    /** What git would run as root, named by a file that git reads. */
    const trap = (): string => `[filter "mine"]\nsmudge = touch ${join(canaries, 'ran')}; cat\n`
    const refused = async (repository: string, message: string): Promise<void> => {
      expect(await refuse(take({ repository }))).toMatchObject({ code: 'fetch-failed', message: expect.stringContaining(message) })
      expect(readdirSync(canaries)).toEqual([])
    }
    beforeEach(() => commit({ a: 'plain', '.gitattributes': 'a filter=mine' }))

    test('is read where nobody else has a say in it', async () => {
      expect(show(await take(), 'a')).toBe('plain')
    })

    test('whose .git is a link to somebody’s', async () => {
      const mine = join(folder, 'mine')
      mkdirSync(mine)
      symlinkSync(join(work, '.git'), join(mine, '.git'))
      writeFileSync(join(work, '.git/config'), trap(), { flag: 'a' })
      give(work)
      await refused(mine, `${join(mine, '.git')} is a symbolic link`)
    })

    test('that is a worktree of somebody’s', async () => {
      git('worktree', 'add', '--quiet', '-b', 'next', '../next')
      writeFileSync(join(work, '.git/config'), trap(), { flag: 'a' })
      // All but what git itself looks at the owner of.
      for (const place of [work, join(work, '.git'), join(work, '.git/config')]) chownSync(place, everybody, everybody)
      await refused(join(folder, 'next'), 'others may write to ')
    })

    test('whose configuration is that of a repository in a folder of somebody’s', async () => {
      const [mine, own] = [join(folder, 'mine'), join(folder, 'own')]
      mkdirSync(mine)
      mkdirSync(own)
      writeFileSync(join(mine, '.git'), `gitdir: ${own}\n`)
      writeFileSync(join(own, 'HEAD'), 'ref: refs/heads/main\n')
      writeFileSync(join(own, 'commondir'), `${join(work, '.git')}\n`)
      expect(show(await take({ repository: mine }), 'a')).toBe('plain')
      rmSync(join(staging, 'source.tar'))
      writeFileSync(join(work, '.git/config'), trap(), { flag: 'a' })
      chownSync(work, everybody, everybody)
      await refused(mine, `others may write to ${work}`)
    })

    test('that lies in a folder of somebody’s', async () => {
      chownSync(folder, everybody, everybody)
      await refused(work, `others may write to ${folder}`)
    })

    test('whose repository lies behind a link', async () => {
      git('worktree', 'add', '--quiet', '-b', 'next', '../next')
      symlinkSync('.', join(folder, 'link'))
      writeFileSync(join(folder, 'next/.git'), `gitdir: ${join(folder, 'link', 'work', '.git/worktrees/next')}\n`)
      await refused(join(folder, 'next'), 'leads through a symbolic link')
    })

    test.each([
      ['config', 'config', true], ['config.worktree', 'config.worktree', true], ['info/attributes', 'info/attributes', true],
      ['config', 'config', false], ['info', 'info', false], ['config.worktree', 'config.worktree', false],
    ])('whose %s others may write to: %s, as its owner %j', async (_, name, asOwner) => {
      git('config', 'extensions.worktreeConfig', 'true')
      const place = join(work, '.git', name)
      if (name !== 'info') writeFileSync(place, name.startsWith('config') ? trap() : 'a filter=mine\n', { flag: 'a' })
      if (asOwner) chownSync(place, everybody, everybody)
      else chmodSync(place, 0o775)
      await refused(work, `others may write to ${place}`)
    })

    test.each(['group', 'others'] as const)('that is bare, with a configuration that its %s may write', async (who) => {
      git('clone', '--quiet', '--bare', '.', '../bare.git')
      chmodSync(join(folder, 'bare.git/config'), who === 'group' ? 0o664 : 0o646)
      await refused(join(folder, 'bare.git'), `others may write to ${join(folder, 'bare.git/config')}`)
    })

    test.each(['include', 'includeIf "gitdir:/**"'])('that includes a file (%s)', async (section) => {
      const file = join(folder, 'included')
      writeFileSync(file, trap())
      chownSync(file, everybody, everybody)
      writeFileSync(join(work, '.git/config'), `[${section}]\npath = ${file}\n`, { flag: 'a' })
      await refused(work, 'includes other files')
    })

    test('with a folder of the app that others may write to, which says nothing of git', async () => {
      mkdirSync(join(work, 'config'))
      chmodSync(join(work, 'config'), 0o777)
      mkdirSync(join(work, 'info'), { mode: 0o777 })
      expect(show(await take(), 'a')).toBe('plain')
    })

    test('of somebody’s folder with root’s group: nothing runs with that group', async () => {
      git('config', 'filter.mine.smudge', `id -g > ${join(canaries, 'group')}; cat`)
      execFileSync('chown', ['--recursive', `${everybody}:0`, work])
      expect(show(await take(), 'a')).toBe('plain')
      expect(readFileSync(join(canaries, 'group'), 'utf8')).toBe('65534\n')
    })
  })

  test.each(['', 'openpgp', 'x509', 'ssh'])('runs no program for a commit’s signature (%s)', async (format) => {
    const programs = join(folder, 'programs')
    mkdirSync(programs)
    for (const name of ['gpg', 'gpgsm', 'ssh-keygen', 'own']) writeFileSync(join(programs, name), `#!/bin/sh\ntouch ${join(canaries, name)}\n`, { mode: 0o755 })
    commit({ a: '$Format:%G?$', '.gitattributes': 'a export-subst' })
    const kind = { x509: 'SIGNED MESSAGE', ssh: 'SSH SIGNATURE' }[format] ?? 'PGP SIGNATURE'
    const signed = `tree ${git('rev-parse', 'HEAD^{tree}')}\nauthor A <a@example.com> 1000000000 +0000\ncommitter A <a@example.com> 1000000000 +0000\ngpgsig -----BEGIN ${kind}-----\n x\n -----END ${kind}-----\n\nx\n`
    writeFileSync(join(folder, 'signed'), signed)
    git('update-ref', 'refs/heads/main', git('hash-object', '-t', 'commit', '-w', join(folder, 'signed')))
    writeFileSync(join(folder, 'signers'), '')
    git('config', 'gpg.ssh.allowedSignersFile', join(folder, 'signers'))
    if (format !== '') git('config', `gpg.${format}.program`, join(programs, 'own'))
    const { PATH } = process.env
    process.env['PATH'] = `${programs}:${PATH}`
    try {
      expect(show(await take(), 'a').trim()).toMatch(/^[A-Z]?$/)
    } finally {
      process.env['PATH'] = PATH
    }
    expect(readdirSync(canaries)).toEqual([])
  })

  test('a folder of one account with a .git of another', async () => {
    commit({ a: '1' })
    if (process.getuid?.() === 0) chownSync(work, owner, owner)
    const error = take().then(() => undefined, (reason: unknown) => reason)
    if (process.getuid?.() === 0) expect(await error).toMatchObject({ code: 'fetch-failed', message: expect.stringContaining('dubious ownership') })
    else expect(await error).toBeUndefined()
  })
})

describe('a remote repository', () => {
  let repository: string
  beforeEach(async () => {
    git('init', '--quiet', '--bare', '--initial-branch=main', '../served/shop.git')
    git('remote', 'add', 'origin', '../served/shop.git')
    server = await serveRepositories(join(folder, 'served'))
    repository = `${server.origin}/shop.git`
  })

  const push = (...refs: string[]): string => git('push', '--quiet', 'origin', ...refs)
  const mirrors = (): string[] => readdirSync(join(folder, 'state/git'))

  test('is mirrored, and brought up to date', async () => {
    const first = commit({ a: '1' })
    push('main', 'main:old')
    const fetched = await take({ repository })
    expect(fetched.source).toEqual({ kind: 'git', repository, branch: 'main', commit: first })
    expect(show(fetched, 'a')).toBe('1')
    const second = commit({ a: '2' })
    push('main', ':old', 'main:new/x')
    expect((await take({ repository })).source).toMatchObject({ commit: second })
    expect((await refuseAfter(take({ repository, branch: 'old' }))).message).toContain('has no branch "old"; it has "main", "new/x"')
    expect(mirrors()).toEqual([expect.stringMatching(/^[0-9a-f]{16}\.git$/)])
    expect(statSync(join(folder, 'state/git')).mode & 0o777).toBe(0o700)
  })

  /** A tar of an earlier one may lie there. */
  const refuseAfter = async (taking: Promise<unknown>): Promise<HoldfastError> => {
    rmSync(join(staging, 'source.tar'), { force: true })
    return await refuse(taking)
  }

  test('whose branch was rewritten', async () => {
    const first = commit({ a: '1' })
    push('main')
    await take({ repository })
    git('commit', '--quiet', '--amend', '--message=y')
    push('--force', 'main')
    expect((await take({ repository })).source).toMatchObject({ commit: git('rev-parse', 'HEAD') })
    expect((await refuseAfter(take({ repository, commit: first }))).message).toMatch(/no branch contains it/)
  })

  test('with progress of what it sends, and then of what is written', async () => {
    for (let n = 0; n < 120; n += 1) writeFileSync(join(work, `f${n}`), randomBytes(2000))
    git('add', '.')
    commit({ a: '1' })
    push('main')
    const progress: number[] = []
    await take({ repository }, { limitBytes: 1 << 24, onProgress: ({ bytes }) => progress.push(bytes) })
    expect(progress.some((bytes, i) => bytes > 120 * 2000 && (progress[i + 1] ?? bytes) < 120 * 2000)).toBe(true)
    expect(progress.at(-1)).toBe(statSync(join(staging, 'source.tar')).size)
  })

  test('with another HEAD than main', async () => {
    git('checkout', '--quiet', '-b', 'trunk')
    commit({ a: '1' })
    push('trunk')
    execFileSync('git', ['--git-dir', join(folder, 'served/shop.git'), 'symbolic-ref', 'HEAD', 'refs/heads/trunk'])
    expect((await take({ repository })).source).toMatchObject({ branch: 'trunk' })
  })

  test('that wants credentials: used, and neither recorded nor shown', async () => {
    commit({ a: '1' })
    push('main')
    server?.close()
    server = await serveRepositories(join(folder, 'served'), 'me:se cret')
    const shown = `${server.origin}/shop.git`
    const refused = await refuse(take({ repository: shown }))
    expect(refused.message).toContain(`${shown} could not be fetched: git ended with status 128: fatal: could not read Username`)
    expect(refused.hint).toContain('a credential helper')
    const wrong = await refuse(take({ repository: shown.replace('//', '//me:wrong@') }))
    expect(wrong.message).toContain('Authentication failed')
    expect(wrong.message + wrong.hint).not.toContain('wrong')
    const fetched = await take({ repository: shown.replace('//', '//me:se%20cret@') })
    expect(fetched.source).toMatchObject({ repository: shown })
    const state = join(folder, 'state')
    const files = readdirSync(state, { recursive: true, encoding: 'utf8' }).filter((name) => statSync(join(state, name)).isFile())
    expect(files).toContainEqual(expect.stringContaining('config'))
    expect(files.filter((name) => readFileSync(join(state, name), 'latin1').includes('cret'))).toEqual([])
  })

  test('that has vanished, with what git said of it; the mirror stays', async () => {
    commit({ a: '1' })
    push('main')
    await take({ repository })
    const [mirror = ''] = mirrors()
    rmSync(join(folder, 'served/shop.git'), { recursive: true })
    const error = await refuseAfter(take({ repository }))
    expect(error).toMatchObject({ code: 'fetch-failed', hint: expect.stringContaining(`git ls-remote ${repository}`) })
    expect(error.message).toMatch(/could not be fetched: git ended with status 128: fatal: repository '.*' not found$/)
    expect(mirrors()).toEqual([mirror])
    expect(existsSync(join(folder, 'state/git', mirror, 'HEAD'))).toBe(true)
  })

  test('that is empty', async () => {
    expect((await refuse(take({ repository }))).message).toContain('has no commits yet')
    expect((await refuse(take({ repository, branch: 'main' }))).message).toContain('has no branches: nothing was committed to it yet')
  })

  test.each<[what: string, spoil: (mirror: string) => void]>([
    ['left a lock', (mirror) => writeFileSync(join(mirror, 'packed-refs.lock'), '')],
    ['has a broken ref', (mirror) => writeFileSync(join(mirror, 'refs/heads/main'), 'nonsense')],
    ['lost its objects', (mirror) => rmSync(join(mirror, 'objects'), { recursive: true })],
    ['is empty', (mirror) => {
      rmSync(mirror, { recursive: true })
      mkdirSync(mirror)
    }],
  ])('whose mirror %s', async (_what, spoil) => {
    commit({ a: '1' })
    push('main', 'main:old')
    await take({ repository })
    spoil(join(folder, 'state/git', mirrors()[0] ?? ''))
    commit({ a: '2' })
    push('main', ':old')
    expect(show(await take({ repository }), 'a')).toBe('2')
    expect(mirrors()).toHaveLength(1)
  })

  test('whose mirror a kill left in the middle: it is made anew', async () => {
    commit({ a: '1' })
    push('main')
    await take({ repository })
    const [mirror = ''] = mirrors()
    const left = join(folder, 'state/git', mirror, 'left')
    writeFileSync(left, '')
    await take({ repository })
    expect(existsSync(left)).toBe(true)
    writeFileSync(join(folder, 'state/git', mirror.replace(/\.git$/, '.unfinished')), '')
    expect(show(await take({ repository }), 'a')).toBe('1')
    expect(existsSync(left)).toBe(false)
    expect(mirrors()).toEqual([mirror])
  })

  test('over an ssh that stays for the next connection', async () => {
    const first = commit({ a: '1' })
    push('main')
    const [ssh, stayed] = [join(folder, 'ssh'), join(folder, 'stayed')]
    // As with ControlPersist: it keeps the standard error alone.
    writeFileSync(ssh, `#!/bin/sh\ntail -f /dev/null < /dev/null > /dev/null & echo $! >> ${stayed}\neval "command=\\\${$#}"\nexec sh -c "$command"\n`, { mode: 0o755 })
    process.env['GIT_SSH_COMMAND'] = ssh
    try {
      const address = `git@localhost:${join(folder, 'served/shop.git')}`
      expect((await take({ repository: address })).source).toEqual({ kind: 'git', repository: address, branch: 'main', commit: first })
      expect((await refuseAfter(take({ repository: 'git@localhost:/none.git' }))).message).toMatch(/could not be fetched: git ended with status 128: .*'\/none\.git' does not appear to be a git repository/)
    } finally {
      delete process.env['GIT_SSH_COMMAND']
      for (const pid of readFileSync(stayed, 'utf8').trim().split('\n')) process.kill(Number(pid))
    }
  })

  test('whose mirror cannot be read is fetched anew by the next', async () => {
    commit({ a: '1' })
    push('main')
    await take({ repository })
    const blob = git('rev-parse', 'HEAD:a')
    const mirror = join(folder, 'state/git', mirrors()[0] ?? '')
    const packs = readdirSync(join(mirror, 'objects/pack')).filter((name) => name.endsWith('.pack'))
    renameSync(join(mirror, 'objects/pack'), join(mirror, 'packs'))
    for (const pack of packs) execFileSync('git', ['--git-dir', mirror, 'unpack-objects', '-q'], { input: readFileSync(join(mirror, 'packs', pack)) })
    rmSync(join(mirror, 'objects', blob.slice(0, 2), blob.slice(2)))
    const error = await refuseAfter(take({ repository }))
    expect(error).toMatchObject({ code: 'fetch-failed', hint: expect.stringContaining('its mirror was removed') })
    expect(show(await take({ repository }), 'a')).toBe('1')
  })

  describe('with a history that is too large', () => {
    const message = /^.* is larger than 1G with all its history, and no more is fetched$/

    /** A git whose `fetch` does this, with the mirror as $mirror, and goes on until it is ended. */
    const fetchWith = async (what: string): Promise<void> => {
      const real = execFileSync('sh', ['-c', 'command -v git'], { encoding: 'utf8' }).trim()
      const programs = join(folder, 'programs')
      mkdirSync(programs)
      writeFileSync(join(programs, 'git'), `#!/bin/sh
for word; do
  if [ "$last" = --git-dir ]; then mirror=$word; fi
  if [ "$word" = fetch ]; then ${what}; fi
  last=$word
done
exec ${real} "$@"
`, { mode: 0o755 })
      commit({ a: '1' })
      push('main')
      const { PATH } = process.env
      process.env['PATH'] = `${programs}:${PATH}`
      try {
        const error = await refuse(take({ repository }))
        expect(error).toMatchObject({ code: 'fetch-failed', message: expect.stringMatching(message), hint: expect.stringContaining('max_size') })
      } finally {
        process.env['PATH'] = PATH
      }
      expect(mirrors().filter((name) => name.endsWith('.git'))).toEqual([])
      expect(show(await take({ repository }), 'a')).toBe('1')
    }

    test('ends by what git says that it has received', () => fetchWith(`printf 'Receiving objects:   1%% (1/100), 1.01 GiB | 3.00 MiB/s\\r' >&2; exec tail -f /dev/null`))
    test('ends by what lies there', () => fetchWith('truncate --size=1100M "$mirror/objects/tmp_pack"; exec tail -f /dev/null'))
    test('ends by what lies there once git has ended', () => fetchWith('truncate --size=1100M "$mirror/objects/tmp_pack"; exit 0'))
  })

  test('is not led to another protocol', async () => {
    process.env['GIT_ALLOW_PROTOCOL'] = 'ext:file:http'
    try {
      commit({ a: '1' })
      push('main')
      // What an account's own configuration could do to an address.
      process.env['XDG_CONFIG_HOME'] = folder
      mkdirSync(join(folder, 'git'))
      writeFileSync(join(folder, 'git/config'), `[url "ext::sh -c touch% ${join(folder, 'canary')}% "]\ninsteadOf = ${server?.origin}/\n[protocol]\nallow = always\n`)
      expect((await refuse(take({ repository }))).message).toContain("transport 'ext' not allowed")
      expect(existsSync(join(folder, 'canary'))).toBe(false)
    } finally {
      delete process.env['GIT_ALLOW_PROTOCOL']
      delete process.env['XDG_CONFIG_HOME']
    }
  })
})
