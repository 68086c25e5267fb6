/** `[health]` with real traffic: what a new release is asked before it is let in, and that nobody else is answered by one that fails. */
import { existsSync, readdirSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import { ask, makeShop, recorded, serverJs, visit, type Shop } from './apps.js'
import { expectSuccess, freePort, holdfast, journal, makeApp, mustRun, registerModule, root, run, show, systemctl, uniqueApp, units, waitFor, type Result } from './harness.js'
import { healthz, intercept } from './intercept.js'

const quick = 'interval = "100ms"\ndeadline = "2s"'

/** Installed, and well. */
async function makeWell(prefix: string, health: string, top = '', files: Record<string, string> = {}): Promise<Shop> {
  const shop = await makeShop(prefix, { config: `${top}\n[start]\nsettle = "300ms"\n[health]\n${health}` })
  await shop.release('1', { before: intercept(healthz('200')) })
  await shop.write(files)
  expectSuccess(await holdfast('install', shop.config))
  return shop
}

const restart = (shop: { name: string }): Promise<Result> => systemctl('restart', shop.name)

async function expectNothingLeft(shop: { name: string }): Promise<void> {
  expect(await units(`${shop.name}-health-*`)).toEqual([])
  expect(readdirSync(`/run/holdfast/${shop.name}`).filter((name) => name.includes('health'))).toEqual([])
}

describe('a request', () => {
  it('that is not answered well keeps a release from every public request', async () => {
    const shop = await makeWell('unwell', `path = "/healthz"\n${quick}`)
    const before = await show(`${shop.name}@1.1.service`, 'MainPID', 'InvocationID')
    const traffic = visit(shop)
    await traffic.until(200)
    await shop.release('2', { before: intercept(healthz('503', 'no database')) })
    expect((await restart(shop)).status).toBe(1)
    await traffic.until(200)
    const ledger = await traffic.stop()

    expect(ledger.failures).toEqual([])
    expect(Object.keys(ledger.byRelease())).toEqual(['1'])
    expect(await show(`${shop.name}@1.1.service`, 'MainPID', 'InvocationID')).toEqual(before)
    expect((await recorded(shop)).live?.generation).toBe(1)
    const story = await journal(shop.name)
    expect(story).toMatch(new RegExp(`did not become generation 2: ${shop.name}@2\\.1\\.service answered GET /healthz with 503 "no database" \\(expected 200 to 299\\), \\d\\d times in 2s\\. Generation 1 serves on\\.`))
    // The first time is told, and not each.
    expect(story.match(/answered GET \/healthz with 503/g)?.length).toBeLessThanOrEqual(3)
    await waitFor('nothing of generation 2 is left', async () => (await units(`${shop.name}@2.*`)).length === 0)
  })

  it('may be answered badly at first, and must then be answered well so many times in a row', async () => {
    const shop = await makeWell('warm', `path = "/healthz"\nsuccesses = 3\n${quick}`)
    const traffic = visit(shop)
    await traffic.until(100)
    await shop.release('2', { before: intercept(healthz('Date.now() - state.began < 800 ? 503 : 200', 'warming up')) })
    expectSuccess(await restart(shop))
    await traffic.until((ledger) => ledger.answeredBy('2') > 100)
    expect((await traffic.stop()).failures).toEqual([])
    const story = await journal(shop.name)
    expect(story).toContain(`${shop.name}@2.1.service answered GET /healthz with 503 "warming up" (expected 200 to 299).`)
    expect(story).toContain(`${shop.name}@2.1.service answered GET /healthz with 200.`)
  })

  it('that is never answered fails the release, as does a process that dies meanwhile', async () => {
    const shop = await makeWell('hangs', `path = "/healthz"\ntimeout = "300ms"\n${quick}`)
    await shop.release('2', { before: intercept("if (request.url === '/healthz') return true") })
    expect((await restart(shop)).status).toBe(1)
    expect(await journal(shop.name)).toMatch(/@2\.1\.service did not answer GET \/healthz within 300ms, \d times in 2s\. Generation 1 serves on/)
    await shop.release('3', { before: intercept(healthz('503')), after: 'setTimeout(() => process.exit(7), 600)' })
    const began = performance.now()
    expect((await restart(shop)).status).toBe(1)
    expect(performance.now() - began).toBeLessThan(6000)
    expect(await journal(shop.name)).toContain('@3.1.service exited with status 7 just after it was ready')
    expect((await ask(shop)).release).toBe('1')
  })

  it('is asked of each process', async () => {
    const shop = await makeWell('each', `path = "/healthz"\n${quick}`, 'processes = 3')
    await shop.release('2', { before: intercept(healthz("process.env.HOLDFAST_INSTANCE === '2.2' ? 500 : 200")) })
    expect((await restart(shop)).status).toBe(1)
    expect(await journal(shop.name)).toContain(`${shop.name}@2.2.service answered GET /healthz with 500`)
    await shop.release('3', { before: intercept(healthz('200')) })
    expectSuccess(await restart(shop))
  })
})

describe('a command', () => {
  const curl = 'curl --silent --show-error --fail --unix-socket "$HOLDFAST_PRIVATE_SOCKET" http://localhost/healthz'

  it('reaches the instance that it is about, from the app’s sandbox', async () => {
    const script = [`set -e`, curl, 'echo "I am $HOLDFAST_INSTANCE of $HOLDFAST_GENERATION, $(id -un), $LANGUAGE, $(test -w server.js && echo writes)"', 'test "$(basename "$PWD")" = "$HOLDFAST_RELEASE"', 'test "$HOLDFAST_INSTANCE" != 2.1'].join('\n')
    const shop = await makeWell('asks', `command = ${JSON.stringify(script)}\n${quick}`, 'env = { LANGUAGE = "tlh" }')
    await shop.release('2', { before: intercept(healthz('200', 'fine\n')) })
    const traffic = visit(shop)
    await traffic.until(100)
    expect((await restart(shop)).status).toBe(1)
    const ledger = await traffic.stop()
    expect(ledger.failures).toEqual([])
    expect(Object.keys(ledger.byRelease())).toEqual(['1'])
    expect(await journal(shop.name)).toMatch(
      new RegExp(`did not become generation 2: ${shop.name}@2\\.1\\.service failed its health\\.command \\(.*\\), which exited with status 1, saying "fine / I am 2\\.1 of 2, hf-${shop.name}, tlh,", (once|\\d+ times) in 2s\\.`),
    )
    await expectNothingLeft(shop)
    await shop.release('3', { before: intercept(healthz('200')) })
    expectSuccess(await restart(shop))
    await expectNothingLeft(shop)
    expect((await ask(shop)).release).toBe('3')
  })

  it('shows what the instance answered, and is killed with all that it has started when its time is over', async () => {
    const shop = await makeWell('kills', `command = ${JSON.stringify(`${curl} || exit 22; test "$HOLDFAST_GENERATION" = 1 || { sleep 7411 & sleep 7411; }`)}\ntimeout = "500ms"\n${quick}`)
    await shop.release('2', { before: intercept(healthz('503')) })
    expect((await restart(shop)).status).toBe(1)
    expect(await journal(shop.name)).toMatch(/which exited with status 22, saying "curl: \(22\) The requested URL returned error: 503/)
    await shop.release('3', { before: intercept(healthz('200')) })
    expect((await restart(shop)).status).toBe(1)
    expect(await journal(shop.name)).toContain('which took longer than 500ms and was ended')
    expect((await run('pgrep', ['-f', 'sleep 7411'])).stdout).toBe('')
    await expectNothingLeft(shop)
  })

  it('ends at once with an instance that dies', async () => {
    const shop = await makeWell('ends', `command = ${JSON.stringify('test "$HOLDFAST_GENERATION" = 1 || sleep 7412')}\ntimeout = "1min"\ndeadline = "2min"`)
    await shop.release('2', { after: 'setTimeout(() => process.exit(7), 1000)' })
    const began = performance.now()
    expect((await restart(shop)).status).toBe(1)
    expect(performance.now() - began).toBeLessThan(15_000)
    await waitFor('the command has ended', async () => (await run('pgrep', ['-f', 'sleep 7412'])).stdout === '')
    await waitFor('its unit is gone', async () => (await units(`${shop.name}-health-*`)).length === 0)
  })

  it('with the runtime in it does not take itself for the instance', async () => {
    const shop = await makeWell('helper', 'command = ["node", "check.mjs"]', '', {
      'check.mjs': `import ${JSON.stringify(registerModule)}
import http from 'node:http'
http.get({ socketPath: process.env.HOLDFAST_PRIVATE_SOCKET, path: '/healthz' }, (response) => process.exit(response.statusCode === 200 ? 0 : 1))`,
    })
    await shop.release('2', { before: intercept(healthz('200')) })
    expectSuccess(await restart(shop))
    expect((await ask(shop)).release).toBe('2')
  })
})

describe('an app without the runtime', () => {
  /** Takes its sockets by their names, and serves the private one where it is told to. */
  const bare = (serves: boolean): string => `
import http from 'node:http'
import { execFileSync } from 'node:child_process'
const names = process.env.LISTEN_FDNAMES.split(':')
const serve = (name, listener) => new Promise((done) => http.createServer(listener).listen({ fd: 3 + names.indexOf(name) }, done))
await serve('http', (request, response) => response.end('public'))
${serves ? "await serve('private', (request, response) => response.writeHead(request.url === '/healthz' ? 204 : 404).end())" : ''}
execFileSync('systemd-notify', ['--ready'])
process.on('SIGTERM', () => process.exit(0))
`

  it('has to serve the socket named private, and is told so', async () => {
    const [port, name] = [await freePort(), uniqueApp('bare')]
    const app = await makeApp({
      name,
      files: { 'server.js': bare(true), 'package.json': '{"type":"module"}' },
      config: `command = ["node", "server.js"]\n[listen]\nhttp = "127.0.0.1:${port}"\n[start]\nsettle = "200ms"\n[health]\npath = "/healthz"\ntimeout = "300ms"\n${quick}`,
    })
    expectSuccess(await holdfast('install', app.config))
    expect(existsSync(`/run/holdfast/${name}/private/1.1.sock`)).toBe(true)
    expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe('public')
    await app.write({ 'server.js': bare(false) })
    expect((await restart(app)).status).toBe(1)
    expect(await journal(name)).toMatch(/did not answer GET \/healthz within 300ms, \d times in 2s: an app without the preload has to serve the inherited socket named `private`\. Generation 1 serves on/)
    expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe('public')
  })
})

it('works in a user’s own manager, which may mount nothing', { timeout: 120_000 }, async () => {
  const account = uniqueApp('well').replaceAll('-', '_')
  await mustRun('useradd', ['--create-home', account])
  const uid = (await mustRun('id', ['-u', account])).trim()
  await mustRun('systemctl', ['start', `user@${uid}.service`])
  onTestFinished(async () => {
    await systemctl('stop', `user@${uid}.service`)
    await mustRun('userdel', ['--remove', '--force', account])
  })
  const home = `/home/${account}`
  const as = (...command: string[]): Promise<Result> =>
    run('setpriv', ['--reuid', account, '--regid', account, '--init-groups', 'env', '-i', `HOME=${home}`, `XDG_RUNTIME_DIR=/run/user/${uid}`, `PATH=${process.env['PATH']}`, ...command])
  const folder = `${home}/shop`
  await mkdir(folder)
  const write = async (status: number): Promise<void> => writeFile(`${folder}/server.js`, serverJs('1', { before: intercept(healthz(String(status), 'said so')) }))
  await write(200)
  await writeFile(`${folder}/package.json`, '{"type":"module"}')
  const command = 'curl --silent --show-error --fail-with-body --unix-socket "$HOLDFAST_PRIVATE_SOCKET" http://localhost/healthz'
  await writeFile(`${folder}/holdfast.toml`, `app = "shop"\ndirectory = "."\ncommand = ["node", "--import", ${JSON.stringify(registerModule)}, "server.js"]
[listen]\nhttp = "127.0.0.1:${await freePort()}"\n[start]\nsettle = "200ms"\n[health]\ncommand = ${JSON.stringify(command)}\n${quick}\n`)
  const installed = await as(process.execPath, `${root}/dist/cli/main.js`, 'install', '--user', `${folder}/holdfast.toml`)
  expect(installed.status, installed.stdout + installed.stderr).toBe(0)
  await write(503)
  expect((await as('systemctl', '--user', 'restart', 'shop')).status).toBe(1)
  const history = await readFile(`${home}/.local/state/holdfast/shop/history.jsonl`, 'utf8')
  expect(JSON.parse(history.trim().split('\n').at(-1) as string)).toMatchObject({ outcome: 'failed', reason: expect.stringMatching(/which exited with status 22, saying ".*503.*/) })
  expect((await as('systemctl', '--user', 'list-units', '--all', '--no-legend', 'shop-health*')).stdout).toBe('')
})
