import { chmod, chown, cp, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { serverJs } from './apps.js'
import { footprint } from './footprint.js'
import { expectSuccess, freePort, holdfast, mustRun, registerModule, removeApp, root, run, show, systemctl, uniqueApp, waitFor, type Result } from './harness.js'

/** An app that is installed throughout; nothing here may touch it. */
const neighbour = uniqueApp('neighbour')
const neighbourFolder = `/srv/${neighbour}`
let neighbourPort: number

beforeAll(async () => {
  neighbourPort = await freePort()
  await mkdir(neighbourFolder, { recursive: true, mode: 0o755 })
  await writeFile(join(neighbourFolder, 'server.js'), serverJs('1'))
  await writeFile(join(neighbourFolder, 'package.json'), '{"type":"module"}')
  await writeFile(join(neighbourFolder, 'holdfast.toml'), configOf({ app: neighbour, directory: neighbourFolder, listen: { 'b-http': `127.0.0.1:${neighbourPort}` } }))
  expectSuccess(await holdfast('install', join(neighbourFolder, 'holdfast.toml')))
})
afterAll(async () => {
  await removeApp(neighbour)
  await rm(neighbourFolder, { recursive: true })
})

interface Parts {
  app?: string
  directory?: string
  command?: string[]
  listen?: Record<string, unknown>
  /** Lines at the top of the file. */
  top?: string
  /** Tables after [listen]. */
  more?: string
}

function configOf({ app = 'shop', directory, command = ['node', '--import', registerModule, 'server.js'], listen = {}, top = '', more = '' }: Parts): string {
  const listeners = Object.entries(listen).map(([name, address]) => `${name} = ${typeof address === 'string' ? JSON.stringify(address) : String(address)}`)
  return [
    `app = ${JSON.stringify(app)}`, `command = ${JSON.stringify(command)}`, ...(directory === undefined ? [] : [`directory = ${JSON.stringify(directory)}`]),
    top, '[listen]', ...listeners, more, '',
  ].join('\n')
}

/** A project's folder with a configuration; gone with the test. */
async function project(parts: Parts | string): Promise<{ folder: string; config: string; app: string }> {
  const app = uniqueApp('bad')
  const folder = `/srv/${app}`
  const config = join(folder, 'holdfast.toml')
  await mkdir(folder, { recursive: true, mode: 0o755 })
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  await writeFile(join(folder, 'server.js'), serverJs('1'))
  await writeFile(join(folder, 'package.json'), '{"type":"module","scripts":{"start":"node server.js"}}')
  await writeFile(config, typeof parts === 'string' ? parts : configOf({ app, directory: folder, listen: { http: `127.0.0.1:${await freePort()}` }, ...parts }))
  return { folder, config, app }
}

/** Refused: an error with a mend, status 2, and the machine is as it was. */
async function expectRefusal(command: () => Promise<Result>, message: RegExp, mend: RegExp): Promise<Result> {
  const before = await footprint()
  const result = await command()
  expect(result.stderr).toMatch(message)
  expect(result.stderr).toMatch(/^Error: /)
  expect(result.stderr.split('\nTry: ')[1] ?? '').toMatch(mend)
  expect(result.stdout).toBe('')
  expect(result.status).toBe(2)
  expect(await footprint()).toEqual(before)
  return result
}

const refuseInstall = async (parts: Parts | string, message: RegExp, mend: RegExp): Promise<void> => {
  const { config } = await project(parts)
  await expectRefusal(() => holdfast('install', config), message, mend)
}

describe('a configuration', () => {
  it('that is missing', async () => {
    await expectRefusal(() => holdfast('install', '/srv/nowhere/holdfast.toml'), /no holdfast\.toml in \/srv\/nowhere/, /holdfast init/)
    await expectRefusal(() => holdfast('render', '/srv/nowhere/holdfast.toml'), /no holdfast\.toml in \/srv\/nowhere/, /holdfast init/)
    await expectRefusal(() => holdfast('check', '/srv/nowhere/holdfast.toml'), /no holdfast\.toml in \/srv\/nowhere/, /holdfast init/)
  })

  it('that is malformed', () => refuseInstall('app = "x\ncommand = [', /holdfast\.toml:1: not valid TOML/, /holdfast check/))

  it('with unknown keys names the ones that were meant', () =>
    refuseInstall({ top: 'proceses = 2', more: '[drian]\ntimeout = "1s"' }, /proceses: .*processes[^]*drian: .*drain/, /holdfast check/))

  it('whose app name is no prefix of units', () => refuseInstall({ app: 'My Shop' }, /app: "My Shop" cannot be the prefix of unit names.*"my-shop"/, /holdfast check/))

  it('whose command loses the sockets', () => refuseInstall({ command: ['npm', 'start'] }, /loses the inherited sockets: write command = \["node", "server\.js"\]/, /holdfast check/))

  it('with a description that cannot stand in a unit', () => refuseInstall({ top: String.raw`description = "ends in \\"` }, /cannot stand in a unit file/, /backslash/))
})

describe('what a configuration needs', () => {
  it('a program that is nowhere', () => refuseInstall({ command: ['no-such-program'] }, /command: no-such-program cannot be run/, /absolute path/))
  it('a program that is not in the folder', () => refuseInstall({ command: ['./bin/serve'] }, /command: there is no \.\/bin\/serve in \/srv\/bad-/, /as it is in the release/))
  it('a program that may not be executed', () => refuseInstall({ command: ['./server.js'] }, /server\.js may not be executed/, /chmod \+x/))
  it('an account', () => refuseInstall({ top: 'user = "nosuchuser"' }, /user = "nosuchuser": there is no such account/, /adduser --system --group nosuchuser/))
  it('a group', () => refuseInstall({ listen: { http: '@' }, app: 'x' }, /listen\.http/, /check/).then(() =>
    refuseInstall({ listen: { admin: rawTable({ address: '/run/bad.sock', group: 'nosuchgroup' }) } }, /listen\.admin: there is no group nosuchgroup/, /addgroup --system nosuchgroup/)))
  it('a folder', () => refuseInstall({ directory: '/srv/not/there' }, /directory = "\/srv\/not\/there": there is no such folder/, /mkdir -p \/srv\/not\/there/))
  it('a folder to write to', () => refuseInstall({ more: '[sandbox]\nwrite_paths = ["/srv/not/there"]' }, /no \/srv\/not\/there/, /mkdir -p/))

  it.each([
    ['capabilities = ["CAP_NET_RAW", "CAP_NET_RAWR"]', /sandbox\.capabilities: systemd knows no CAP_NET_RAWR/],
    ['system_calls = ["@resources", "@resorces"]', /sandbox\.system_calls: systemd knows no @resorces/],
    ['system_calls = ["opeen"]', /sandbox\.system_calls: systemd knows no opeen/],
    ['address_families = ["AF_PACKET", "AF_NOPE"]', /sandbox\.address_families: systemd knows no AF_NOPE/],
  ])('a name that systemd knows: %s', (key, message) => refuseInstall({ more: `[sandbox]\n${key}` }, message, /list|names/))

  it('an account, where a dynamic user may not have what is asked for', async () => {
    await refuseInstall({ more: '[sandbox]\nsetuid = true' }, /sandbox\.setuid = true has no effect without `user`/, /adduser --system --group bad-/)
    await refuseInstall({ more: '[sandbox]\nhome = "visible"' }, /sandbox\.home = "visible" has no effect without `user`/, /write user = /)
  })

  it('an account that is root by another name', async () => {
    await mustRun('useradd', ['--non-unique', '--uid', '0', 'toor'])
    onTestFinished(async () => void (await run('userdel', ['--force', 'toor'])))
    await refuseInstall({ top: 'user = "toor"' }, /user = "toor" is root/, /remove `user`/)
  })

  it('a file of secrets that is there, root’s, and nobody else’s to read', async () => {
    const { folder, config, app } = await project({})
    const file = join(folder, 'secrets.env')
    const toml = configOf({ app, directory: folder, top: `env_file = ${JSON.stringify(file)}` })
    await writeFile(config, toml)
    const install = (): Promise<Result> => holdfast('install', config)
    await expectRefusal(install, /env_file = .*: there is no such file/, /install -m 600/)
    await writeFile(file, 'TOKEN=t0p-s3cret\n', { mode: 0o644 })
    await chmod(file, 0o644)
    await expectRefusal(install, /every user of this machine may read it \(mode 644\)/, /chmod 600/)
    await chmod(file, 0o600)
    await chown(file, 1234, 1234)
    await expectRefusal(install, /secrets\.env belongs to user 1234, and could have root read any file/, /install -o root/)
    await chown(file, 0, 0)
    await writeFile(file, 'TOKEN=t0p-s3cret\nNOTIFY_SOCKET=/run/evil\n')
    const { stderr } = await expectRefusal(install, /secrets\.env:2: NOTIFY_SOCKET is set by systemd/, /remove the line/)
    await writeFile(file, 'export TOKEN=t0p-s3cret\n')
    await expectRefusal(install, /secrets\.env:1: systemd ignores/, /KEY=value/)
    expect(stderr).not.toContain('t0p-s3cret')
  })
})

/** As an inline table. */
const rawTable = (table: Record<string, string>): { toString(): string } => ({
  toString: () => `{ ${Object.entries(table).map(([key, value]) => `${key} = ${JSON.stringify(value)}`).join(', ')} }`,
})

describe('an address', () => {
  it('of another app', () => refuseInstall({ listen: { web: neighbourPort } }, new RegExp(`listen\\.web: ${neighbourPort} is taken by the app ${neighbour} \\(its listen\\.b-http`), /another address/))

  it('that a process listens on, whatever form it has', async () => {
    const port = await freePort()
    const server = await listening({ port, host: '::' })
    const { config, app, folder } = await project({})
    for (const address of [`127.0.0.1:${port}`, `[::1]:${port}`, port]) {
      await writeFile(config, configOf({ app, directory: folder, listen: { http: address } }))
      await expectRefusal(() => holdfast('install', config), new RegExp(`listen\\.http: .*${port} is in use by process ${process.pid} \\(`), new RegExp(`another address|kill ${process.pid}`))
    }
    server.close()
  })

  it('that IPv6 alone has, is free for IPv4', async () => {
    const port = await freePort()
    const server = await listening({ port, host: '::', ipv6Only: true })
    const { config, app, folder } = await project({})
    await writeFile(config, configOf({ app, directory: folder, listen: { http: `127.0.0.1:${port}` } }))
    expectSuccess(await holdfast('install', '--dry-run', config))
    await writeFile(config, configOf({ app, directory: folder, listen: { http: port } }))
    await expectRefusal(() => holdfast('install', config), new RegExp(`is in use by process ${process.pid} `), /another address/)
    server.close()
  })

  it('that a service has, by the service’s name', async () => {
    const port = await freePort()
    const unit = `${uniqueApp('other')}.service`
    await mustRun('systemd-run', ['--collect', `--unit=${unit}`, process.execPath, '-e', `require("net").createServer().listen(${port}, "127.0.0.1")`])
    onTestFinished(async () => void (await systemctl('stop', unit)))
    await waitFor('it listens', async () => (await run('ss', ['-Hltn', `sport = :${port}`])).stdout !== '')
    await refuseInstall({ listen: { http: `127.0.0.1:${port}` } }, new RegExp(`is in use by process \\d+ \\(.*\\) of ${unit.replaceAll('.', '\\.')}`), new RegExp(`systemctl stop ${unit}`))
  })

  it('that systemd holds for another package, by the socket unit’s name', async () => {
    const port = await freePort()
    const name = uniqueApp('package')
    const path = `/run/${name}.sock`
    await installUnit(`${name}.socket`, `[Socket]\nListenStream=${port}\nListenStream=${path}\n`)
    await installUnit(`${name}.service`, '[Service]\nExecStart=sleep 1000\n')
    await mustRun('systemctl', ['start', `${name}.socket`])
    const message = new RegExp(`is held by systemd for ${name}\\.socket`)
    const mend = new RegExp(`systemctl disable --now ${name}\\.socket`)
    await refuseInstall({ listen: { http: `127.0.0.1:${port}` } }, message, mend)
    await refuseInstall({ listen: { http: path } }, message, mend)
  })

  it('that is a path in a missing folder, or of something that is no socket, or another’s socket', async () => {
    await refuseInstall({ listen: { http: '/srv/not/there/http.sock' } }, /lies in a folder that does not exist/, /mkdir -p \/srv\/not\/there/)
    const { folder } = await project({})
    const path = join(folder, 'precious')
    await writeFile(path, 'precious')
    await refuseInstall({ listen: { http: path } }, /precious is there already, and is no socket/, /move it away/)
    expect(await readFile(path, 'utf8')).toBe('precious')
    const taken = join(folder, 'http.sock')
    const server = await listening({ path: taken })
    await refuseInstall({ listen: { http: taken } }, new RegExp(`http\\.sock is in use by process ${process.pid} `), /another address/)
    server.close()
  })

  it('that this machine has not', () => refuseInstall({ listen: { http: '192.0.2.1:8080' } }, /192\.0\.2\.1 is not an address of this machine/, /127\.0\.0\.1/))
})

describe('a name', () => {
  it('of an app that is installed from another folder', () =>
    refuseInstall({ app: neighbour }, new RegExp(`${neighbour} is installed from ${neighbourFolder}, and this configuration takes /srv/bad-`), /another name.*holdfast install --replace/))

  it('of another app’s unit', async () => {
    const app = `${neighbour}-b`
    const { config } = await project({ app, listen: { http: `127.0.0.1:${await freePort()}` } })
    await expectRefusal(() => holdfast('install', config), new RegExp(`${app}-http\\.socket belongs to the app ${neighbour}`), /another name/)
    await refuseInstall({ app: `${neighbour}-drain` }, new RegExp(`${neighbour}-drain\\.service belongs to the app ${neighbour}`), /another name/)
    await refuseInstall({ app: `${neighbour}-deploy` }, new RegExp(`${neighbour}-deploy\\.service belongs to the app ${neighbour}`), /another name/)
  })

  it.each(['/etc/systemd/system', '/usr/lib/systemd/system', '/run/systemd/system'])('of a unit in %s', async (folder) => {
    const { config, app } = await project({})
    await installUnit(`${app}.service`, '[Service]\nExecStart=sleep 1000\n', folder)
    await expectRefusal(() => holdfast('install', config), new RegExp(`there is a unit ${app}\\.service already: (?:/usr)?${folder.replace(/^\/usr/, "")}/${app}\\.service`), /another app name/)
  })

  it('of a template of another package', async () => {
    const { config, app } = await project({})
    await installUnit(`${app}@.service`, '[Service]\nExecStart=sleep 1000\n', '/usr/lib/systemd/system')
    await expectRefusal(() => holdfast('install', config), new RegExp(`there is a unit ${app}@\\.service already: /(usr/)?lib/systemd/system/${app}@\\.service`), /another app name/)
  })

  it('of a unit that was made to run, and has no file', async () => {
    const { config, app } = await project({})
    await mustRun('systemd-run', ['--collect', `--unit=${app}-drain`, 'sleep', '1000'])
    onTestFinished(async () => void (await systemctl('stop', `${app}-drain`)))
    await expectRefusal(() => holdfast('install', config), new RegExp(`there is a unit ${app}-drain\\.service already`), /another app name/)
  })
})

describe('programs that somebody else may change', () => {
  /** The built package in another place. */
  async function copyPackage(place: string): Promise<string> {
    await mkdir(place, { recursive: true, mode: 0o755 })
    for (const part of ['dist', 'units', 'package.json']) await cp(join(root, part), join(place, part), { recursive: true })
    for (const name of ['commander', 'smol-toml']) await cp(join(root, 'node_modules', name), join(place, 'node_modules', name), { recursive: true })
    return join(place, 'dist/cli/main.js')
  }
  const installWith = (cli: string, config: string, node = process.execPath) => (): Promise<Result> => run(node, [cli, 'install', config])

  it('refuses the CLI below a user’s folder, an open folder, the app’s own, and npx’s cache', async () => {
    const { config, folder } = await project({})
    const place = '/opt/hf-test/holdfast'
    onTestFinished(() => rm('/opt/hf-test', { recursive: true, force: true }))
    const cli = await copyPackage(place)
    expectSuccess(await run(process.execPath, [cli, 'install', '--dry-run', config]))
    const mend = /npm install --global holdfast/
    const restore = async (path: string, change: () => Promise<void>, message: RegExp): Promise<void> => {
      await change()
      await expectRefusal(installWith(cli, config), message, mend)
      await chown(path, 0, 0)
      await chmod(path, 0o755)
    }
    await restore('/opt/hf-test', () => chown('/opt/hf-test', 1234, 1234), /holdfast is at \/opt\/hf-test\/.*\/opt\/hf-test belongs to user 1234: whoever that is would be root/)
    await restore(place, () => chmod(place, 0o777), /everybody may write to \/opt\/hf-test\/holdfast/)
    await restore(place, async () => { await chown(place, 0, 1234); await chmod(place, 0o775) }, /group 1234 may write to \/opt\/hf-test\/holdfast/)
    await restore(cli, () => chown(cli, 1234, 0), /main\.js belongs to user 1234/)
    // Not the entry itself, but what it loads.
    const inner = join(place, 'dist/deploy/install/install.js')
    await restore(inner, () => chmod(inner, 0o666), /everybody may write to .*dist\/deploy\/install\/install\.js/)
    const dependency = join(place, 'node_modules/commander/lib')
    await restore(dependency, () => chown(dependency, 1234, 1234), /commander\/lib belongs to user 1234/)

    const inApp = await copyPackage(join(folder, 'node_modules/holdfast'))
    await expectRefusal(installWith(inApp, config), /inside the app's own folder: pushing code would change what root runs/, mend)
    const inCache = await copyPackage('/opt/hf-test/.npm/_npx/1a2b/node_modules/holdfast')
    await expectRefusal(installWith(inCache, config), /runs from npx's cache/, mend)
  })

  it('refuses node below a user’s folder, also behind a link', async () => {
    const { config } = await project({})
    await mkdir('/opt/hf-node/bin', { recursive: true })
    onTestFinished(() => rm('/opt/hf-node', { recursive: true, force: true }))
    await cp(process.execPath, '/opt/hf-node/bin/node')
    await symlink('/opt/hf-node/bin/node', '/opt/hf-node/link')
    await chown('/opt/hf-node/bin', 1234, 1234)
    await expectRefusal(installWith(join(root, 'dist/cli/main.js'), config, '/opt/hf-node/link'), /node is at \/opt\/hf-node\/bin\/node, and \/opt\/hf-node\/bin belongs to user 1234/, /for all users/)
  })
})

describe('who asks', () => {
  it('needs root, but for a manager of one’s own', async () => {
    const { config } = await project({})
    const asNobody = (...args: string[]) => (): Promise<Result> =>
      run('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', process.execPath, join(root, 'dist/cli/main.js'), ...args], { env: { HOME: '/nonexistent', XDG_RUNTIME_DIR: '' } })
    await expectRefusal(asNobody('install', config), /this needs root/, /sudo/)
    await expectRefusal(asNobody('uninstall', neighbour), /this needs root/, /sudo/)
    await expectRefusal(asNobody('--user', 'install', config), /no systemd of user 65534 runs/, /enable-linger/)
    expectSuccess(await asNobody('render', config)())
    expectSuccess(await asNobody('check', config)())
  })

  it('as a user may have no port below 1024, no other user, and no folder of root’s', async () => {
    const name = uniqueApp('u').slice(0, 20)
    await mustRun('useradd', ['--create-home', name])
    const uid = (await mustRun('id', ['-u', name])).trim()
    await mustRun('systemctl', ['start', `user@${uid}`])
    onTestFinished(async () => {
      await systemctl('stop', `user@${uid}`)
      await run('userdel', ['--remove', '--force', name])
    })
    const { config, app, folder } = await project({})
    const install = (): Promise<Result> =>
      run('setpriv', ['--reuid', uid, '--regid', uid, '--init-groups', process.execPath, join(root, 'dist/cli/main.js'), '--user', 'install', config], {
        env: { HOME: `/home/${name}`, XDG_RUNTIME_DIR: `/run/user/${uid}` },
      })
    const refuse = async (parts: Parts, message: RegExp, mend: RegExp): Promise<void> => {
      await writeFile(config, configOf({ app, directory: folder, ...parts }))
      const before = await footprint(`/home/${name}`)
      await expectRefusal(install, message, mend)
      expect(await footprint(`/home/${name}`)).toEqual(before)
    }
    await writeFile('/proc/sys/net/ipv4/ip_unprivileged_port_start', '1024')
    await refuse({ listen: { http: 80 } }, /listen\.http: a user's manager may not open port 80/, /from 1024 on, or, as root: sysctl/)
    await refuse({ listen: { http: 8080 }, top: 'user = "daemon"' }, /user cannot be set with --user/, /remove the key/)
    await refuse({ listen: { http: '/run/x.sock' } }, /you may not write to \/run/, new RegExp(`below /run/user/${uid}/`))
  })
})

describe('a unit that the admin has edited', () => {
  it('is left alone by install and uninstall, with the difference', async () => {
    const file = `/etc/systemd/system/${neighbour}@.service`
    const written = await readFile(file, 'utf8')
    await writeFile(file, written.replace('[Service]', '[Service]\nNice=5'))
    onTestFinished(() => writeFile(file, written))
    const difference = new RegExp(`${neighbour}@\\.service was edited since holdfast wrote it:[^]*\\n\\+Nice=5`)
    const mend = new RegExp(`systemctl edit ${neighbour}@\\.service; then rm ${file}`)
    await expectRefusal(() => holdfast('install', join(neighbourFolder, 'holdfast.toml')), difference, mend)
    await expectRefusal(() => holdfast('install', '--dry-run', join(neighbourFolder, 'holdfast.toml')), difference, mend)
    await expectRefusal(() => holdfast('uninstall', neighbour), difference, mend)
    expect(await show(`${neighbour}.service`, 'ActiveState')).toEqual({ ActiveState: 'active' })
  })
})

describe('a command line', () => {
  it('with an app that is not there names those that are', async () => {
    await expectRefusal(() => holdfast('uninstall', 'nosuchapp'), new RegExp(`nosuchapp is not installed; installed: .*${neighbour}`), /holdfast install/)
    await expectRefusal(() => holdfast('uninstall', '../../etc'), /"..\/..\/etc" is no app's name/, /holdfast status/)
  })

  it.each([
    [['instal'], /error: unknown command 'instal'[^]*Did you mean install\?/],
    [['install', '--dryrun'], /error: unknown option '--dryrun'[^]*Did you mean --dry-run\?/],
    [['uninstall'], /error: missing required argument 'app'/],
    [[], /Usage: holdfast/],
  ])('%j', async (args, message) => {
    const before = await footprint()
    const { status, stdout, stderr } = await holdfast(...args)
    expect(stderr).toMatch(message)
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' })
    expect(await footprint()).toEqual(before)
  })

  it('that renders to what is no folder, or to systemd’s own', async () => {
    const { config } = await project({})
    await expectRefusal(() => holdfast('render', config, config), /is not a folder/, /name a folder/)
    await expectRefusal(() => holdfast('render', config, '/etc/systemd/system/'), /is where systemd reads its units/, /holdfast install/)
  })
})

/** A unit of somebody else's; stopped and gone with the test. */
async function installUnit(name: string, text: string, folder = '/etc/systemd/system'): Promise<void> {
  const file = join(folder, name)
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, text)
  await mustRun('systemctl', ['daemon-reload'])
  onTestFinished(async () => {
    if (!name.includes('@')) await systemctl('stop', name)
    await rm(file)
    await systemctl('daemon-reload')
    await systemctl('reset-failed', name)
  })
}

function listening(options: { port?: number; host?: string; path?: string; ipv6Only?: boolean }): Promise<ReturnType<typeof createServer>> {
  return new Promise((resolve, reject) => {
    const server = createServer().on('error', reject).listen(options, () => resolve(server))
    onTestFinished(() => void server.close())
  })
}
