import { spawn } from 'node:child_process'
import { mkdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import { events } from '../../src/deploy/story.js'
import { footprint } from './footprint.js'
import { ask, broken, makeShop, serverJs, type Shop } from './apps.js'
import {
  activeState, expectSuccess, freePort, holdfast, journal, makeApp, mustRun, registerModule, root, run, show, systemctl, uniqueApp, units, waitFor,
} from './harness.js'

const quick = '[start]\nsettle = "200ms"\n'

const slowly = serverJs('1').replace('makeTarget({', 'makeTarget({ exportMs: 2_000,')

/** The generations that serve. */
const serving = async (app: string): Promise<string[]> => units(`${app}@*.service`, 'active')
const state = async (app: string): Promise<{ generation: number; live?: { generation: number } }> => JSON.parse(await readFile(`/var/lib/holdfast/${app}/state.json`, 'utf8'))
const isDynamic = (text: string): string => text.replace(/\d{8}-\d{6}-[0-9a-f]{6}/g, 'ID')

/** Replaces something in the app's holdfast.toml. */
async function edit(shop: { config: string }, from: string | RegExp, to: string): Promise<void> {
  const before = await readFile(shop.config, 'utf8')
  const after = before.replace(from, to)
  expect(after).not.toBe(before)
  await writeFile(shop.config, after)
}

describe('install', () => {
  it('shows by --dry-run all that it would do, and does nothing', async () => {
    const shop = await makeShop('dry', { config: quick })
    const before = await footprint()
    const { status, stdout } = await holdfast('install', '--dry-run', shop.config)
    expect(status).toBe(0)
    expect(stdout).toContain(`--- /dev/null\n+++ /etc/systemd/system/${shop.name}.service`)
    expect(stdout).toContain(`+ListenStream=${shop.address}`)
    for (const path of [`/etc/holdfast/${shop.name}.toml`, '/usr/local/lib/systemd/catalog/holdfast.catalog', `/var/lib/holdfast/${shop.name}/manifest.json`]) expect(stdout).toContain(`    ${path}\n`)
    expect(stdout).toMatch(/Would run:\n +journalctl --update-catalog\n +systemctl daemon-reload\n +systemctl enable .*\n +systemctl start .*-http\.socket\n +systemctl restart /)
    expect(await footprint()).toEqual(before)

    expectSuccess(await holdfast('install', shop.config))
    const installed = await footprint()
    await edit(shop, shop.address, `127.0.0.1:${await freePort()}`)
    const second = await holdfast('install', '--dry-run', shop.config)
    expect(second.stdout).toContain(`-ListenStream=${shop.address}\n+ListenStream=127.0.0.1:`)
    expect(second.stdout).toContain(`systemctl start ${shop.name}-close@http.target`)
    expect(await footprint()).toEqual(installed)
  })

  it('applies what changed and nothing else, by a handover', async () => {
    const shop = await makeShop('apply', { config: quick })
    expectSuccess(await holdfast('install', shop.config))
    const unitFiles = [`${shop.name}.service`, `${shop.name}-drain.service`, `${shop.name}-http.socket`, `${shop.name}-activate.service`, `${shop.name}@.service`]
    const inodes = (): Promise<number[]> => Promise.all(unitFiles.map(async (name) => (await stat(`/etc/systemd/system/${name}`)).ino))
    const first = await inodes()
    const socket = await show(`${shop.name}-http.socket`, 'InvocationID')

    // Nothing changed: a handover, and not one file.
    const again = await holdfast('install', shop.config)
    expect(isDynamic(again.stdout)).toBe(`listening  ${shop.name}-http.socket on ${shop.address}\nlive  ${shop.name}: generation 2, release ID\n`)
    expect(await inodes()).toEqual(first)

    // An admin's drop-in is in force, and stays.
    const dropIn = `/etc/systemd/system/${shop.name}@.service.d/x.conf`
    await mkdir(`/etc/systemd/system/${shop.name}@.service.d`)
    await writeFile(dropIn, '[Service]\nNice=7\nMemoryMax=300M\n')
    onTestFinished(() => rm(`/etc/systemd/system/${shop.name}@.service.d`, { recursive: true }))
    await edit(shop, '[listen]', '[limits]\nmemory = "200M"\ntasks = 77\n[sandbox]\nhome = "read-only"\n[listen]')
    const changed = await holdfast('install', shop.config)
    expect(changed.stdout).toContain(`changed  /etc/systemd/system/${shop.name}@.service\nlistening`)
    expect((await inodes()).map((inode, i) => inode === first[i])).toEqual([true, true, true, true, false])
    expect(await show(`${shop.name}@3.1.service`, 'TasksMax', 'ProtectHome', 'Nice', 'MemoryMax')).toEqual({ TasksMax: '77', ProtectHome: 'read-only', Nice: '7', MemoryMax: String(300 << 20) })
    expect(await readFile(dropIn, 'utf8')).toBe('[Service]\nNice=7\nMemoryMax=300M\n')
    expect(await show(`${shop.name}-http.socket`, 'InvocationID')).toEqual(socket)

    const { stdout } = await holdfast('uninstall', shop.name)
    expect(stdout).toContain(`kept  /etc/systemd/system/${shop.name}@.service.d: not written by holdfast.`)
  })

  it('says what is in force when the handover fails', async () => {
    const shop = await makeShop('fails', { config: quick })
    expectSuccess(await holdfast('install', shop.config))
    await shop.release('bad', broken['crashes at its start'])
    await edit(shop, '[listen]', '[limits]\ntasks = 77\n[listen]')
    const failed = await holdfast('install', shop.config)
    expect(failed.status).toBe(1)
    expect(failed.stderr).toMatch(new RegExp(`^Error: ${shop.name} is installed, but the handover failed: ${shop.name}@2\\.1\\.service exited with status 1 before it was ready\\. Generation 1 serves on, .*; the new units apply from the next handover\\.\nTry: holdfast logs ${shop.name} .*: systemctl restart ${shop.name}\n$`))
    expect(await ask(shop)).toMatchObject({ release: '1', generation: '1' })
    await shop.release('2')
    expectSuccess(await systemctl('restart', shop.name))
    expect(await show(`${shop.name}@3.1.service`, 'TasksMax')).toEqual({ TasksMax: '77' })
  })

  it('of an app without a source folder enables it and listens, and says that there is nothing to run', async () => {
    const port = await freePort()
    const app = await makeApp({ name: uniqueApp('empty'), config: `command = ["node", "server.js"]\n[listen]\nhttp = "127.0.0.1:${port}"\n` })
    await edit(app, /^directory = .*\n/m, '')
    const { status, stdout } = await holdfast('install', app.config)
    expect(status).toBe(0)
    expect(stdout).toContain(`Nothing to run yet: ${app.name} is enabled`)
    for (const unit of [`${app.name}.service`, `${app.name}-http.socket`]) {
      expect(await show(unit, 'ActiveState', 'UnitFileState')).toEqual({ ActiveState: 'active', UnitFileState: 'enabled' })
    }
    expect(await serving(app.name)).toEqual([])
  })
})

describe('a listener', () => {
  it('moves to another address: what is in flight at the old one ends well, and the new one answers', async () => {
    const shop = await makeShop('move', { config: quick })
    await shop.write({ 'server.js': slowly })
    expectSuccess(await holdfast('install', shop.config))
    const download = slowDownload(shop)
    await download.started
    const address = `127.0.0.1:${await freePort()}`
    await edit(shop, shop.address, address)
    expectSuccess(await holdfast('install', shop.config))
    expect(await ask({ address })).toMatchObject({ generation: '2' })
    expect(await download.bytes).toBe(10_000)
    await waitFor('nobody listens at the old one', async () => (await ask(shop).catch(() => undefined)) === undefined)
    expect(await listenOf(`${shop.name}-http.socket`)).toBe(`${address} (Stream)`)

    // And back, with the address free again.
    await edit(shop, address, shop.address)
    expectSuccess(await holdfast('install', shop.config))
    expect(await ask(shop)).toMatchObject({ generation: '3' })
  })

  it('comes, goes, and cannot be renamed where it is', async () => {
    const port = await freePort()
    const name = uniqueApp('two')
    const [http, admin, other] = [`127.0.0.1:${port}`, `127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`] as [string, string, string]
    const code = `import http from 'node:http'\nfor (const { address } of JSON.parse(process.env.HOLDFAST_LISTEN)) { const at = address.lastIndexOf(':'); http.createServer((q, s) => s.end('generation ' + process.env.HOLDFAST_GENERATION)).listen({ host: address.slice(0, at), port: Number(address.slice(at + 1)) }) }\n`
    const configOf = (listen: Record<string, string>): string =>
      [`app = "${name}"`, `directory = "/srv/${name}"`, `command = ["node", "--import", ${JSON.stringify(registerModule)}, "server.mjs"]`, quick, '[listen]', ...Object.entries(listen).map(([key, value]) => `${key} = "${value}"`), ''].join('\n')
    const app = await makeApp({ name, files: { 'server.mjs': code }, config: configOf({ http }) })
    const install = async (listen: Record<string, string>): Promise<void> => {
      await writeFile(app.config, configOf(listen))
      expectSuccess(await holdfast('install', app.config))
    }
    const body = async (address: string): Promise<string> => (await fetch(`http://${address}/`, { headers: { connection: 'close' } })).text()

    await install({ http })
    // Asked for as soon as it listens: the connection waits for the new generation, and wakes nobody over and over.
    await writeFile(app.config, configOf({ http, admin }))
    const installing = holdfast('install', app.config)
    await waitFor('the new address listens', async () => (await activeState(`${name}-admin.socket`)) === 'active', { everyMs: 10 })
    expect(await body(admin)).toBe('generation 2')
    expectSuccess(await installing)
    expect((await journal(name, '--identifier=systemd')).match(/Starting .*on a connection/g) ?? []).toHaveLength(0)
    expect(await body(http)).toBe('generation 2')

    await install({ admin })
    expect(await body(admin)).toBe('generation 3')
    expect((await show(`${name}-http.socket`, 'LoadState')).LoadState).toBe('not-found')
    await waitFor('the removed one is closed', async () => (await body(http).catch(() => undefined)) === undefined)

    const before = await footprint()
    await writeFile(app.config, configOf({ control: admin }))
    const renamed = await holdfast('install', app.config)
    expect(renamed.stderr).toMatch(new RegExp(`listen\\.control: ${admin} is served by ${name} itself, as ${name}-admin\\.socket: that cannot be changed without closing the address`))
    expect(renamed.stderr).toContain(`Try: keep what was installed last; or choose a time, run systemctl stop ${name}.service ${name}-drain.service, and install again`)
    expect(renamed.status).toBe(2)
    await writeFile(app.config, configOf({ admin: admin.split(':')[1] as string }))
    const widened = await holdfast('install', app.config)
    expect(widened.stderr).toMatch(/is served by .* itself, in another form/)
    expect(await footprint()).toEqual(before)

    // As the message says.
    expectSuccess(await systemctl('stop', name, `${name}-drain`))
    await install({ control: admin, more: other })
    expect(await body(admin)).toMatch(/generation \d/)
    expect(await units(`${name}-admin.socket`)).toEqual([])
  })

  it('on a unix path takes another mode and group without an instant in which nobody answers', async () => {
    const name = uniqueApp('path')
    const path = `/run/${name}/deep/http.sock`
    await mustRun('groupadd', ['--force', 'hf-test'])
    onTestFinished(async () => void (await run('groupdel', ['hf-test'])))
    const app = await makeApp({
      name,
      files: { 'server.js': serverJs('1').replace('process.env.PORT', JSON.stringify(path)), 'package.json': '{"type":"module"}' },
      config: `command = ["node", "--import", ${JSON.stringify(registerModule)}, "server.js"]\n${quick}[listen]\nhttp = "${path}"\n`,
    })
    expectSuccess(await holdfast('install', app.config))
    const mode = async (): Promise<string> => mustRun('stat', ['--format=%a %U:%G', path])
    expect(await mode()).toBe('600 root:root\n')

    await edit(app, `http = "${path}"`, `http = { address = "${path}", mode = "0660", group = "hf-test" }`)
    let refused = 0
    let done = false
    const knocking = (async () => {
      for (; !done; await delay(2)) if (!(await knock(path))) refused += 1
    })()
    expectSuccess(await holdfast('install', app.config))
    done = true
    await knocking
    expect(refused).toBe(0)
    expect(await mode()).toBe('660 root:hf-test\n')
    // As systemd would set it up anew.
    expect(await show(`${name}-http.socket`, 'SocketMode', 'SocketGroup')).toEqual({ SocketMode: '0660', SocketGroup: 'hf-test' })

    // Back to the defaults.
    await edit(app, /http = \{.*\}/, `http = "${path}"`)
    expectSuccess(await holdfast('install', app.config))
    expect(await mode()).toBe('600 root:root\n')
    expectSuccess(await holdfast('uninstall', name))
    await expect(stat(`/run/${name}`)).rejects.toThrow(/ENOENT/)
  })
})

describe('an install that is killed', () => {
  it('can be run again from wherever it was, and leaves nothing behind', { timeout: 180_000 }, async () => {
    const before = await footprint('/var/lib/private')
    const shop = await makeShop('killed', { config: '[start]\nsettle = "0s"' })
    const plain = await readFile(shop.config, 'utf8')
    const extra = await freePort()
    // Each differs from the others in listeners, limits and the template.
    const variants = [plain, `${plain}extra = "127.0.0.1:${extra}"\n`, plain.replace('[listen]', '[limits]\ntasks = 99\n[listen]')]
    // An app that listens on both, and on one.
    await shop.write({ 'server.js': `${serverJs('1')}\nif (process.env.HOLDFAST_LISTEN.includes('extra')) http.createServer((q, s) => s.end()).listen(${extra})\n` })

    const took: number[] = []
    for (let n = 0; n < 12; n += 1) {
      await writeFile(shop.config, variants[n % variants.length] as string)
      // From before anything is written, at some 150 ms, to the handover's end.
      const afterMs = 120 + Math.random() * 450
      took.push(Math.round(afterMs))
      const child = spawn(process.execPath, [join(root, 'dist/cli/main.js'), 'install', shop.config], { stdio: 'ignore' })
      const ended = new Promise((resolve) => child.on('exit', resolve))
      await Promise.race([ended, delay(afterMs)])
      child.kill('SIGKILL')
      await ended
    }
    console.log(`killed after ${took.join(', ')} ms`)
    // The one that was killed last goes through; and when the older generations have closed what it took away, so does another.
    expectSuccess(await holdfast('install', shop.config))
    await waitFor('one generation is left', async () => (await units(`${shop.name}@*.service`, 'active', 'deactivating')).length === 1)
    await writeFile(shop.config, variants[1] as string)
    expectSuccess(await holdfast('install', shop.config))
    expect(await ask(shop)).toMatchObject({ status: 200, release: '1' })
    expect(await ask({ address: `127.0.0.1:${extra}` })).toMatchObject({ status: 200 })
    const { live } = await state(shop.name)
    await waitFor('one generation serves', async () => (await serving(shop.name)).join() === `${shop.name}@${live?.generation}.1.service`)
    expect((await mustRun('ls', ['/etc/systemd/system'])).split('\n').filter((name) => name.startsWith(shop.name)).sort()).toEqual(
      [`${shop.name}-activate.service`, `${shop.name}-after-drain.service`, `${shop.name}-close@.target`, `${shop.name}-drain.service`, `${shop.name}-extra.socket`, `${shop.name}-http.socket`, `${shop.name}-shutdown.service`, `${shop.name}.service`, `${shop.name}@.service`, `${shop.name}@.socket`].sort(),
    )
    expectSuccess(await holdfast('install', shop.config))
    // An uninstall that was killed goes on as well.
    for (const afterMs of [150, 250, 400]) {
      const child = spawn(process.execPath, [join(root, 'dist/cli/main.js'), 'uninstall', shop.name], { stdio: 'ignore' })
      const ended = new Promise((resolve) => child.on('exit', resolve))
      await Promise.race([ended, delay(afterMs)])
      child.kill('SIGKILL')
      await ended
    }
    const last = await holdfast('uninstall', shop.name)
    expect([0, 2], last.stderr).toContain(last.status)
    await expectSame(before, '/var/lib/private')
  })
})

describe('uninstall', () => {
  it('leaves nothing, with every kind of file that there is', async () => {
    await mkdir('/etc/needrestart/conf.d', { recursive: true })
    const before = await footprint()
    const shop = await makeShop('gone', { config: `data = true\nprocesses = 2\n${quick}` })
    expectSuccess(await holdfast('install', shop.config))
    await shop.release('2')
    expectSuccess(await systemctl('restart', shop.name))
    await shop.release('bad', broken['crashes at its start'])
    expect((await systemctl('restart', shop.name)).status).toBe(1)

    const needrestart = `/etc/needrestart/conf.d/holdfast-${shop.name}.conf`
    const rule = await readFile(needrestart, 'utf8')
    if ((await run('perl', ['-e', '1'])).status === 0) {
      await mustRun('perl', ['-c', needrestart])
      // As needrestart takes it: the keys are patterns, held against unit names.
      const perl = `our %nrconf; my $fn = shift; eval do { local (@ARGV, $/) = $fn; <> }; die $@ if $@; my @r = keys %{$nrconf{override_rc}}; for my $u (@ARGV) { print $u =~ /$r[0]/ ? 1 : 0 }`
      expect(await mustRun('perl', ['-e', perl, needrestart, `${shop.name}@12.1.service`, `${shop.name}.service`, `x${shop.name}@1.1.service`])).toBe('100')
    }
    expect(rule).toContain(`systemctl restart ${shop.name}`)

    const dry = await holdfast('uninstall', '--dry-run', '--purge', shop.name)
    expect(dry.stdout).toContain(`/var/lib/private/holdfast/${shop.name}/data`)
    const { status, stdout } = await holdfast('uninstall', '--purge', shop.name)
    expect(status).toBe(0)
    for (const line of dry.stdout.split('\n').filter((line) => /^ {4}\//.test(line))) expect(stdout).toContain(`removed  ${line.trim()}\n`)
    await expectSame(before)
    await rm('/etc/needrestart', { recursive: true })
  })

  it.each([['a dynamic user', ''], ['a static user', 'user = "daemon"\n']])('keeps the data of %s and says where, until it is purged', async (_, user) => {
    const before = await footprint()
    const shop = await makeShop('data', { config: `${user}data = true\n${quick}` })
    await shop.release('1', { before: "import fs from 'node:fs'; fs.appendFileSync(process.env.STATE_DIRECTORY + '/kept', 'x')" })
    expectSuccess(await holdfast('install', shop.config))
    const real = user === '' ? `/var/lib/private/holdfast/${shop.name}/data` : `/var/lib/holdfast/${shop.name}/data`
    const { stdout } = await holdfast('uninstall', shop.name)
    expect(stdout).toContain(`kept  ${real}: the app's data, which only --purge removes.`)
    expect(await readFile(`${real}/kept`, 'utf8')).toBe('x')
    expect((await holdfast('uninstall', '--purge', shop.name)).stderr).toContain(`Its data is still in ${real}\nTry: rm -r `)

    expectSuccess(await holdfast('install', shop.config))
    expect(await readFile(`${real}/kept`, 'utf8')).toBe('xx')
    expectSuccess(await holdfast('uninstall', '--purge', shop.name))
    await expect(stat(real)).rejects.toThrow(/ENOENT/)
    await expectSame(before)
  })

  it('waits for what is in flight', async () => {
    const shop = await makeShop('flight', { config: quick })
    await shop.write({ 'server.js': slowly })
    expectSuccess(await holdfast('install', shop.config))
    const download = slowDownload(shop)
    await download.started
    let isOver = false
    void download.bytes.then(() => (isOver = true))
    const { status } = await holdfast('uninstall', shop.name)
    expect({ status, isOver }).toEqual({ status: 0, isOver: true })
    expect(await download.bytes).toBe(10_000)
  })
})

it('a user’s own manager is served the same way, and nothing is left in the home folder', async () => {
  const user = uniqueApp('own').slice(0, 20)
  await mustRun('useradd', ['--create-home', user])
  const uid = (await mustRun('id', ['-u', user])).trim()
  await mustRun('systemctl', ['start', `user@${uid}`])
  onTestFinished(async () => {
    await systemctl('stop', `user@${uid}`)
    await run('userdel', ['--remove', '--force', user])
  })
  const as = (command: string, ...args: string[]): ReturnType<typeof run> =>
    run('setpriv', ['--reuid', uid, '--regid', uid, '--init-groups', command, ...args], { env: { HOME: `/home/${user}`, XDG_RUNTIME_DIR: `/run/user/${uid}` } })
  const cli = (...args: string[]): ReturnType<typeof run> => as(process.execPath, join(root, 'dist/cli/main.js'), '--user', ...args)
  const loaded = async (): Promise<string[]> => (await as('systemctl', '--user', 'list-units', '--all', '--plain', '--no-legend')).stdout.split('\n').map((line) => line.split(' ')[0] as string).sort()

  const shop = await makeShop('own', { config: `data = true\n${quick}` })
  const path = `/run/user/${uid}/hf/deep/http.sock`
  await edit(shop, /http = .*/, `http = "${shop.address}"\npath = "${path}"`)
  await shop.write({ 'server.js': `${serverJs('1')}\nhttp.createServer((q, s) => s.end()).listen(${JSON.stringify(path)})\n` })
  await mkdir(`/home/${user}/.config/systemd/user`, { recursive: true })
  await mustRun('chown', ['-R', `${user}:`, `/home/${user}`])
  const places = [`/home/${user}/.config`, `/home/${user}/.local/state/holdfast`, `/run/user/${uid}/holdfast`, `/run/user/${uid}/hf`]
  const before = { files: await footprint(...places), units: await loaded() }
  expectSuccess(await cli('install', shop.config))
  expect(await ask(shop)).toMatchObject({ release: '1', generation: '1' })
  expect((await stat(path)).uid).toBe(Number(uid))
  await shop.release('2', { after: `http.createServer((q, s) => s.end()).listen(${JSON.stringify(path)})` })
  expectSuccess(await as('systemctl', '--user', 'restart', shop.name))
  expect(await ask(shop)).toMatchObject({ release: '2', generation: '2' })
  expectSuccess(await cli('uninstall', '--purge', shop.name))
  await waitFor('its units are gone', async () => (await loaded()).join() === before.units.join()).catch(async () => expect(await loaded()).toEqual(before.units))
  expect(await footprint(...places)).toEqual(before.files)
})

it('the journal explains every event, for all apps, until the last one goes', async () => {
  const [one, two] = [await makeShop('says', { config: quick }), await makeShop('says', { config: quick })]
  const ids = Object.values(events).map(({ id }) => id)
  const listed = async (): Promise<string[]> => {
    const text = await mustRun('journalctl', ['--list-catalog', '--no-pager'])
    return ids.filter((id) => text.includes(id))
  }
  expect(await listed()).toEqual([])
  expectSuccess(await holdfast('install', one.config))
  expect(await listed()).toEqual(ids)
  expectSuccess(await holdfast('install', two.config))
  const explained = await journal(one.name, '--catalog', '--identifier=holdfast')
  expect(explained).toMatch(new RegExp(`Subject: Generation 1 of ${one.name} is live`))
  expect(explained).toContain('a crash or a reboot brings up release ')
  expect(explained).not.toMatch(/@HOLDFAST_/)
  expectSuccess(await holdfast('uninstall', one.name))
  expect(await listed()).toEqual(ids)
  expectSuccess(await holdfast('uninstall', two.name))
  expect(await listed()).toEqual([])
})

/** Units that have stopped may be unloaded a moment later. */
async function expectSame(before: string[], ...more: string[]): Promise<void> {
  await waitFor('nothing is left', async () => (await footprint(...more)).join('\n') === before.join('\n'), { timeoutMs: 5_000 }).catch(async () => {
    expect(await footprint(...more)).toEqual(before)
  })
}

const listenOf = async (unit: string): Promise<string> => (await show(unit, 'Listen')).Listen

/** Whether somebody listens on a path. */
function knock(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path, () => { socket.destroy(); resolve(true) })
    socket.on('error', () => resolve(false))
  })
}

/** Of `/export`, which takes two seconds, on a connection of its own. */
function slowDownload({ address }: Shop): { started: Promise<unknown>; bytes: Promise<number> } {
  const started = fetch(`http://${address}/export`, { headers: { connection: 'close' } })
  return { started, bytes: started.then(async (answer) => (await answer.arrayBuffer()).byteLength) }
}

it('never changes the rights of what somebody put in the place of a socket', async () => {
  const name = uniqueApp('swap')
  const folder = `/srv/${name}-run`
  await mkdir(folder)
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const app = await makeApp({
    name,
    files: { 'server.js': "require('http').createServer((request, response) => response.end()).listen(process.env.ADDRESS)" },
    config: `command = ["node", "--import", "${registerModule}", "server.js"]\nenv = { ADDRESS = "${folder}/http.sock" }\n[listen]\nhttp = { address = "${folder}/http.sock", mode = "0666" }\n[start]\nsettle = "300ms"`,
  })
  expectSuccess(await holdfast('install', app.config))
  await writeFile(`${folder}/secret`, 'secret', { mode: 0o600 })
  await rm(`${folder}/http.sock`)
  await symlink(`${folder}/secret`, `${folder}/http.sock`)
  await holdfast('install', app.config)
  expect((await stat(`${folder}/secret`)).mode & 0o777).toBe(0o600)
})
