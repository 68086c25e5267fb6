/** Every way to bring a release, end to end. */
import { createReadStream, existsSync, statSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { archiveKinds, hostileArchives, pack, sha256Of, temporaryFolder } from './archives.js'
import { ask, serverJs } from './apps.js'
import { expectTruth, historyOf, liveRelease, makeInstalledApp, releasesOf, said, type DeployedApp } from './deploys.js'
import { startDownloads } from './downloads.js'
import { checkout, expectSuccess, freePort, mustRun, run, units, waitFor, type Result } from './harness.js'
import { makeRepository, type Repository } from './repository.js'

/** `holdfast deploy … -` with a shell's output as its input. */
const deployFrom = (app: DeployedApp, shell: string, ...flags: string[]): Promise<Result> =>
  run('sh', ['-c', `${shell} | ${process.execPath} ${join(checkout, 'dist/cli/main.js')} deploy ${app.name} - ${flags.join(' ')}`])

/** Expects a failure that leaves the release `1` serving, says where and why, and is recorded. */
async function expectRefusal(app: DeployedApp, result: Result, says: RegExp, status = 1): Promise<void> {
  expect(result.status, said(result)).toBe(status)
  expect(said(result)).toMatch(says)
  await expectTruth(app, '1')
}

async function withRelease1(prefix: string, options: Parameters<typeof makeInstalledApp>[1] = {}): Promise<DeployedApp> {
  const app = await makeInstalledApp(prefix, options)
  expectSuccess(await app.deploy(await app.tree('1')))
  return app
}

it('a directory and every kind of archive', async () => {
  const app = await withRelease1('kinds')
  expect(await liveRelease(app)).toMatchObject({ version: '1.0.0', outcome: 'good', source: { kind: 'directory' } })
  let number = 1
  for (const kind of archiveKinds) {
    const file = await pack(await app.tree(String(++number)), kind)
    expectSuccess(await app.deploy(file))
    await expectTruth(app, String(number))
    expect(await liveRelease(app)).toMatchObject({
      version: `${number}.0.0`, outcome: 'good', source: { kind: 'archive', name: basename(file), sha256: sha256Of(file) },
    })
  }
  expect(historyOf(app)).toMatchObject(['1', '2', '3', '4', '5'].map((n) => ({ kind: 'deploy', generation: Number(n), outcome: 'live' })))
})

it('a zip of the CI, whose version stands in a file of its own', async () => {
  const app = await makeInstalledApp('ci', { tables: '[source]\nversion_file = "build/version.txt"' })
  const file = await pack(await app.tree('1', { version: '0.0.0', files: { 'build/version.txt': '1.0.0\n' } }), 'zip')
  expectSuccess(await app.deploy([file, '--sha256', sha256Of(file)]))
  await expectTruth(app, '1')
})

it('standard input, whole and cut', async () => {
  const app = await withRelease1('stdin')
  const file = await pack(await app.tree('2'), 'tar.gz')
  await expectRefusal(app, await deployFrom(app, `head -c ${statSync(file).size >> 1} ${file}`), /unpack|archive/i)
  await expectRefusal(app, await deployFrom(app, 'true'), /standard input was empty/, 2)
  await expectRefusal(app, await deployFrom(app, `cat ${file}`, '--sha256', '0'.repeat(64)), /sha256|checksum/i)
  expectSuccess(await deployFrom(app, `cat ${file}`, '--sha256', sha256Of(file)))
  await expectTruth(app, '2')
  expect(await liveRelease(app)).toMatchObject({ source: { kind: 'archive', sha256: sha256Of(file) } })
})

describe('an address', () => {
  it('of a file, with the right checksum, a wrong one and none', async () => {
    const app = await withRelease1('file')
    const file = await pack(await app.tree('2'), 'tar.zst')
    await expectRefusal(app, await app.deploy([`file://${file}`, '--sha256', 'f'.repeat(64)]), /fetch[^]*sha256/i)
    await expectRefusal(app, await app.deploy(`file://${file}`), /--sha256/, 2)
    await expectRefusal(app, await app.deploy([`file://${file}.gone`, '--sha256', sha256Of(file)]), /fetch/)
    expectSuccess(await app.deploy([`file://${file}`, '--sha256', sha256Of(file)]))
    await expectTruth(app, '2')
    expect(await liveRelease(app)).toMatchObject({ source: { kind: 'archive', url: `file://${file}`, sha256: sha256Of(file) } })
  })

  it('over https: from a server that is trusted, one that is not, one that breaks off, and one that does not have it', async () => {
    const app = await withRelease1('https')
    const file = await pack(await app.tree('2'), 'tgz')
    let answer: 'whole' | 'cut' | 'missing' = 'whole'
    const downloads = await startDownloads((_, response) => {
      if (answer === 'missing') response.writeHead(404).end()
      else if (answer === 'whole') createReadStream(file).pipe(response)
      else response.writeHead(200, { 'content-length': 100_000 }).write('begins', () => response.destroy())
    })
    const source = [`${downloads.url}/shop.tgz`, '--sha256', sha256Of(file)]

    await expectRefusal(app, await app.deploy(source), /fetch[^]*(certificate|self.signed)/i)
    await downloads.trust()
    answer = 'missing'
    await expectRefusal(app, await app.deploy(source), /fetch[^]*404/)
    answer = 'cut'
    await expectRefusal(app, await app.deploy(source), /fetch/)
    answer = 'whole'
    expectSuccess(await app.deploy(source))
    await expectTruth(app, '2')
    expect(await liveRelease(app)).toMatchObject({ source: { kind: 'archive', url: source[0] } })
  })
})

describe('git', () => {
  const files = (app: DeployedApp, release: string): Record<string, string> => ({
    'server.js': serverJs(release), 'package.json': JSON.stringify({ version: `${release}.0.0`, type: 'module' }), '.gitignore': 'node_modules\n',
    'README.md': `release ${release} of ${app.name}\n`,
  })
  async function prepare(prefix: string): Promise<{ app: DeployedApp; repository: Repository; first: string; second: string }> {
    const app = await makeInstalledApp(prefix)
    const repository = await makeRepository()
    const first = await repository.commit(files(app, '1'))
    const second = await repository.commit(files(app, '2'))
    return { app, repository, first, second }
  }

  it('takes the tip, the branch deployed last, and a commit of the branch', async () => {
    const { app, repository, first, second } = await prepare('git')
    expectSuccess(await app.deploy(repository.folder))
    await expectTruth(app, '2')
    expect(await liveRelease(app)).toMatchObject({ source: { kind: 'git', repository: repository.folder, branch: 'main', commit: second } })

    expectSuccess(await app.deploy([repository.folder, '--branch', 'main', '--commit', first.slice(0, 12)]))
    await expectTruth(app, '1')
    expect(await liveRelease(app)).toMatchObject({ source: { commit: first } })

    await repository.git('checkout', '--quiet', '-b', 'staging')
    const third = await repository.commit(files(app, '3'))
    await repository.git('checkout', '--quiet', 'main')
    expectSuccess(await app.deploy([repository.folder, '--branch', 'staging']))
    const fourth = await (async () => {
      await repository.git('checkout', '--quiet', 'staging')
      return repository.commit(files(app, '4'))
    })()
    expect(await liveRelease(app)).toMatchObject({ source: { branch: 'staging', commit: third } })
    await repository.git('checkout', '--quiet', 'main')
    // Neither a branch nor a commit: the branch that was deployed last.
    expectSuccess(await app.deploy(repository.folder))
    await expectTruth(app, '4')
    expect(await liveRelease(app)).toMatchObject({ source: { branch: 'staging', commit: fourth } })
    const code = join(app.state, 'releases', (await liveRelease(app)).id)
    expect(await readFile(join(code, 'README.md'), 'utf8')).toContain('release 4')
    expect(existsSync(join(code, '.git'))).toBe(false)
  })

  it('refuses a commit that is not of the branch, a branch that is not there, and a remote that has vanished', async () => {
    const { app, repository, first } = await prepare('unreachable')
    expectSuccess(await app.deploy([repository.folder, '--commit', first]))
    await repository.git('checkout', '--quiet', '-b', 'other')
    const elsewhere = await repository.commit(files(app, '3'))
    await repository.git('checkout', '--quiet', 'main')
    await expectRefusal(app, await app.deploy([repository.folder, '--branch', 'main', '--commit', elsewhere]), new RegExp(`fetch[^]*${elsewhere.slice(0, 7)}[^]*main`))
    await expectRefusal(app, await app.deploy([repository.folder, '--branch', 'nowhere']), /fetch[^]*nowhere/)
    await expectRefusal(app, await app.deploy([repository.folder, '--branch', 'main', '--commit', '0'.repeat(40)]), /fetch[^]*0000000/)
    const server = `git://127.0.0.1:${await freePort()}/shop.git`
    await expectRefusal(app, await app.deploy([server, '--branch', 'main']), new RegExp(`fetch[^]*${server}`))
    await repository.vanish()
    await expectRefusal(app, await app.deploy([repository.folder, '--branch', 'main']), new RegExp(`there is no ${repository.folder}`), 2)
    expect(historyOf(app).at(-1)).toMatchObject({ kind: 'deploy', outcome: 'failed', step: 'fetch' })
  })

  it('with an archive over it', async () => {
    const { app, repository, second } = await prepare('overlay')
    const folder = await temporaryFolder('overlay')
    await writeFile(join(folder, 'server.js'), serverJs('9'))
    await writeFile(join(folder, 'package.json'), JSON.stringify({ version: '9.0.0', type: 'module' }))
    await writeFile(join(folder, 'secret-feature.js'), 'export {}\n')
    const overlay = await pack(folder, 'tar.gz', 'overlay')
    expectSuccess(await app.deploy([repository.folder, '--overlay', overlay, '--overlay-sha256', sha256Of(overlay)]))
    await expectTruth(app, '9')
    const release = await liveRelease(app)
    expect(release).toMatchObject({ source: { kind: 'git', commit: second }, overlay: { name: 'overlay.tar.gz', sha256: sha256Of(overlay) } })
    expect(existsSync(join(app.state, 'releases', release.id, 'secret-feature.js'))).toBe(true)
    expect(existsSync(join(app.state, 'releases', release.id, 'README.md'))).toBe(true)
  })
})

describe('a hostile archive', () => {
  it.each(Object.entries(hostileArchives))('with %s changes nothing', async (_, script) => {
    const app = await withRelease1('hostile', { tables: '[source]\nmax_size = "100M"' })
    const victim = `/srv/${app.name}-victim`
    await writeFile(victim, 'innocent\n', { mode: 0o644 })
    onTestFinished(() => rm(victim))
    const file = join(await temporaryFolder('hostile'), 'evil.tar')
    await mustRun('bash', ['-euc', script(victim), 'make', file], { cwd: await temporaryFolder('hostile') })
    await expectRefusal(app, await app.deploy(file), /unpack[^]*evil\.tar|evil\.tar[^]*unpack/)
    expect(await readFile(victim, 'utf8')).toBe('innocent\n')
    expect((await mustRun('stat', ['--format=%a %U %h', victim])).trim()).toBe('644 root 1')
    expect(releasesOf(app)).toHaveLength(1)
    expect((await ask(app)).release).toBe('1')
  })

  it('with setuid programs brings them without the bit', async () => {
    const app = await withRelease1('setuid')
    const tree = await app.tree('2', { files: { 'bin/tool': '#!/bin/sh\n' } })
    await mustRun('chmod', ['6777', join(tree, 'bin/tool')])
    expectSuccess(await app.deploy(await pack(tree, 'tar.gz')))
    const code = join(app.state, 'releases', (await liveRelease(app)).id)
    expect((await mustRun('find', [code, '-perm', '/7222', '-not', '-type', 'l'])).trim()).toBe('')
    expect((await mustRun('find', [code, '-not', '-user', 'root'])).trim()).toBe('')
    await expectTruth(app, '2')
  })
})

it('says who is deploying what since when, and waits with --wait', async () => {
  const app = await withRelease1('busy')
  const slow = await app.tree('2', { before: 'await new Promise((resolve) => setTimeout(resolve, 2_000))' })
  const first = app.deploy(slow)
  await waitFor('the first deploy runs', async () => (await units(`${app.name}-deploy.service`, 'active', 'activating')).length === 1 && existsSync(join(app.state, 'deploy.json')))
  const third = await app.tree('3')
  const busy = await app.deploy(third)
  expect(busy.status, said(busy)).toBe(2)
  expect(said(busy)).toContain(basename(slow))
  expect(said(busy)).toMatch(/root/)
  expect(said(busy)).toMatch(/--wait/)
  expectSuccess(await app.deploy([third, '--wait']))
  expectSuccess(await first)
  await expectTruth(app, '3')
  expect(historyOf(app).slice(-2)).toMatchObject([{ outcome: 'live', generation: 2 }, { outcome: 'live', generation: 3 }])
})
