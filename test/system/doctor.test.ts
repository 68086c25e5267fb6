import { appendFile, mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import type { Finding } from '../../src/deploy/observe/diagnose.js'
import { broken, makeShop, type Shop } from './apps.js'
import { expectSuccess, holdfast, mustRun, registerModule, root, run, systemctl, systemdVersion, uniqueApp } from './harness.js'

interface Report { ok: boolean; findings: (Finding & { app: string | null; mend: string | null })[] }

async function doctor(shop?: Shop): Promise<{ exit: number; faults: [string, string][] }> {
  const result = await holdfast('doctor', '--json')
  const { ok, findings } = JSON.parse(result.stdout) as Report
  expect(result.status).toBe(ok ? 0 : 1)
  const own = findings.filter(({ app, level }) => app === (shop?.name ?? null) && level !== 'ok')
  for (const { mend } of own) expect(mend).toBeTruthy()
  return { exit: result.status, faults: own.map(({ level, what }) => [level, what]) }
}

async function installed(prefix: string): Promise<Shop> {
  const shop = await makeShop(prefix, { config: '[start]\nsettle = "200ms"' })
  expectSuccess(await holdfast('install', shop.config))
  return shop
}

it('finds this machine fit', async () => {
  const { status, stdout } = await holdfast('doctor')
  expect(status).toBe(0)
  expect(stdout).toContain(`systemd ${systemdVersion}`)
  expect(stdout).toMatch(/^ok {4}sd-notify is loaded$/m)
  expect(stdout).toMatch(/^ok {4}systemd-journald is loaded$/m)
  expect(stdout).toMatch(/^\d+ ok, \d+ to look at, 0 failed$/m)
  const off = await run(process.execPath, [join(root, 'dist/cli/main.js'), 'doctor'], { env: { HOLDFAST_NATIVE: 'off' } })
  expect(off.stdout).toMatch(/^warn {2}sd-notify is not loaded: HOLDFAST_NATIVE=off is set.*\n {6}Try: unset HOLDFAST_NATIVE$/m)
  expect(off.status).toBe(0)
})

it('finds nothing wrong with an app that is live', async () => {
  expect(await doctor(await installed('well'))).toEqual({ exit: 0, faults: [] })
})

it('finds what is wrong with a configuration, and one that is not in force', async () => {
  const shop = await installed('config')
  const file = `/etc/holdfast/${shop.name}.toml`
  await appendFile(file, '[limits]\ntasks = 64\n')
  expect((await doctor(shop)).faults).toContainEqual(['warn', `${file} was changed since the last install, and is not in force yet`])
  expectSuccess(await holdfast('install', file))
  expect((await doctor(shop)).faults.filter(([, what]) => what.includes('in force'))).toEqual([])
  await appendFile(file, 'bad = 1\n')
  const { exit, faults } = await doctor(shop)
  expect(exit).toBe(1)
  expect(faults[0]).toEqual(['fail', expect.stringMatching(/toml:\d+: limits\.bad: unknown key `bad`/)])
  await mustRun('sed', ['-i', '/^bad/d', file])
})

it('finds units that were edited, removed, disabled, or not read again', async () => {
  const shop = await installed('units')
  const unit = `/etc/systemd/system/${shop.name}.service`
  const before = await mustRun('cat', [unit])
  await appendFile(unit, '# mine\n')
  expect((await doctor(shop)).faults).toEqual([
    ['fail', `${unit} was edited since holdfast wrote it`],
    ['warn', `${shop.name}.service or a drop-in of it has changed since systemd read it`],
  ])
  await rename(unit, `${unit}.old`)
  expect((await doctor(shop)).faults[0]).toEqual(['fail', `${unit} is gone`])
  await rm(`${unit}.old`)
  await writeFile(unit, before)
  await systemctl('daemon-reload')

  await systemctl('disable', `${shop.name}-http.socket`)
  expect((await doctor(shop)).faults).toEqual([['warn', `${shop.name}-http.socket is disabled: it does not start at boot`]])
  await systemctl('enable', `${shop.name}-http.socket`)

  const dropIn = `/etc/systemd/system/${shop.name}@.service.d`
  await mkdir(dropIn)
  onTestFinished(async () => {
    await rm(dropIn, { recursive: true })
    await systemctl('daemon-reload')
  })
  await writeFile(join(dropIn, 'a.conf'), '[Service]\nNice=1\n')
  await systemctl('daemon-reload')
  await writeFile(join(dropIn, 'a.conf'), '[Service]\nNice=2\n')
  expect((await doctor(shop)).faults).toEqual([['warn', `${shop.name}@1.1.service or a drop-in of it has changed since systemd read it`]])
  await systemctl('daemon-reload')
  expect((await doctor(shop)).faults).toEqual([])
})

it('finds a socket that is closed, an instance that is gone, a failed deploy, a stopped app', async () => {
  const shop = await installed('down')
  await systemctl('stop', `${shop.name}@1.1.service`)
  expect(await doctor(shop)).toEqual({ exit: 1, faults: [['fail', `generation 1 is recorded as live, but ${shop.name}@1.1.service is inactive`]] })
  await systemctl('start', `${shop.name}@1.1.service`)
  await shop.release('2', broken['crashes at its start'])
  await systemctl('restart', shop.name)
  expect((await doctor(shop)).faults).toEqual([['warn', expect.stringMatching(/^the last deploy failed: .*@2\.1\.service exited with status 1 .*; generation 1 serves on$/)]])
  expectSuccess(await holdfast('stop', shop.name))
  expect((await doctor(shop)).faults).toEqual([['warn', 'it is stopped']])
})

it('finds needrestart without its override', async () => {
  const folder = '/etc/needrestart/conf.d'
  const shop = await installed('needrestart')
  await mkdir(folder, { recursive: true })
  onTestFinished(() => rm('/etc/needrestart', { recursive: true }))
  expect((await doctor(shop)).faults).toEqual([['warn', expect.stringContaining('needrestart is installed')]])
  expectSuccess(await holdfast('install', shop.config))
  expect((await doctor(shop)).faults).toEqual([])
})

it('serves a user’s own manager: doctor, status, logs, run and stop', async () => {
  const user = uniqueApp('user').slice(0, 20)
  await mustRun('useradd', ['--create-home', user])
  const uid = (await mustRun('id', ['-u', user])).trim()
  await mkdir('/var/lib/systemd/linger', { recursive: true })
  await writeFile(`/var/lib/systemd/linger/${user}`, '')
  await mustRun('systemctl', ['start', `user@${uid}`])
  onTestFinished(async () => {
    await systemctl('stop', `user@${uid}`)
    await rm(`/var/lib/systemd/linger/${user}`)
  })
  const env = { HOME: `/home/${user}`, USER: user, XDG_RUNTIME_DIR: `/run/user/${uid}`, XDG_CONFIG_HOME: '', XDG_STATE_HOME: '' }
  const own = (...args: string[]) =>
    run('setpriv', ['--reuid', uid, '--regid', uid, '--init-groups', process.execPath, join(root, 'dist/cli/main.js'), ...args], { env })

  const shop = await makeShop('user', { config: '[start]\nsettle = "200ms"' })
  await mustRun('cp', ['-r', shop.folder, `/home/${user}/app`])
  await mustRun('sed', ['-i', 's/^directory.*/directory = "."/', `/home/${user}/app/holdfast.toml`])
  await mustRun('chown', ['-R', `${user}:`, `/home/${user}/app`])
  expectSuccess(await own('--user', 'install', `/home/${user}/app/holdfast.toml`))
  const status = await own('status', shop.name, '--user')
  expectSuccess(status)
  expect(status.stdout).toMatch(/ {2}1\.1 {2}live /)
  const doctorReport = await own('doctor', '--user')
  expectSuccess(doctorReport)
  expect(doctorReport.stdout).toContain(`${user} lingers`)
  expect((await own('run', shop.name, '--user', '--', 'node', '--import', registerModule, '-e', 'console.log(process.env.HOLDFAST_APP, process.cwd())')).stdout)
    .toMatch(new RegExp(`^${shop.name} /home/${user}/\\.local/state/holdfast/${shop.name}/releases/`))
  expect((await own('run', '--user', shop.name, '--', 'sh', '-c', 'exit 9')).status).toBe(9)
  expect((await own('logs', shop.name, '--user', '-o', 'cat')).stdout).toContain('Generation 1 is live')
  expectSuccess(await own('stop', '--user', shop.name))
  expect((await own('status', '--user', shop.name)).status).toBe(3)
  expectSuccess(await own('uninstall', '--user', shop.name))
})
