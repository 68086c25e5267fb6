/** What systemd and root see to in a drain: how long it may take, and why it is. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { describe, expect, it, onTestFailed, onTestFinished } from 'vitest'
import { ask, makeShop, serverJs, type Shop } from './apps.js'
import { activeState, expectSuccess, freePort, holdfast, journal, makeApp, mustRun, registerModule, root, run, show, systemctl, uniqueApp, waitFor } from './harness.js'

/** An app without the runtime: takes its socket, says when it is ready, and why it is stopped; ends LINGER_MS after SIGTERM. */
const levelZero = `
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import http from 'node:http'
http.createServer((request, response) => response.end('level 0')).listen({ fd: 3 })
execFileSync('systemd-notify', ['--ready'])
let said
const sayWhy = () => {
  let why
  try { why = readFileSync(process.env.HOLDFAST_STOP_FILE, 'utf8') } catch (error) { why = error.code }
  if (why !== said) console.log('stopped for ' + JSON.stringify(said = why))
}
process.on('SIGTERM', () => {
  sayWhy()
  setInterval(sayWhy, 50)
  setTimeout(() => { console.log('lingered'); process.exit() }, Number(process.env.LINGER_MS))
})
`
const commands = {
  preload: `command = ["node", "--import", ${JSON.stringify(registerModule)}, "server.js"]`,
  none: 'command = ["node", "server.js"]',
}

async function makeLevelZero(prefix: string, { top = '', drain = '', lingerMs = 0 }: { top?: string; drain?: string; lingerMs?: number } = {}): Promise<Shop> {
  const name = uniqueApp(prefix)
  const port = await freePort()
  const address = `127.0.0.1:${port}`
  const app = await makeApp({
    name,
    files: { 'package.json': '{"type":"module"}', 'server.js': levelZero },
    config: `${commands.none}\nenv = { LINGER_MS = "${lingerMs}" }\n${top}\n[start]\nsettle = "200ms"\n[drain]\n${drain}\n[listen]\nhttp = "${address}"\n`,
  })
  return { ...app, port, address, service: `${name}.service`, release: () => app.write({ 'server.js': levelZero }) }
}

const edit = async (shop: Shop, from: string, to: string): Promise<void> => {
  const text = await readFile(shop.config, 'utf8')
  expect(text).toContain(from)
  await writeFile(shop.config, text.replace(from, to))
}
const stopTimeout = async (shop: Shop, instance: string): Promise<string> => (await show(`${shop.name}@${instance}.service`, 'TimeoutStopUSec')).TimeoutStopUSec

describe('TimeoutStopSec=', () => {
  it('is that of each generation’s own command, whatever is installed or changes in the meantime', async () => {
    const shop = await makeLevelZero('stoptime', { drain: 'timeout = "1min"\nhang_timeout = "20s"', lingerMs: 20_000 })
    expectSuccess(await holdfast('install', shop.config))
    expect(await stopTimeout(shop, '1.1')).toBe('1min 5s')

    // The template is rewritten for the preload, and systemd told so, while generation 1 drains without it.
    await edit(shop, commands.none, commands.preload)
    await shop.write({ 'server.js': serverJs('2') })
    expectSuccess(await holdfast('install', shop.config))
    expect(await mustRun('systemctl', ['cat', `${shop.name}@9.1.service`])).toContain('TimeoutStopSec=25s')
    expect(await stopTimeout(shop, '2.1')).toBe('25s')
    expect(await activeState(`${shop.name}@1.1.service`)).toBe('deactivating')
    expect(await stopTimeout(shop, '1.1')).toBe('1min 5s')
    expect((await show(`${shop.name}@2.1.service`, 'NeedDaemonReload')).NeedDaemonReload).toBe('no')

    // A release without the preload, which is not installed.
    await edit(shop, commands.preload, commands.none)
    await shop.write({ 'server.js': levelZero })
    expectSuccess(await systemctl('restart', shop.name))
    expect(await stopTimeout(shop, '3.1')).toBe('1min 5s')

    const folder = `/etc/systemd/system/${shop.name}@.service.d`
    await mkdir(folder)
    onTestFinished(() => rm(folder, { recursive: true, force: true }))
    await writeFile(`${folder}/local.conf`, '[Service]\nTimeoutStopSec=33s\n')
    await systemctl('daemon-reload')
    expectSuccess(await systemctl('restart', shop.name))
    expect(await stopTimeout(shop, '4.1')).toBe('33s')
  })

  it('lets an app without the runtime drain for longer than hang_timeout', async () => {
    const shop = await makeLevelZero('linger', { drain: 'timeout = "1min"\nhang_timeout = "1s"', lingerMs: 7_500 })
    expectSuccess(await holdfast('install', shop.config))
    const begin = Date.now()
    expectSuccess(await systemctl('restart', shop.name))
    await waitFor('generation 1 has ended', async () => (await activeState(`${shop.name}@1.1.service`)) === 'inactive', { timeoutMs: 20_000 })
    expect(Date.now() - begin).toBeGreaterThan(7_500)
    expect(await journal(shop.name)).toContain('lingered')
    expect((await show(`${shop.name}@1.1.service`, 'Result')).Result).toBe('success')
  })

  it('kills an instance with the preload that hangs in its drain', async () => {
    const shop = await makeShop('hang', { config: '[start]\nsettle = "200ms"\n[drain]\ntimeout = "5min"\nhang_timeout = "1s"' })
    await shop.release('1', { before: "process.on('SIGUSR2', () => { for (;;); })" })
    expectSuccess(await holdfast('install', shop.config))
    await systemctl('kill', '--signal=SIGUSR2', `${shop.name}@1.1.service`)
    await shop.release('2')
    expectSuccess(await systemctl('restart', shop.name))
    const begin = Date.now()
    await waitFor('generation 1 was killed', async () => (await show(`${shop.name}@1.1.service`, 'Result')).Result === 'timeout', { timeoutMs: 20_000 })
    expect(Date.now() - begin).toBeLessThan(12_000)
    expect((await ask(shop)).release).toBe('2')
  })
})

describe('why it is stopped', () => {
  it.each([['a dynamic user', ''], ['a static one', 'user = "daemon"\nsandbox = { home = "visible" }']])('an instance of %s reads in its sandbox', async (_, top) => {
    const shop = await makeLevelZero('why', { top, lingerMs: 2_000 })
    const reasonsOf = async (instance: string): Promise<string[]> => {
      const unit = `${shop.name}@${instance}.service`
      await waitFor(`${unit} has ended`, async () => ['inactive', 'failed'].includes(await activeState(unit)))
      await run('journalctl', ['--sync'])
      return [...(await mustRun('journalctl', ['--unit', unit, '--output=cat'])).matchAll(/stopped for (.*)/g)].map(([, why]) => JSON.parse(why as string) as string)
    }
    expectSuccess(await holdfast('install', shop.config))
    expectSuccess(await systemctl('restart', shop.name))
    expect(await reasonsOf('1.1')).toEqual(['deploy\n'])
    expect((await mustRun('stat', ['--format=%a %U', '/run/holdfast', `/run/holdfast/${shop.name}`, `/run/holdfast/${shop.name}/1.1.stop`]))).toBe('755 root\n755 root\n644 root\n')

    // By hand: nobody says why, and what was said of another is gone.
    await systemctl('stop', `${shop.name}@2.1.service`)
    expect(await reasonsOf('2.1')).toEqual(['ENOENT'])
    await writeFile(`/run/holdfast/${shop.name}/2.1.stop`, 'deploy\n')
    expect(await (await fetch(`http://${shop.address}`)).text()).toBe('level 0') // a connection brings it back
    await systemctl('stop', `${shop.name}@2.1.service`)
    expect(await reasonsOf('2.1')).toEqual(['ENOENT', 'ENOENT'])

    expectSuccess(await systemctl('start', `${shop.name}@2.1.service`))
    expectSuccess(await systemctl('stop', shop.service, `${shop.name}-drain.service`))
    expect(await reasonsOf('2.1')).toEqual(['ENOENT', 'ENOENT', 'stop\n'])
    expect((await run('sh', ['-c', `ls /run/holdfast/${shop.name}/*.stop`])).stdout).toBe('')
  })

  it('is left unsaid when /run is full: no deploy fails of that', async () => {
    const shop = await makeLevelZero('fullrun', { lingerMs: 100 })
    expectSuccess(await holdfast('install', shop.config))
    const folder = `/run/holdfast/${shop.name}`
    await mustRun('mount', ['-t', 'tmpfs', '-o', 'size=4k,nr_inodes=4', 'none', folder])
    onTestFinished(async () => void (await run('umount', ['--lazy', folder])))
    await run('sh', ['-c', `i=0; while touch ${folder}/$i; do i=$((i+1)); done`])
    expectSuccess(await systemctl('reload', shop.name))
    expect((await show(`${shop.name}@2.1.service`, 'ActiveState')).ActiveState).toBe('active')
  })
})

it('with --user, an instance can read why, and the end of the manager is bounded', async () => {
  const account = uniqueApp('limits').replaceAll('-', '_')
  await mustRun('useradd', ['--create-home', account])
  const uid = (await mustRun('id', ['-u', account])).trim()
  const home = `/home/${account}`
  const manager = `user@${uid}.service`
  await mustRun('systemctl', ['start', manager])
  const as = (...command: string[]): Promise<string> =>
    mustRun('setpriv', ['--reuid', account, '--regid', account, '--init-groups', 'env', '-i', `HOME=${home}`, `XDG_RUNTIME_DIR=/run/user/${uid}`, `PATH=${process.env['PATH']}`, ...command])
  const said = async (): Promise<string> => {
    await run('journalctl', ['--sync'])
    return mustRun('journalctl', ['--output=cat', `_UID=${uid}`])
  }
  onTestFailed(async () => console.error(await said()))
  onTestFinished(async () => void (await systemctl('stop', manager)))
  await mkdir(`${home}/shop`)
  const address = `127.0.0.1:${await freePort()}`
  await writeFile(`${home}/shop/package.json`, '{"type":"module"}')
  await writeFile(`${home}/shop/server.js`, levelZero)
  await writeFile(`${home}/shop/holdfast.toml`, `app = "shop"\n${commands.none}\ndirectory = "."\nenv = { LINGER_MS = "300000" }\n[start]\nsettle = "200ms"\n[drain]\nshutdown_timeout = "1s"\n[listen]\nhttp = "${address}"\n`)
  await as(process.execPath, `${root}/dist/cli/main.js`, 'install', '--user', `${home}/shop/holdfast.toml`)
  expect((await as('systemctl', '--user', 'show', '--property=TimeoutStopUSec', 'shop@1.1.service')).trim()).toBe('TimeoutStopUSec=15min 5s')
  await as('systemctl', '--user', 'restart', 'shop')
  await waitFor('generation 1 knows why', async () => (await said()).includes('stopped for "deploy\\n"'))

  const begin = Date.now()
  expectSuccess(await systemctl('stop', manager))
  const tookMs = Date.now() - begin
  expect(tookMs).toBeGreaterThan(5_000)
  expect(tookMs).toBeLessThan(15_000)
  // Generation 1, which drained since the deploy, and generation 2.
  expect((await said()).match(/stopped for "shutdown\\n"/g)).toHaveLength(2)
})
