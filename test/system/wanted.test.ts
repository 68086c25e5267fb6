/** What is recorded, and who may ask for what: rollback and apply, the file `wanted`, restarts that bring up what stands there. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { ask, recorded } from './apps.js'
import { pack, sha256Of } from './archives.js'
import { eventsOf, expectTruth, historyOf, liveRelease, makeInstalledApp, releasesOf, said, visitApp, type DeployedApp } from './deploys.js'
import { expectSuccess, holdfast, journal, systemctl, units } from './harness.js'

const wantedFile = (app: DeployedApp): string => join(app.state, 'wanted')
const wantedOf = async (app: DeployedApp): Promise<string> => (await readFile(wantedFile(app), 'utf8')).trim()

/** A folder of builds that versions are fetched from. */
async function builds(prefix: string): Promise<{ app: DeployedApp; publish(version: string, tree: string, options?: { checksum?: string }): Promise<void> }> {
  const folder = `/srv/${prefix}-builds-${process.pid}`
  await mkdir(folder, { recursive: true })
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const app = await makeInstalledApp(prefix, { tables: `[source]\nurl = "file://${folder}/shop-{version}.tar.gz"` })
  return {
    app,
    async publish(version, tree, { checksum } = {}) {
      const archive = await pack(tree, 'tar.gz')
      await writeFile(join(folder, `shop-${version}.tar.gz`), await readFile(archive))
      await writeFile(join(folder, `shop-${version}.tar.gz.sha256`), `${checksum ?? sha256Of(archive)}  shop-${version}.tar.gz\n`)
    },
  }
}

it('with nothing recorded, says so and does no harm', async () => {
  const app = await makeInstalledApp('nothing')
  const applied = await app.holdfast('apply')
  expectSuccess(applied)
  expect(applied.stdout).toContain(`No release of ${app.name} is recorded yet`)
  expect((await app.holdfast('apply', '--dry-run')).stdout).toContain(`No release of ${app.name} is recorded yet`)
  expectSuccess(await systemctl('restart', app.name))
  const back = await app.holdfast('rollback')
  expect([back.status, back.stderr]).toEqual([2, expect.stringContaining(`no release of ${app.name} is live`)])
  expect(await units(`${app.name}@*.service`)).toEqual([])
})

it('a rollback goes to the last good release, never to a failed one, and further back the next time', async () => {
  const app = await makeInstalledApp('back')
  const traffic = visitApp(app)
  for (const release of ['1', '2']) expectSuccess(await app.deploy(await app.tree(release)))
  expect((await app.deploy(await app.tree('3', { before: "throw new Error('broken')" }))).status).toBe(1)
  expectSuccess(await app.deploy(await app.tree('4')))
  const [one, two, three, four] = releasesOf(app)

  const plan = await app.holdfast('rollback', '--dry-run', '--json')
  expect(JSON.parse(plan.stdout)).toMatchObject({ app: app.name, from: { release: four?.id, generation: 4 }, to: { release: two?.id, version: '2.0.0' }, passedAfterDrain: [], cancelsAfterDrain: null })
  const failed = await app.holdfast('rollback', three?.id as string)
  expect([failed.status, failed.stderr]).toEqual([2, expect.stringContaining('has failed')])
  const same = await app.holdfast('rollback', '4.0.0')
  expect([same.status, same.stderr]).toEqual([2, expect.stringContaining('is live already')])
  expect((await ask(app)).release).toBe('4')

  const back = await app.holdfast('rollback', '--json')
  expectSuccess(back)
  const events = eventsOf(back.stdout)
  expect(events[0]).toMatchObject({ type: 'deploy', kind: 'rollback', app: app.name, steps: ['record', 'handover', 'prune'] })
  expect(events.at(-1)).toMatchObject({ type: 'end', outcome: 'live', status: 0, release: two?.id, generation: 5 })
  await expectTruth(app, '2')
  expectSuccess(await app.holdfast('rollback'))
  await expectTruth(app, '1')
  const none = await app.holdfast('rollback')
  expect([none.status, none.stderr]).toEqual([2, expect.stringContaining(`no good release of ${app.name} before ${one?.id}`)])
  expectSuccess(await app.holdfast('rollback', '4.0.0')) // forth, by name
  await expectTruth(app, '4')
  expect(historyOf(app).map(({ kind }) => kind)).toEqual(['deploy', 'deploy', 'deploy', 'deploy', 'rollback', 'rollback', 'rollback'])
  expect(historyOf(app).at(-1)).toMatchObject({ kind: 'rollback', outcome: 'live', release: four?.id, from: one?.id, by: expect.stringMatching(/./) as string })
  expect((await traffic.stop()).failures).toEqual([])
})

it('apply brings back what is recorded, and does nothing where it serves', async () => {
  const app = await makeInstalledApp('apply')
  expectSuccess(await app.deploy(await app.tree('1')))
  const again = await app.holdfast('apply', '--json')
  expect(eventsOf(again.stdout).at(-1)).toMatchObject({ outcome: 'unchanged', status: 0, generation: 1 })
  expect((await recorded(app)).generation).toBe(1)
  expectSuccess(await systemctl('stop', app.name, `${app.name}-drain.service`))
  expectSuccess(await app.holdfast('apply'))
  await expectTruth(app, '1')
  expect(historyOf(app).at(-1)).toMatchObject({ kind: 'apply', outcome: 'live' })
})

it('a restart brings up the release or the version that somebody wrote, and what is live again where that fails', async () => {
  const { app, publish } = await builds('wanted')
  expectSuccess(await app.deploy(await app.tree('1')))
  const first = await liveRelease(app)
  expect(await wantedOf(app)).toBe(first.id)
  expectSuccess(await app.deploy(await app.tree('2')))
  const traffic = visitApp(app)

  await writeFile(wantedFile(app), `${first.id}\n`)
  expect((await app.holdfast('status')).stdout).toMatch(new RegExp(`wanted +${first.id}`))
  expectSuccess(await systemctl('restart', app.name))
  await expectTruth(app, '1')
  await writeFile(wantedFile(app), '2.0.0')
  expectSuccess(await systemctl('reload', app.name))
  await expectTruth(app, '2')
  expect(await wantedOf(app)).toBe('2.0.0') // as it was written
  expectSuccess(await systemctl('restart', app.name)) // nothing new: the same release
  await expectTruth(app, '2')

  await publish('3.0.0', await app.tree('3'))
  await writeFile(wantedFile(app), '3.0.0\n')
  const plan = await app.holdfast('apply', '--dry-run')
  expect(plan.stdout).toMatch(/Would fetch version 3\.0\.0 of .* from file:/)
  expectSuccess(await systemctl('restart', app.name))
  await expectTruth(app, '3')
  expect(await liveRelease(app)).toMatchObject({ version: '3.0.0', outcome: 'good', source: { kind: 'archive', url: expect.stringMatching(/^file:/) as string } })

  await publish('4.0.0', await app.tree('4'), { checksum: '0'.repeat(64) })
  await publish('5.0.0', await app.tree('5', { before: "throw new Error('broken')" }))
  for (const [version, why] of [['4.0.0', /0{64}/], ['5.0.0', /did not become generation/], ['6.0.0', /there is no file/], ['../../etc/passwd', /which is neither a release nor a version/]] as const) {
    await writeFile(wantedFile(app), `${version}\n`)
    expect((await systemctl('restart', app.name)).status, version).toBe(1)
    expect(await journal(app.name), version).toMatch(why)
    await expectTruth(app, '3')
    expect(await wantedOf(app), version).toBe((await liveRelease(app)).id)
  }
  expect((await traffic.stop()).failures).toEqual([])
})

it('apply fetches a version on a new machine, and a boot brings up nothing else than what has proved itself', async () => {
  const { app, publish } = await builds('new')
  await publish('1.0.0', await app.tree('1'))
  await writeFile(wantedFile(app), '1.0.0\n')
  expectSuccess(await systemctl('restart', app.name)) // as at a first boot: nothing is live
  await expectTruth(app, '1')
  await publish('2.0.0', await app.tree('2'))
  await writeFile(wantedFile(app), '2.0.0\n')
  expectSuccess(await systemctl('stop', app.name, `${app.name}-drain.service`))
  expectSuccess(await systemctl('start', app.name))
  await expectTruth(app, '1')
  await writeFile(wantedFile(app), '2.0.0\n')
  const applied = await app.holdfast('apply')
  expect(applied.status, said(applied)).toBe(0)
  await expectTruth(app, '2')
})

it('a restart of an app with a source folder takes the folder, unless somebody wrote something else', async () => {
  const app = await makeInstalledApp('both')
  const folder = await app.tree('1')
  await writeFile(join(folder, 'holdfast.toml'), `${await readFile(join(folder, 'holdfast.toml'), 'utf8')}`.replace('command =', 'directory = "."\ncommand ='))
  expectSuccess(await holdfast('install', '--replace', join(folder, 'holdfast.toml')))
  await expectTruth(app, '1')
  const first = await liveRelease(app)
  for (const [file, from, to] of [['server.js', '"1"', '"2"'], ['package.json', '1.0.0', '2.0.0']] as const) {
    await writeFile(join(folder, file), (await readFile(join(folder, file), 'utf8')).replaceAll(from, to))
  }
  expectSuccess(await systemctl('restart', app.name))
  await expectTruth(app, '2')
  await writeFile(wantedFile(app), `${first.id}\n`)
  expectSuccess(await systemctl('restart', app.name))
  await expectTruth(app, '1')
  expectSuccess(await systemctl('stop', app.name, `${app.name}-drain.service`))
  expectSuccess(await systemctl('start', app.name)) // never the folder
  await expectTruth(app, '1')
  expectSuccess(await systemctl('restart', app.name))
  await expectTruth(app, '2')
})
