/** Deploys from another machine: over a real SSH server, by a push, and from a CI. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { serverJs } from './apps.js'
import { pack } from './archives.js'
import { eventsOf, expectTruth, historyOf, liveRelease, makeInstalledApp, said, type DeployedApp } from './deploys.js'
import { checkout, expectSuccess, run, units, waitFor, type Result } from './harness.js'
import { makeBareRepository, makeRepository } from './repository.js'
import { startSshServer, type SshServer } from './sshd.js'

const slowStart = { before: 'await new Promise((resolve) => setTimeout(resolve, 3_000))' }

const isUnderWay = async (app: DeployedApp): Promise<boolean> => (await units(`${app.name}-deploy.service`, 'active', 'activating')).length > 0

async function prepare(prefix: string): Promise<{ app: DeployedApp; server: SshServer; to(user: string, ...args: string[]): Promise<Result> }> {
  const app = await makeInstalledApp(prefix)
  const server = await startSshServer()
  expectSuccess(await app.deploy(await app.tree('1')))
  return { app, server, to: (user, ...args) => app.deploy(['--to', `${user}@127.0.0.1`, ...args], { env: server.env }) }
}

/** What people see of a deploy, without what differs from one to the next. */
const shape = (result: Result): string[] =>
  eventsOf(result.stdout).flatMap((event) => (event.type === 'step' ? [`${event.step} ${event.state}`] : event.type === 'end' ? [`${event.outcome} ${event.status}`] : []))

describe('holdfast deploy --to', () => {
  it.each(['root', 'an account with sudo'])('as %s shows the same progress and ends with the same status', async (who) => {
    const { app, server, to } = await prepare('remote')
    const user = who === 'root' ? who : server.account
    const good = await to(user, await app.tree('2'), '--json')
    expectSuccess(good)
    await expectTruth(app, '2')
    const local = await app.deploy([await pack(await app.tree('3'), 'tar.gz'), '--json'])
    expect(shape(good)).toEqual(shape(local))
    expect(historyOf(app).at(-2)?.by).toMatch(who === 'root' ? /root/ : new RegExp(server.account))

    const archive = await to(user, await pack(await app.tree('4'), 'tar.zst'))
    expectSuccess(archive)
    await expectTruth(app, '4')

    const broken = await app.tree('5', { before: "throw new Error('no such module: stripe')" })
    const failed = await to(user, broken)
    expect(failed.status, said(failed)).toBe(1)
    expect(said(failed)).toMatch(/no such module: stripe/)
    expect(said(failed)).toMatch(/handover/)
    await expectTruth(app, '4')
    // Refused before anything was begun.
    const unknown = await run(process.execPath, [join(checkout, 'dist/cli/main.js'), 'deploy', `${app.name}-none`, broken, '--to', `${user}@127.0.0.1`], { env: server.env })
    expect(unknown.status, said(unknown)).toBe(2)
  })

  it('goes on without its connection once the release is there, and says how to look', async () => {
    const { app, server } = await prepare('lost')
    const client = spawn(process.execPath, [join(checkout, 'dist/cli/main.js'), 'deploy', app.name, await app.tree('2', slowStart), '--to', 'root@127.0.0.1'], {
      env: { ...process.env, ...server.env },
    })
    onTestFinished(() => void client.kill('SIGKILL'))
    let output = ''
    for (const stream of [client.stdout, client.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (output += text))
    const ended = once(client, 'close')
    await waitFor('generation 2 is starting', async () => (await units(`${app.name}@2.1.service`, 'activating')).length === 1, { timeoutMs: 30_000 })
    await server.cut()
    const [status] = await ended
    expect(status, output).toBe(1)
    expect(output).toMatch(/connection[^]*holdfast (status|history|logs)/i)
    expect(await isUnderWay(app)).toBe(true)
    await waitFor('it is over', async () => !(await isUnderWay(app)), { timeoutMs: 30_000 })
    await expectTruth(app, '2')
  })

  it('goes on when its terminal is gone', async () => {
    const { app, server } = await prepare('terminal')
    const client = spawn(process.execPath, [join(checkout, 'dist/cli/main.js'), 'deploy', app.name, await app.tree('2', slowStart), '--to', 'root@127.0.0.1'], {
      env: { ...process.env, ...server.env }, stdio: 'ignore', detached: true,
    })
    const ended = once(client, 'exit')
    await waitFor('generation 2 is starting', async () => (await units(`${app.name}@2.1.service`, 'activating')).length === 1, { timeoutMs: 30_000 })
    process.kill(-(client.pid ?? 0), 'SIGKILL')
    await ended
    await waitFor('it is over', async () => !(await isUnderWay(app)), { timeoutMs: 30_000 })
    await expectTruth(app, '2')
  })

  it('begins nothing when the connection is cut in the upload', async () => {
    const { app, server } = await prepare('upload')
    const archive = await pack(await app.tree('2'), 'tar.gz')
    // An upload that never comes to its end.
    const client = spawn('sh', ['-c', `{ head -c 600 ${archive}; exec sleep 60; } | exec ${process.execPath} ${join(checkout, 'dist/cli/main.js')} deploy ${app.name} - --to root@127.0.0.1`], {
      env: { ...process.env, ...server.env }, detached: true,
    })
    const ended = once(client, 'exit')
    onTestFinished(() => {
      try {
        process.kill(-(client.pid ?? 0), 'SIGKILL')
      } catch {
        // ended by itself
      }
    })
    await waitFor('the upload has begun', async () => (await server.connections()).length > 0 && (await run('pgrep', ['-f', `main.js deploy.*${app.name}`])).stdout.trim().split('\n').length > 1)
    await server.cut()
    process.kill(-(client.pid ?? 0), 'SIGKILL')
    await ended
    await waitFor('nothing is under way', async () => !(await isUnderWay(app)), { timeoutMs: 30_000 })
    expectSuccess(await app.deploy(await app.tree('3')))
    await expectTruth(app, '3')
    expect(historyOf(app).filter(({ outcome }) => outcome === 'live')).toHaveLength(2)
  })

  it('says so when the server cannot be reached', async () => {
    const { app, server } = await prepare('unreachable')
    const result = await app.deploy([await app.tree('2'), '--to', 'nobody-there@127.0.0.1'], { env: server.env })
    expect(result.status, said(result)).toBe(1)
    expect(said(result)).toMatch(/nobody-there@127\.0\.0\.1/)
    await expectTruth(app, '1')
  })
})

it('a push to a repository on the server deploys what was pushed, and the push shows it', async () => {
  const app = await makeInstalledApp('push')
  const server = await startSshServer()
  const bare = await makeBareRepository(`#!/bin/sh
while read -r old new ref; do
  [ "$ref" = refs/heads/main ] || continue
  holdfast deploy ${app.name} "$PWD" --branch main --commit "$new"
done
`)
  const repository = await makeRepository()
  const push = (branch: string): Promise<Result> =>
    repository.tryGit(['push', `ssh://root@127.0.0.1${bare}`, branch], { PATH: server.env.PATH, GIT_SSH_COMMAND: 'ssh' })
  const commit = await repository.commit({ 'server.js': serverJs('1'), 'package.json': '{"type":"module","version":"1.0.0"}' })
  const pushed = await push('main')
  expectSuccess(pushed)
  expect(pushed.stderr).toMatch(/remote:.*live/)
  await expectTruth(app, '1')
  expect(await liveRelease(app)).toMatchObject({ source: { kind: 'git', branch: 'main', commit } })
  // Another branch is only kept.
  await repository.git('checkout', '--quiet', '-b', 'idea')
  await repository.commit({ 'server.js': serverJs('2'), 'package.json': '{"type":"module","version":"2.0.0"}' })
  expectSuccess(await push('idea'))
  await expectTruth(app, '1')
})

it('a CI pushes an archive through ssh, with its checksum', async () => {
  const { app, server } = await prepare('pipeline')
  const archive = await pack(await app.tree('2'), 'zip')
  const result = await run('sh', ['-c', `ssh ${server.account}@127.0.0.1 sudo -n holdfast deploy ${app.name} - --sha256 "$(sha256sum < ${archive} | cut -d ' ' -f 1)" < ${archive}`], { env: server.env })
  expectSuccess(result)
  await expectTruth(app, '2')
  expect(existsSync(join(app.state, 'deploy.json'))).toBe(false)
})
