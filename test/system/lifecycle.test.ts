/** Stop, start, connections to an app that does not run, and what an admin adds. */
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { describe, expect, it, onTestFinished } from 'vitest'
import { ask, broken, makeShop, recorded, serverJs, visit, type Shop } from './apps.js'
import { activeState, expectSuccess, freePort, holdfast, journal, makeApp, mustRun, registerModule, run, show, systemctl, uniqueApp, units, waitFor } from './harness.js'

async function installed(prefix: string, options: Parameters<typeof makeShop>[1] = {}): Promise<Shop> {
  const shop = await makeShop(prefix, { ...options, config: `${options.config ?? ''}\n[start]\nsettle = "300ms"` })
  expectSuccess(await holdfast('install', shop.config))
  return shop
}

const bothUnits = (shop: Shop): [string, string] => [shop.service, `${shop.name}-drain.service`]
const runningUnits = (shop: Shop): Promise<string[]> => units(`${shop.name}@*.service`, 'active', 'activating', 'deactivating')

/** A shop whose release 1 needs a database, which a file stands for; stopped. */
async function installedWithDatabase(prefix: string): Promise<{ shop: Shop; database: { up(): Promise<void>; down(): Promise<void> } }> {
  const shop = await makeShop(prefix, { config: '[start]\nsettle = "300ms"' })
  const file = `/srv/${shop.name}-database`
  onTestFinished(() => rm(file, { force: true }))
  const database = { up: () => writeFile(file, ''), down: () => rm(file) }
  await database.up()
  await shop.release('1', { before: `import { accessSync } from 'node:fs'\naccessSync(${JSON.stringify(file)})` })
  expectSuccess(await holdfast('install', shop.config))
  expectSuccess(await systemctl('stop', ...bothUnits(shop)))
  return { shop, database }
}

const countStarts = async (shop: Shop): Promise<number> => ((await journal(shop.name)).match(/Starting generation/g) ?? []).length

describe('systemctl stop', () => {
  it('closes the listener, lets what is in flight finish, and is not woken by a connection', async () => {
    const shop = await installed('stop')
    const download = fetch(`http://${shop.address}/export`)
    const response = await download // its headers: the download is in flight
    expectSuccess(await systemctl('stop', ...bothUnits(shop)))
    expect((await response.text()).length).toBeGreaterThan(9_000)
    await expect(ask(shop)).rejects.toThrow()
    expect(await runningUnits(shop)).toEqual([])
    expect(await activeState(`${shop.name}-http.socket`)).toBe('inactive')
    expect(await activeState(`${shop.name}-activate.service`)).toBe('inactive')
  })

  it('works after a failed deploy, and start brings back what was good and not the folder', async () => {
    const shop = await installed('stopfailed')
    await shop.release('bad', broken['crashes at its start'])
    expect((await systemctl('restart', shop.name)).status).toBe(1)
    expectSuccess(await systemctl('stop', ...bothUnits(shop)))
    expect(await runningUnits(shop)).toEqual([])
    expectSuccess(await systemctl('start', shop.name))
    expect((await ask(shop)).release).toBe('1')
  })

  it('does not make a start wait for the drain, nor an install with another address', async () => {
    const shop = await makeShop('quick', { config: '[start]\nsettle = "300ms"' })
    const flag = `/srv/${shop.name}-flag`
    onTestFinished(() => rm(flag, { force: true }))
    await shop.write({ 'server.js': `
import { existsSync } from 'node:fs'
import http from 'node:http'
http.createServer((request, response) => {
  response.setHeader('x-generation', process.env.HOLDFAST_GENERATION)
  if (request.url !== '/hold') return response.end()
  response.write('held, ')
  const timer = setInterval(() => {
    if (!existsSync(${JSON.stringify(flag)})) return
    clearInterval(timer)
    response.end('let go')
  }, 50)
}).listen(process.env.PORT)` })
    expectSuccess(await holdfast('install', shop.config))
    const first = await fetch(`http://${shop.address}/hold`)
    expectSuccess(await systemctl('stop', shop.service))
    expectSuccess(await systemctl('start', shop.name))
    expect((await ask(shop)).generation).toBe('2')

    const second = await fetch(`http://${shop.address}/hold`)
    expectSuccess(await systemctl('restart', shop.name))
    const address = `127.0.0.1:${await freePort()}`
    await writeFile(shop.config, (await readFile(shop.config, 'utf8')).replace(shop.address, address))
    expectSuccess(await holdfast('install', shop.config))
    expect((await ask({ address })).generation).toBe('4')

    expect(await activeState(`${shop.name}@1.1.service`)).toBe('deactivating')
    expect(await activeState(`${shop.name}@2.1.service`)).toBe('deactivating')
    await writeFile(flag, '')
    expect(await first.text()).toBe('held, let go')
    expect(await second.text()).toBe('held, let go')
    await waitFor('both have ended and stay so', async () => (await units(`${shop.name}@*.service`)).join() === `${shop.name}@4.1.service`)
  })
})

describe('a connection while nothing runs', () => {
  it('brings back the live generation that somebody stopped by hand, and never the folder', async () => {
    const shop = await installed('wake')
    await shop.release('2')
    expectSuccess(await systemctl('stop', `${shop.name}@1.1.service`))
    expect(await ask(shop)).toMatchObject({ release: '1', generation: '1' })
    expect(await journal(shop.name)).toContain('A connection came and nothing ran: starting generation 1 again.')
  })

  it('starts an app whose socket alone is started', async () => {
    const shop = await installed('zero')
    expectSuccess(await systemctl('stop', ...bothUnits(shop)))
    expectSuccess(await systemctl('start', `${shop.name}-http.socket`))
    expect(await ask(shop)).toMatchObject({ release: '1', generation: '2' })
    await waitFor('the app is active', async () => (await activeState(shop.service)) === 'active')
  })

  it('keeps the socket while the app does not come up, and answers once it does', { timeout: 120_000 }, async () => {
    const { shop, database } = await installedWithDatabase('backoff')
    await database.down()
    expectSuccess(await systemctl('start', `${shop.name}-http.socket`))
    const answer = ask(shop)
    await waitFor('it was tried three times', async () => (await countStarts(shop)) >= 4, { timeoutMs: 60_000 })
    expect(await activeState(`${shop.name}-http.socket`)).toBe('active')
    await database.up()
    expect(await answer).toMatchObject({ release: '1' })
    // The first is install's. The pauses grow: 5 s, then 10.
    const times = (await journal(shop.name, '--output=short-unix')).split('\n').filter((line) => line.includes('Starting generation')).map((line) => Number(line.split('.')[0]))
    const [, first = 0, second = 0, third = 0] = times
    expect(third - second).toBeGreaterThan((second - first) * 1.3)
  })

  it('does so a dozen times in a row', async () => {
    const shop = await installed('dozen')
    // systemd's default limit is 5 starts in 10 s, for the activation as for the socket.
    for (let n = 0; n < 12; n += 1) {
      expectSuccess(await systemctl('stop', `${shop.name}@1.1.service`))
      expect((await ask(shop)).release).toBe('1')
    }
    expect(await activeState(`${shop.name}-http.socket`)).toBe('active')
  })

  it('is slowed down when there is nothing at all to start', { timeout: 60_000 }, async () => {
    const shop = await makeShop('nothing')
    await writeFile(shop.config, (await readFile(shop.config, 'utf8')).replace(/^directory.*$/m, ''))
    expectSuccess(await holdfast('install', shop.config))
    const answer = ask(shop).catch(() => 'refused')
    await waitFor('it was tried twice', async () => (await journal(shop.name)).includes('did not come up 2 times: trying again in 2 s'), { timeoutMs: 20_000 })
    expect((await journal(shop.name)).match(/but no release of/g)?.length).toBeLessThan(5)
    expect(await activeState(`${shop.name}-http.socket`)).toBe('active')
    expectSuccess(await systemctl('stop', ...bothUnits(shop)))
    await answer
  })
})

describe('a start that systemd tries again by itself', () => {
  it('brings up what is recorded, never what lies in the folder by then', { timeout: 120_000 }, async () => {
    const { shop, database } = await installedWithDatabase('late')
    await shop.release('2')
    await database.down()
    expect((await systemctl('start', shop.name)).status).not.toBe(0)
    await waitFor('it was tried again', async () => (await countStarts(shop)) >= 3, { timeoutMs: 30_000 })
    await database.up()
    await waitFor('the app is active', async () => (await activeState(shop.service)) === 'active', { timeoutMs: 60_000 })
    expect((await ask(shop)).release).toBe('1')
  })

  it('gives way to a restart by hand, which takes the folder', { timeout: 120_000 }, async () => {
    const { shop, database } = await installedWithDatabase('byhand')
    await shop.release('2')
    await database.down()
    expect((await systemctl('start', shop.name)).status).not.toBe(0)
    await waitFor('it waits for its automatic restart', async () => (await show(shop.service, 'SubState')).SubState === 'auto-restart', { timeoutMs: 30_000 })
    expectSuccess(await systemctl('restart', shop.name))
    expect((await ask(shop)).release).toBe('2')
  })

  it('does so after its coordinator was killed, too', { timeout: 120_000 }, async () => {
    const shop = await installed('killedstart')
    expectSuccess(await systemctl('stop', ...bothUnits(shop)))
    await shop.release('2')
    const start = systemctl('start', shop.name)
    await waitFor('the generation is up', async () => (await activeState(`${shop.name}@2.1.service`)) === 'active')
    await systemctl('kill', '--signal=SIGKILL', shop.service)
    await start
    await waitFor('the app is active', async () => (await activeState(shop.service)) === 'active', { timeoutMs: 30_000 })
    expect((await ask(shop)).release).toBe('1')
  })
})

describe('a crash', () => {
  it('brings back the same generation with its own command and environment, not the newest', async () => {
    const shop = await installed('crash', { config: 'env = { COLOUR = "blue" }' })
    await shop.release('2')
    await writeFile(shop.config, (await readFile(shop.config, 'utf8')).replace('blue', 'red'))
    const before = await show(`${shop.name}@1.1.service`, 'MainPID')
    await systemctl('kill', '--signal=SIGKILL', `${shop.name}@1.1.service`)
    const answer = await ask(shop) // waits in the socket's queue
    expect(answer).toMatchObject({ release: '1', generation: '1' })
    const after = await show(`${shop.name}@1.1.service`, 'MainPID', 'NRestarts')
    expect(after.MainPID).not.toBe(before.MainPID)
    expect(await readFile(`/proc/${after.MainPID}/environ`, 'utf8')).toContain('COLOUR=blue')
    expectSuccess(await systemctl('restart', shop.name))
    const { MainPID } = await show(`${shop.name}@2.1.service`, 'MainPID')
    expect(await readFile(`/proc/${MainPID}/environ`, 'utf8')).toContain('COLOUR=red')
  })
})

describe('the admin', () => {
  it('has drop-ins that are in force and stay', async () => {
    const shop = await installed('dropin')
    const folder = `/etc/systemd/system/${shop.name}@.service.d`
    await mkdir(folder)
    onTestFinished(() => rm(folder, { recursive: true, force: true }))
    await writeFile(`${folder}/local.conf`, '[Service]\nNice=7\n')
    await systemctl('daemon-reload')
    expectSuccess(await systemctl('restart', shop.name))
    expect((await show(`${shop.name}@2.1.service`, 'Nice')).Nice).toBe('7')
    expectSuccess(await holdfast('install', shop.config))
    expect((await show(`${shop.name}@3.1.service`, 'Nice')).Nice).toBe('7')
    const { stdout } = await holdfast('uninstall', shop.name)
    expect(stdout).toContain(`kept  ${folder}: not written by holdfast.`)
    expect(await readFile(`${folder}/local.conf`, 'utf8')).toContain('Nice=7')
  })

  it('sees a reload that fails in its status, and the unit still active', async () => {
    const shop = await installed('reload')
    await shop.release('bad', broken['exits with 0 before it is ready'])
    expect((await systemctl('reload', shop.name)).status).not.toBe(0)
    expect(await activeState(shop.service)).toBe('active')
    expect((await ask(shop)).release).toBe('1')
  })
})

it('says that nothing is recorded yet, and does no harm', async () => {
  const app = await makeApp({ name: uniqueApp('empty'), config: 'command = ["node", "server.js"]' })
  await writeFile(app.config, (await readFile(app.config, 'utf8')).replace(/^directory.*$/m, ''))
  expect((await holdfast('install', app.config)).stdout).toContain('Nothing to run yet')
  expectSuccess(await systemctl('restart', app.name))
  expectSuccess(await systemctl('start', app.name))
  expect(await journal(app.name)).toContain(`Nothing to run: no release of ${app.name} is recorded yet.`)
  expect((await mustRun('systemctl', ['is-enabled', app.name])).trim()).toBe('enabled')
})

it('hands over all processes of a generation at once', async () => {
  const shop = await installed('several', { config: 'processes = 3' })
  const traffic = visit(shop)
  await shop.release('2')
  expectSuccess(await systemctl('restart', shop.name))
  await traffic.until((ledger) => ledger.byRelease()['2'] !== undefined)
  expect((await traffic.stop()).failures).toEqual([])
  await waitFor('three processes of generation 2 alone', async () => {
    const names = await units(`${shop.name}@*.service`)
    return names.length === 3 && names.every((name) => name.includes('@2.'))
  }, { timeoutMs: 20_000 })
})

it('runs in place with snapshot = false, and says what that gives up', async () => {
  const shop = await makeShop('inplace', { config: 'snapshot = false\n[start]\nsettle = "300ms"' })
  const { stdout } = await holdfast('install', shop.config)
  expect(stdout).toContain('in place')
  expect((await ask(shop)).release).toBe('1')
  const { MainPID } = await show(`${shop.name}@1.1.service`, 'MainPID')
  expect((await mustRun('readlink', [`/proc/${MainPID}/cwd`])).trim()).toBe(shop.folder)
  await shop.release('2')
  expectSuccess(await systemctl('restart', shop.name))
  expect((await ask(shop)).release).toBe('2')
})

it('hides secrets from everybody but the app’s own account', async () => {
  const account = uniqueApp('acct').replaceAll('-', '_')
  await mustRun('useradd', ['--system', '--user-group', account])
  const shop = await makeShop('secrets', { config: `user = ${JSON.stringify(account)}\nenv_file = "/etc/${account}.env"\n[start]\nsettle = "300ms"` })
  await writeFile(`/etc/${account}.env`, "TOKEN='s3cret $x'\n", { mode: 0o600 })
  onTestFinished(() => rm(`/etc/${account}.env`, { force: true }))
  await shop.write({ 'private.key': 'key', 'run.sh': '#!/bin/sh\n' })
  await chmod(`${shop.folder}/private.key`, 0o600)
  await shop.release('1', { before: "import { readFileSync } from 'node:fs'\nif (readFileSync('private.key', 'utf8') !== 'key' || process.env.TOKEN !== 's3cret $x') process.exit(9)" })
  expectSuccess(await holdfast('install', shop.config))
  const { live } = await recorded(shop)
  const release = `/var/lib/holdfast/${shop.name}/releases/${live?.release}`
  expect((await mustRun('stat', ['--format=%a %U %G', `${release}/private.key`])).trim()).toBe(`440 root ${account}`)
  expect((await mustRun('stat', ['--format=%a', `${release}/run.sh`])).trim()).toBe('555')
  for (const file of [`${release}/private.key`, `/var/lib/holdfast/${shop.name}/instances/1.1/environment`, `/var/lib/holdfast/${shop.name}/instances/1.1/secrets`]) {
    expect((await run('setpriv', ['--reuid=nobody', '--regid=nogroup', '--clear-groups', 'cat', file])).status).not.toBe(0)
  }
})

it('serves a unix socket and a port at once', async () => {
  const name = uniqueApp('unix')
  const path = `/run/${name}/http.sock`
  const app = await makeApp({
    name,
    files: {
      'package.json': '{"type":"module"}',
      'server.js': `${serverJs('1')}\nhttp.createServer((request, response) => response.end('over unix')).listen(${JSON.stringify(path)})`,
    },
    config: `command = ["node", "--import", ${JSON.stringify(registerModule)}, "server.js"]\n[listen]\nhttp = "127.0.0.1:7391"\nlocal = "${path}"\n[start]\nsettle = "300ms"`,
  })
  expectSuccess(await holdfast('install', app.config))
  const overUnix = (): Promise<string> =>
    new Promise((resolve, reject) => {
      request({ socketPath: path, path: '/' }, (response) => {
        response.setEncoding('utf8').on('data', resolve)
      }).on('error', reject).end()
    })
  expect(await overUnix()).toBe('over unix')
  expectSuccess(await systemctl('restart', name))
  expect(await overUnix()).toBe('over unix')
  expect((await ask({ address: '127.0.0.1:7391' })).generation).toBe('2')
  expect((await mustRun('stat', ['--format=%a', path])).trim()).toBe('600')
})
