/** Deploys on machines that are not well: clear words, status 1, and nothing lost. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { ask, recorded } from './apps.js'
import { pack, temporaryFolder } from './archives.js'
import { expectTruth, historyOf, makeInstalledApp, said, type DeployedApp } from './deploys.js'
import { expectSuccess, holdfast, mustRun, run, systemctl, units, waitFor } from './harness.js'

async function withRelease1(prefix: string): Promise<DeployedApp> {
  const app = await makeInstalledApp(prefix)
  expectSuccess(await app.deploy(await app.tree('1')))
  return app
}

/** Mounts a small disk of its own over a folder, with what lies there copied to it. */
async function mountOver(folder: string, ...options: string[]): Promise<{ grow(): Promise<void> }> {
  await mkdir(folder, { recursive: true })
  const kept = await temporaryFolder('mount')
  await mustRun('cp', ['-a', `${folder}/.`, kept])
  await mustRun('mount', ['-t', 'tmpfs', '-o', ['mode=711', ...options].join(','), 'tmpfs', folder])
  await mustRun('cp', ['-a', `${kept}/.`, folder])
  onTestFinished(async () => void (await mustRun('umount', ['--lazy', folder])))
  return { grow: async () => void (await mustRun('mount', ['-o', 'remount,size=50M', folder])) }
}

async function expectFailure(app: DeployedApp, source: string, says: RegExp): Promise<void> {
  const result = await app.deploy(source)
  expect(result.status, said(result)).toBe(1)
  expect(said(result)).toMatch(says)
  expect(said(result)).not.toMatch(/\bat .*\.js:\d+/)
  expect((await ask(app)).release).toBe('1')
  const { live, wanted } = await recorded(app)
  expect(live?.generation).toBe(1)
  expect(wanted).toBe(live?.release)
}

it('a full disk, until there is room again', async () => {
  const app = await withRelease1('full')
  const disk = await mountOver(app.state, 'size=400k')
  const big = await app.tree('2', { files: { 'big.bin': 'x'.repeat(400_000) } })
  await expectFailure(app, big, /the disk is full|no space left/i)
  await expectFailure(app, await pack(big, 'tar.gz'), /the disk is full|no space left/i)
  expect(historyOf(app).slice(-2)).toMatchObject([{ outcome: 'failed' }, { outcome: 'failed' }])
  await disk.grow()
  expectSuccess(await app.deploy(big))
  await expectTruth(app, '2')
})

it('a filesystem that has become read-only', async () => {
  const app = await withRelease1('readonly')
  await mountOver(app.state)
  await mustRun('mount', ['-o', 'remount,ro', app.state])
  const next = await app.tree('2')
  await expectFailure(app, next, /read-only/i)
  await mustRun('mount', ['-o', 'remount,rw', app.state])
  expectSuccess(await app.deploy(next))
  await expectTruth(app, '2')
  // Before the mount goes with all that lies on it.
  await systemctl('stop', `${app.name}.service`, `${app.name}-drain.service`)
})

it.each(['{"version":1,"gener', '', '[]', '{"version":1,"generation":-1}'])('a state file that holds %j is rebuilt from what runs', async (text) => {
  const app = await withRelease1('corrupt')
  expectSuccess(await app.deploy(await app.tree('2')))
  const before = await recorded(app)
  await waitFor('generation 1 has ended', async () => (await units(`${app.name}@*.service`)).length === 1)
  const file = join(app.state, 'state.json')
  await writeFile(file, text)
  const status = await holdfast('status', app.name)
  expect(said(status)).toMatch(/state\.json/)
  expect(said(status)).not.toMatch(/\bat .*\.js:\d+/)
  expect((await ask(app)).release).toBe('2')
  expectSuccess(await app.holdfast('apply'))
  await expectTruth(app, '2')
  expect((await recorded(app)).live?.release).toBe(before.live?.release)
  // Numbers are not given out again, and the last good release is still known.
  expectSuccess(await app.deploy(await app.tree('3')))
  expect((await recorded(app)).live?.generation).toBeGreaterThan(2)
  expectSuccess(await app.holdfast('rollback'))
  await expectTruth(app, '2')
})

it('a state file that is corrupt, when the app is started with nothing running', async () => {
  const app = await withRelease1('cold')
  expectSuccess(await systemctl('stop', `${app.name}.service`, `${app.name}-drain.service`))
  await writeFile(join(app.state, 'state.json'), 'nonsense')
  expectSuccess(await systemctl('start', app.name))
  await expectTruth(app, '1')
})

it('an archive that cannot be read', async () => {
  const app = await withRelease1('unreadable')
  const whole = await pack(await app.tree('2'), 'tar.gz')
  const folder = await temporaryFolder('unreadable')
  const cases: [string, string][] = [['text.tar.gz', 'hello'], ['empty.zip', '']]
  for (const [name, text] of cases) {
    await writeFile(join(folder, name), text)
    await expectFailure(app, join(folder, name), new RegExp(name.replace('.', '\\.')))
  }
  const bytes = await readFile(whole)
  await writeFile(join(folder, 'cut.tar.gz'), bytes.subarray(0, bytes.length >> 1))
  await expectFailure(app, join(folder, 'cut.tar.gz'), /cut\.tar\.gz/)
  bytes[bytes.length - 8] = (bytes.at(-8) ?? 0) ^ 1 // of the checksum
  await writeFile(join(folder, 'flipped.tar.gz'), bytes)
  await expectFailure(app, join(folder, 'flipped.tar.gz'), /flipped\.tar\.gz/)
  const gone = await app.deploy(join(folder, 'gone.zip'))
  expect(gone.status, said(gone)).toBe(2)
  expect(said(gone)).toContain('gone.zip')
  await rm(whole)
  await expectTruth(app, '1')
})

it('writers that began from another state are refused and told', async () => {
  const app = await withRelease1('swap')
  const slow = app.deploy(await app.tree('2', { hooks: { migrate: 'until [ -e "$STATE_DIRECTORY/go" ]; do sleep 0.05; done' } }))
  await waitFor('the migration runs', async () => (await units(`${app.name}-hook.service`, 'active', 'activating')).length === 1)
  // Somebody restarts the app meanwhile: the same release, a new generation.
  expectSuccess(await systemctl('restart', app.name))
  expect((await recorded(app)).live?.generation).toBe(2)
  await run('touch', [`${app.state}/data/go`])
  const result = await slow
  // Still the release that it began from.
  expect(result.status, said(result)).toBe(0)
  await expectTruth(app, '2')
})

it('an app that somebody stops while a deploy runs stays stopped, and the deploy says so', async () => {
  const app = await withRelease1('stopped')
  const slow = app.deploy(await app.tree('2', { hooks: { migrate: 'until [ -e "$STATE_DIRECTORY/go" ]; do sleep 0.05; done' } }))
  await waitFor('the migration runs', async () => (await units(`${app.name}-hook.service`, 'active', 'activating')).length === 1)
  expectSuccess(await systemctl('stop', app.name, `${app.name}-drain.service`))
  await run('touch', [`${app.state}/data/go`])
  const result = await slow
  expect(result.status, said(result)).toBe(1)
  expect(said(result)).toContain('was stopped by somebody since this began')
  expect(await units(`${app.name}@*`, 'active', 'activating')).toEqual([])
  expect(historyOf(app).at(-1)).toMatchObject({ kind: 'deploy', step: 'record', outcome: 'failed' })
  expectSuccess(await systemctl('start', app.name))
  await expectTruth(app, '1')
})

it('a stop in the middle of a handover is told as one, and stands in the history', async () => {
  const app = await withRelease1('midstop')
  const slow = app.deploy(await app.tree('2', { before: 'await new Promise((resolve) => setTimeout(resolve, 3_000))' }))
  await waitFor('generation 2 starts', async () => (await units(`${app.name}@2.1.service`, 'activating')).length === 1)
  expectSuccess(await systemctl('stop', app.name, `${app.name}-drain.service`))
  const result = await slow
  expect(result.status, said(result)).toBe(1)
  expect(said(result)).toContain('was stopped by somebody else in the middle of the handover')
  expect(historyOf(app).at(-1)).toMatchObject({ kind: 'deploy', step: 'handover', outcome: 'failed' })
  expectSuccess(await systemctl('start', app.name))
  await expectTruth(app, '1')
})
