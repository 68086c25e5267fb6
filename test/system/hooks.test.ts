/** Hooks run as the app would: in its sandbox, as its user; whatever becomes of them, nothing of them is left. */
import { createHash } from 'node:crypto'
import { existsSync, statSync } from 'node:fs'
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { endHook } from '../../src/deploy/operation/hooks.js'
import { planDependencies, reuseDependencies } from '../../src/release/dependencies.js'
import { sealFolder } from '../../src/release/seal.js'
import { makeHookSite, type HookSite } from './hook-site.js'
import { activeState, journal, mustRun, root, run, show, systemctl, uniqueApp, units, waitFor } from './harness.js'

const expectNothingLeft = async ({ unit, app }: HookSite): Promise<void> => {
  expect(await units(unit)).toEqual([])
  expect(existsSync(join(app.paths.run, 'hook'))).toBe(false)
}

/** A hook that waits for a file which root writes into its folder. */
const untilGo = 'while [ ! -e go ]; do sleep 0.05; done'

describe('a hook', () => {
  it('has the app’s user, environment, data and sandbox, and its folder is writable', async () => {
    const secrets = '/etc/hook-test.env'
    await writeFile(secrets, 'SECRET="s3 cr\\$et"\n', { mode: 0o600 })
    onTestFinished(() => rm(secrets))
    const site = await makeHookSite('hook', { config: `env_file = "${secrets}"\ndata = true\nenv = { GREETING = 'a "b" $HOME %i \\ é' }\n[limits]\nmemory = "512M"` })
    const { app, shop, folder } = site
    await site.write({ 'package.json': '{}', 'lib/deep/a.js': '1' })

    const environment = (await site.run('env')).lines
    expect(environment).toContain('GREETING=a "b" $HOME %i \\ é')
    expect(environment).toContain('SECRET=s3 cr$et')
    expect(environment).toContain(`HOLDFAST_APP=${shop.name}`)
    expect(environment).toContain('HOLDFAST_RELEASE=r1')
    expect(environment).toContain(`HOME=/var/cache/holdfast/${shop.name}`)
    expect(environment.filter((line) => /^(HOLDFAST_(INSTANCE|GENERATION|LISTEN|DRAIN)|LISTEN_|NOTIFY_SOCKET|WATCHDOG)/.test(line))).toEqual([])

    // The very user of the instances.
    const pid = (await mustRun('systemctl', ['show', '-P', 'MainPID', `${shop.name}@1.1.service`])).trim()
    const uid = /^Uid:\s+(\d+)/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]
    const who = await site.run('id -u; pwd; echo x >> package.json; echo y > lib/deep/new; rm lib/deep/a.js; echo kept > "$STATE_DIRECTORY/note"; touch "$HOME/kept" "$npm_config_cache"')
    expect(who).toMatchObject({ ok: true, lines: [uid, folder] })
    expect(await readFile(join(folder, 'package.json'), 'utf8')).toBe('{}x\n')
    expect(await stat(join(folder, 'lib/deep/new'))).toMatchObject({ uid: Number(uid), mode: 0o100644 })
    expect((await site.run('ls "$HOME"; cat "$STATE_DIRECTORY/note"')).lines).toEqual(['kept', 'kept'])

    // The sandbox of the instances.
    const own = (await site.run('cat /proc/self/status')).lines.join('\n')
    const theirs = await readFile(`/proc/${pid}/status`, 'utf8')
    for (const field of ['CapBnd', 'CapEff', 'NoNewPrivs', 'Seccomp']) {
      const pattern = new RegExp(`^${field}:.*$`, 'm')
      expect(pattern.exec(own)?.[0]).toBe(pattern.exec(theirs)?.[0])
    }
    for (const path of ['/etc/x', `/var/lib/holdfast/${shop.name}/x`, `/var/lib/holdfast/${shop.name}/staging/d1/x`, `/srv/${shop.name}/x`, '/usr/x']) {
      expect(await site.run(`touch ${path}`)).toMatchObject({ ok: false, reason: 'exited with status 1', log: [expect.stringMatching(/Read-only file system|Permission denied/)] })
    }
    // Secrets of any app, and of this one as files.
    for (const path of [secrets, `${app.paths.instances}/1.1/secrets`, `${app.paths.instances}/1.1/environment`, `${app.paths.run}/hook/environment`]) {
      expect(existsSync(path) || path.includes('/hook/')).toBe(true)
      expect((await site.run(`cat ${path}`)).ok).toBe(false)
    }
    await expectNothingLeft(site)
  })

  it('has its secrets nowhere but in its environment, and its limits in force', async () => {
    const secret = 'topsecret-4711'
    const secrets = '/etc/hook-secret.env'
    await writeFile(secrets, `SECRET=${secret}\n`, { mode: 0o600 })
    onTestFinished(() => rm(secrets))
    const site = await makeHookSite('secret', { config: `env_file = "${secrets}"\nenv = { OTHER = "${secret}" }\n[limits]\nmemory = "512M"\ntasks = 99` })
    const begun = new Promise<void>((resolve) => {
      const result = site.run(`printf %s "$SECRET" | sha256sum; ${untilGo}`, { onLine: () => resolve() })
      onTestFinished(async () => expect(await result).toMatchObject({ ok: true, lines: [`${createHash('sha256').update(secret).digest('hex')}  -`] }))
    })
    await begun
    const everything = [
      await mustRun('systemctl', ['show', site.unit]),
      await mustRun('systemctl', ['cat', site.unit]),
      (await run('sh', ['-c', 'cat /proc/[0-9]*/cmdline'])).stdout,
    ].join('\n')
    expect(everything).toContain(`hooks.install of release r1 of ${site.shop.name}`)
    expect(everything).not.toContain(secret)
    expect(await show(site.unit, 'MemoryMax', 'TasksMax', 'DynamicUser', 'User')).toEqual({ MemoryMax: String(512 << 20), TasksMax: '99', DynamicUser: 'yes', User: `hf-${site.shop.name}` })
    await writeFile(join(site.folder, 'go'), '')
    expect(await journal(site.shop.name)).not.toContain(secret)
  })

  it('needs no instance that runs: its user is there for it alone', async () => {
    const site = await makeHookSite('alone')
    await site.write({ 'a.js': 'a' })
    await mustRun('systemctl', ['stop', site.shop.name, `${site.shop.name}-drain`])
    expect(existsSync(`/run/systemd/dynamic-uid/direct:hf-${site.shop.name}`)).toBe(false)
    expect(await site.run('echo b >> a.js; id -un; touch "$HOME/x"')).toMatchObject({ ok: true, lines: [`hf-${site.shop.name}`] })
    expect(await site.run('echo c >> a.js; cat a.js', { name: 'migrate' })).toMatchObject({ ok: true, lines: ['ab', 'c'] })
    expect(existsSync(`/var/cache/holdfast/${site.shop.name}/x`)).toBe(true)
  })

  it('that is not to write finds its folder read-only', async () => {
    const site = await makeHookSite('readonly')
    await site.write({ 'a.js': 'a' })
    expect(await site.run('cat a.js; echo; touch b', { writable: false, name: 'migrate' })).toMatchObject({ ok: false, lines: ['a', expect.stringContaining('Read-only file system')] })
    // Also where another hook made it the user's own.
    expect((await site.run('touch b')).ok).toBe(true)
    expect(await site.run('touch c', { writable: false, name: 'migrate' })).toMatchObject({ ok: false, log: [expect.stringContaining('Read-only file system')] })
  })

  it('of a static account runs as that, with code that nobody else may read', async () => {
    const account = uniqueApp('acc').replaceAll('-', '')
    await mustRun('useradd', ['--system', '--no-create-home', account])
    onTestFinished(() => mustRun('userdel', [account]).then(() => {}))
    const [uid, gid] = (await mustRun('sh', ['-c', `id -u ${account}; id -g ${account}`])).trim().split('\n').map(Number)
    const site = await makeHookSite('static', { config: `user = "${account}"`, group: gid as number })
    await site.write({ 'a.js': 'a' })
    const { lines } = await site.run('id -un; echo b >> a.js; mkdir made; umask; touch "$HOME/x" && echo home')
    expect(lines).toEqual([account, '0022', 'home'])
    expect(await stat(join(site.folder, 'made'))).toMatchObject({ uid, gid })
    expect((await stat(site.folder)).mode & 0o7777).toBe(0o750)
    const sealed = join(site.app.paths.releases, 'r1')
    const { sizeBytes } = await sealFolder(site.folder, sealed, { touched: true, group: gid as number })
    expect(sizeBytes).toBe('ab\n'.length)
    expect(await stat(join(sealed, 'a.js'))).toMatchObject({ uid: 0, gid, mode: 0o100440 })
    expect(existsSync(site.folder)).toBe(false)
    expect(statSync(site.app.paths.releases).mode & 0o7777).toBe(0o750)
    expect((await site.run('cat a.js', { folder: sealed, writable: false, name: 'after_drain' })).lines).toEqual(['ab'])
  })

  it('follows the admin’s drop-ins', async () => {
    const site = await makeHookSite('dropin')
    const folder = `/etc/systemd/system/${site.shop.name}@.service.d`
    await mkdir(folder)
    onTestFinished(async () => {
      await rm(folder, { recursive: true })
      await systemctl('daemon-reload')
    })
    await writeFile('/etc/hook-dropin.env', 'FROM_FILE=yes\nGREETING=admin\n')
    onTestFinished(() => rm('/etc/hook-dropin.env'))
    await writeFile(join(folder, 'own.conf'), '[Service]\nEnvironment="ADMIN=x %%n"\nEnvironmentFile=/etc/hook-dropin.env\nRuntimeDirectory=%p\nWatchdogSec=1\n')
    await systemctl('daemon-reload')
    await systemctl('restart', site.shop.service)
    expect((await site.run('echo "$ADMIN $FROM_FILE $GREETING"; touch "$RUNTIME_DIRECTORY/x"', { env: { GREETING: 'app' } })).lines).toEqual(['x %n yes admin'])
    // The instances have it too.
    expect(existsSync(`/run/${site.shop.name}`)).toBe(true)
  })
})

describe('the end of a hook', () => {
  it('is told in words, with its last lines', async () => {
    const site = await makeHookSite('fail')
    const reasonOf = async (script: string | string[]): Promise<string> => {
      const result = await site.run(script)
      return result.ok ? 'ok' : result.reason
    }
    expect(await reasonOf('exit 0')).toBe('ok')
    expect(await reasonOf(['sh', '-c', 'kill -KILL $$'])).toBe('was ended by SIGKILL')
    expect(await reasonOf('kill -TERM $$')).toBe('was ended by SIGTERM')
    expect(await reasonOf(['./no/such', 'x'])).toMatch(/^could not be started: .*no\/such/)
    expect(await reasonOf('printf "#!/no/such\\n" > made; chmod +x made')).toBe('ok')
    expect(await reasonOf(['./made'])).toBe('did not start: its program could not be run (203/EXEC)')
    expect(await reasonOf(['no-such-program'])).toMatch(/^could not be started: no-such-program cannot be run: it is in none of /)
    expect(await reasonOf('yes | head -n 1')).toBe('ok')
    const failed = await site.run('seq 30; echo no table >&2; exit 7')
    expect(failed).toMatchObject({ ok: false, reason: 'exited with status 7', log: [...Array.from({ length: 19 }, (_, i) => String(i + 12)), 'no table'] })
    // Words reach the program as they are.
    const words = ['$HOME', '${HOME}', 'a$$b', '%i', '%%', 'q"x', "q'y", 'b\\n', '', 'é', '--', '-x', 'two words']
    expect((await site.run(['printf', '<%s>\\n', ...words])).lines).toEqual(words.map((word) => `<${word}>`))
    expect((await site.run(['node', '-p', 'process.execPath'])).lines).toEqual([process.execPath])
    expect((await site.run('cat; tty')).lines).toEqual(['not a tty'])
    await expectNothingLeft(site)
  })

  it('comes in time, also of one that heeds no SIGTERM and of what it left in the background', async () => {
    const site = await makeHookSite('hang')
    const hung = await site.run('trap "" TERM; (setsid sleep 1000; echo no) & echo $!; while :; do sleep 1; done', { timeoutMs: 1_000 })
    expect(hung).toMatchObject({ ok: false, reason: 'took longer than 1s (hooks.timeout) and was ended' })
    expect(hung.durationMs).toBeLessThan(20_000)
    expect(existsSync(`/proc/${hung.lines[0]}`)).toBe(false)

    const left = await site.run('setsid sleep 1000 > /dev/null 2>&1 & echo $!')
    expect(left.ok).toBe(true)
    expect(left.durationMs).toBeLessThan(5_000)
    expect(existsSync(`/proc/${left.lines[0]}`)).toBe(false)
    await expectNothingLeft(site)
  })

  it('is known over a daemon-reexec, where somebody stops its unit, and where its lines cannot be told', async () => {
    const site = await makeHookSite('reexec')
    let reexec: Promise<unknown> | undefined
    const result = await site.run(`echo begun; ${untilGo}; echo ended; exit 3`, {
      onLine: (line) => {
        if (line === 'begun') reexec = systemctl('daemon-reexec').then(() => writeFile(join(site.folder, 'go'), ''))
      },
    })
    await reexec
    expect(result).toMatchObject({ ok: false, reason: 'exited with status 3', lines: ['begun', 'ended'] })
    await rm(join(site.folder, 'go'))

    const stopped = await site.run(`echo begun; ${untilGo}`, { onLine: () => void systemctl('stop', site.unit) })
    expect(stopped).toMatchObject({ ok: false, reason: expect.stringMatching(/^was (stopped before its end|ended by SIGTERM)$/) })
    const ended = await site.run(`echo begun; ${untilGo}`, { onLine: () => void endHook(site.app) })
    expect(ended.ok).toBe(false)
    const full = site.run(`echo begun; ${untilGo}`, { onLine: () => { throw new Error('the disk is full') } })
    await expect(full).rejects.toThrow('the disk is full')
    await expectNothingLeft(site)
  })

  it('comes with the unit that it is bound to, and a next one is not held up', async () => {
    const site = await makeHookSite('bound')
    const script = `/srv/${site.shop.name}-runner.mjs`
    onTestFinished(() => rm(script))
    await writeFile(script, `
      import { runHook } from '${root}/dist/deploy/operation/hooks.js'
      import { openApp } from '${root}/dist/cli/context.js'
      const app = openApp('${site.shop.name}', {})
      const text = 'echo $$; ${untilGo}'
      await runHook(app, { name: 'install', command: { text, argv: ['/bin/sh', '-c', text] }, folder: '${site.folder}', writable: true, release: { id: 'r1' }, config: app.config, timeoutMs: 60000, onLine: console.log, boundTo: process.argv[2] })`)
    const deploy = `${site.shop.name}-deploy.service`
    for (const type of ['exec', 'oneshot']) {
      await mustRun('systemd-run', ['--quiet', '--no-block', '--collect', `--unit=${deploy}`, `--property=Type=${type}`, '--property=KillMode=process', '--', process.execPath, script, deploy])
      const pid = await waitFor('the hook runs', async () => {
        const { MainPID } = await show(site.unit, 'MainPID')
        return (await activeState(site.unit)) === 'activating' && MainPID !== '0' && MainPID
      })
      expect(await site.run('true')).toMatchObject({ ok: false, reason: `could not be started: another hook of ${site.shop.name} runs (${site.unit})` })
      await mustRun('systemctl', ['kill', '--signal=SIGKILL', '--kill-whom=main', deploy])
      await waitFor('the hook has ended', () => !existsSync(`/proc/${pid}`))
      await endHook(site.app)
      expect(await site.run('echo next')).toMatchObject({ ok: true, lines: ['next'] })
      await expectNothingLeft(site)
    }
  })
})

describe('the output of a hook', () => {
  it('is whole and in order, whatever it is, and in the journal too', async () => {
    const site = await makeHookSite('output')
    const many = await site.run('seq 100000')
    expect(many.lines.length).toBe(100_000)
    expect(many.lines.every((line, i) => line === String(i + 1))).toBe(true)
    const mixed = await site.run('for n in $(seq 200); do echo o$n; echo e$n >&2; echo s$n > /dev/stderr; done')
    expect(mixed.lines).toEqual(Array.from({ length: 200 }, (_, i) => [`o${i + 1}`, `e${i + 1}`, `s${i + 1}`]).flat())
    const binary = await site.run('head -c 300000 /dev/urandom; echo; head -c 100000 /dev/zero | tr "\\0" x; echo; printf "a\\0b\\r\\nlast"')
    expect(binary.ok).toBe(true)
    expect(binary.lines.at(-3)).toBe(`${'x'.repeat(16 << 10)} … (cut: the line is longer than 16 KiB)`)
    expect(binary.lines.slice(-2)).toEqual(['a\0b', 'last'])
    await site.run('echo for the journal')
    await waitFor('the journal has it', async () => {
      await run('journalctl', ['--sync'])
      return (await mustRun('journalctl', ['--no-pager', '--output=cat', `--identifier=${site.shop.name}`])).includes('for the journal\n')
    })
  })

  it('waits for no journald that stands still', async () => {
    const site = await makeHookSite('frozen')
    await mustRun('systemctl', ['kill', '--signal=SIGSTOP', 'systemd-journald'])
    try {
      // More than fits into all that lies between.
      const began = performance.now()
      const { ok, lines } = await site.run('yes $(printf %080d 0) | head -n 400000; echo end')
      expect({ ok, count: lines.length, last: lines.at(-1) }).toEqual({ ok: true, count: 400_001, last: 'end' })
      expect(performance.now() - began).toBeLessThan(15_000)
    } finally {
      await mustRun('systemctl', ['kill', '--signal=SIGCONT', 'systemd-journald'])
    }
  })
})

describe('dependencies', () => {
  /** A registry with one package. */
  async function startRegistry(): Promise<{ address: string; asked: string[]; integrity: string }> {
    const made = `/srv/${uniqueApp('package')}`
    await mkdir(`${made}/package`, { recursive: true })
    onTestFinished(() => rm(made, { recursive: true }))
    await writeFile(`${made}/package/package.json`, '{"name":"dep","version":"1.0.0","main":"index.js","bin":"index.js"}')
    await writeFile(`${made}/package/index.js`, '#!/usr/bin/env node\nmodule.exports = 42\n', { mode: 0o600 })
    await mustRun('tar', ['-czf', `${made}/dep.tgz`, '-C', made, 'package'])
    const tarball = await readFile(`${made}/dep.tgz`)
    const integrity = `sha512-${createHash('sha512').update(tarball).digest('base64')}`
    const asked: string[] = []
    const server = createServer((request, response) => {
      asked.push(request.url as string)
      const { port } = server.address() as { port: number }
      if (request.url === '/dep') {
        response.setHeader('content-type', 'application/json')
        response.end(JSON.stringify({ name: 'dep', 'dist-tags': { latest: '1.0.0' }, versions: { '1.0.0': { name: 'dep', version: '1.0.0', bin: { dep: 'index.js' }, dist: { integrity, tarball: `http://127.0.0.1:${port}/dep.tgz` } } } }))
      } else if (request.url === '/dep.tgz') response.end(tarball)
      else response.writeHead(404).end('{}')
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void server.close())
    return { address: `http://127.0.0.1:${(server.address() as { port: number }).port}`, asked, integrity }
  }

  it('are installed by npm once, taken over by the next release, and stay as they were whatever that one does', async () => {
    const { address, asked, integrity } = await startRegistry()
    const site = await makeHookSite('npm', { config: `env = { npm_config_registry = "${address}" }` })
    const { app, folder } = site
    const text = 'npm ci --omit=dev --no-audit --no-fund'
    const config = { ...app.config, hooks: { timeoutMs: 60_000, install: { text, argv: ['/bin/sh', '-c', text] } } }
    const files = {
      'package.json': JSON.stringify({ name: 'shop', version: '1.0.0', dependencies: { dep: '1.0.0' } }),
      'package-lock.json': JSON.stringify({
        name: 'shop', version: '1.0.0', lockfileVersion: 3, requires: true,
        packages: { '': { name: 'shop', version: '1.0.0', dependencies: { dep: '1.0.0' } }, 'node_modules/dep': { version: '1.0.0', integrity, bin: { dep: 'index.js' } } },
      }),
    }
    await site.write(files)
    expect(planDependencies({ folder, config })).toEqual({ kind: 'run', why: 'there is no release before it' })
    const installed = await site.run(text)
    expect(installed, installed.lines.join('\n')).toMatchObject({ ok: true })
    expect(asked).toContain('/dep.tgz')
    const first = join(app.paths.releases, 'r1')
    await sealFolder(folder, first, { touched: true })
    expect(await stat(join(first, 'node_modules/dep/index.js'))).toMatchObject({ uid: 0, gid: 0, mode: 0o100555 })

    await mkdir(folder, { mode: 0o555 })
    await site.write(files)
    const release = {
      id: 'r1', createdAt: '', source: { kind: 'archive' as const, name: 'x', sha256: '' }, fingerprint: '', outcome: 'good' as const,
      dependencies: { outcome: 'installed' as const, node: process.version },
    }
    const plan = planDependencies({ folder, config, previous: { release, folder: first, config } })
    expect(plan).toEqual({ kind: 'reuse', why: 'nothing changed since release r1 that they depend on' })
    await reuseDependencies(first, folder)
    const second = join(app.paths.releases, 'r2')
    const linked = join(folder, 'node_modules/dep/index.js')
    expect(statSync(linked).ino).toBe(statSync(join(first, 'node_modules/dep/index.js')).ino)
    expect((await site.run('node_modules/.bin/dep && node -p "require(\'dep\')"', { writable: false, name: 'migrate' })).lines).toEqual(['42'])

    // A hook that writes there after all.
    expect(await site.run('echo "module.exports = 43" > node_modules/dep/index.js')).toMatchObject({ ok: true })
    expect(await readFile(join(first, 'node_modules/dep/index.js'), 'utf8')).toContain('42')
    expect(await stat(join(first, 'node_modules/dep/index.js'))).toMatchObject({ uid: 0, mode: 0o100555 })
    await sealFolder(folder, second, { touched: true })
    expect((await site.run('node -p "require(\'dep\')"', { writable: false, folder: second })).lines).toEqual(['43'])
  })
})

it('a user’s own manager runs them too', async () => {
  const account = uniqueApp('hooks').replaceAll('-', '_')
  await mustRun('useradd', ['--create-home', account])
  const uid = (await mustRun('id', ['-u', account])).trim()
  await mustRun('systemctl', ['start', `user@${uid}.service`])
  onTestFinished(async () => {
    await systemctl('stop', `user@${uid}.service`)
    await mustRun('userdel', ['--remove', '--force', account])
  })
  const home = `/home/${account}`
  const as = (...command: string[]) =>
    run('setpriv', ['--reuid', account, '--regid', account, '--init-groups', 'env', '-i', `HOME=${home}`, `XDG_RUNTIME_DIR=/run/user/${uid}`, `PATH=${process.env['PATH']}`, ...command])
  await writeFile(`${home}/holdfast.toml`, 'app = "shop"\ncommand = ["node", "server.js"]\n')
  const installed = await as(process.execPath, `${root}/dist/cli/main.js`, 'install', '--user', `${home}/holdfast.toml`)
  expect(installed.status, installed.stderr).toBe(0)
  await writeFile(`${home}/run.mjs`, `
    import { chmodSync, mkdirSync, statSync } from 'node:fs'
    import { runHook } from '${root}/dist/deploy/operation/hooks.js'
    import { sealFolder } from '${root}/dist/release/seal.js'
    import { openApp } from '${root}/dist/cli/context.js'
    const app = openApp('shop', { user: true })
    const folder = app.paths.state + '/staging/d1/code'
    mkdirSync(folder, { recursive: true })
    chmodSync(folder, 0o555)
    const run = (text, writable) => runHook(app, { name: 'install', command: { text, argv: ['/bin/sh', '-c', text] }, folder, writable, release: { id: 'r1' }, config: app.config, timeoutMs: 5000, onLine: console.log })
    console.log(JSON.stringify(await run('id -u; echo $HOME; echo made > made', true)))
    console.log(JSON.stringify(await run('exit 4', false)))
    await sealFolder(folder, app.paths.releases + '/r1', { touched: true })
    console.log((statSync(app.paths.releases + '/r1/made').mode & 0o777).toString(8))`)
  const { stdout, stderr } = await as(process.execPath, `${home}/run.mjs`)
  const [who, where, ok, failed, mode] = stdout.split('\n')
  expect({ who, where, mode, stderr }).toEqual({ who: uid, where: home, mode: '400', stderr: '' })
  expect(JSON.parse(ok as string)).toMatchObject({ ok: true })
  expect(JSON.parse(failed as string)).toMatchObject({ ok: false, reason: 'exited with status 4' })
  expect((await as('systemctl', '--user', 'list-units', '--all', '--no-legend', 'shop-hook*')).stdout).toBe('')
})
