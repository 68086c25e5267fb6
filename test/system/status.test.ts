import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rename, writeFile, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import type { AppStatus } from '../../src/deploy/observe/app-status.js'
import { ask, broken, makeShop, recorded, serverJs, type Shop } from './apps.js'
import { expectSuccess, holdfast, mustRun, root, run, systemctl, uniqueApp, waitFor, type Result } from './harness.js'

const cli = join(root, 'dist/cli/main.js')

async function status(shop: { name: string }): Promise<AppStatus & { exit: number }> {
  const result = await holdfast('status', shop.name, '--json')
  return { ...(JSON.parse(result.stdout) as AppStatus), exit: result.status }
}

async function installed(prefix: string, how: Parameters<typeof makeShop>[1] = {}): Promise<Shop> {
  const shop = await makeShop(prefix, { config: '[start]\nsettle = "200ms"', ...how })
  expectSuccess(await holdfast('install', shop.config))
  return shop
}

it('shows what is live, for people and as JSON, and to those who are not root', async () => {
  const shop = await installed('status')
  const text = await holdfast('status', shop.name)
  expectSuccess(text)
  expect(text.stdout).toMatch(new RegExp(`^${shop.name}: live\n  live      generation 1, release \\d{8}-\\d{6}-[0-9a-f]{6}, since `))
  expect(text.stdout).toContain(`listener  http  ${shop.address}  listening (${shop.name}-http.socket)`)
  expect(text.stdout).toMatch(/ {2}1\.1 {2}live {2}\d+ s {2}pid \d+ {2}\d+\.\dM {2}"/)

  const pid = Number((await mustRun('systemctl', ['show', '-P', 'MainPID', `${shop.name}@1.1.service`])).trim())
  const json = await status(shop)
  expect(json).toMatchObject({
    exit: 0, app: shop.name, scope: 'system', state: 'live', serving: true, problems: [],
    live: { generation: 1, processes: 1 },
    listeners: [{ name: 'http', addresses: [shop.address], active: 'active' }],
    instances: [{ generation: 1, process: 1, phase: 'live', pid, restarts: 0, failure: null }],
    lastHandover: { generation: 1, outcome: 'live', previousRelease: null, reason: null },
  })
  expect(json.instances[0]?.memoryBytes).toBeGreaterThan(2 ** 20)
  expect(json.instances[0]?.since).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/)

  const list = await holdfast('status')
  expect(list.stdout).toMatch(new RegExp(`^${shop.name} +live +generation 1 `, 'm'))
  const nobody = await run('setpriv', ['--reuid', '65534', '--regid', '65534', '--clear-groups', process.execPath, cli, 'status', shop.name])
  expect(nobody.stdout.split('\n')[0]).toBe(`${shop.name}: live`)
  expect(nobody.status).toBe(0)
})

it('tells a handover that is under way, a failed deploy, a stop, and what ended', async () => {
  const shop = await installed('phases')
  await shop.release('2', { before: 'await new Promise((resolve) => setTimeout(resolve, 2000))' })
  const restart = systemctl('restart', shop.name)
  const during = await waitFor('the candidate shows', async () => {
    const seen = await status(shop)
    return seen.instances.length === 2 && seen
  })
  expect(during).toMatchObject({ state: 'handover', exit: 0, problems: [], instances: [{ generation: 2, phase: 'starting' }, { generation: 1, phase: 'live' }] })
  expectSuccess(await restart)
  await waitFor('generation 1 has drained', async () => (await status(shop)).instances.length === 1)

  await shop.release('3', broken['crashes at its start'])
  expect((await systemctl('restart', shop.name)).status).toBe(1)
  const failed = await status(shop)
  expect(failed).toMatchObject({ state: 'failed-deploy', exit: 0, live: { generation: 2 }, lastHandover: { generation: 3, outcome: 'failed' } })
  expect(failed.lastHandover?.reason).toContain(`${shop.name}@3.1.service exited with status 1 before it was ready`)

  expectSuccess(await holdfast('stop', shop.name))
  expect(await status(shop)).toMatchObject({ state: 'stopped', exit: 3, serving: false, instances: [], problems: [] })
  expectSuccess(await systemctl('start', shop.name))
  expect(await status(shop)).toMatchObject({ state: 'live', exit: 0 })
})

it('names where the record and what runs differ, with a mend that mends', async () => {
  const shop = await installed('differ')
  const unit = `${shop.name}@1.1.service`
  const mend = async (expected: { state: string; exit: number; what: RegExp }): Promise<void> => {
    const seen = await status(shop)
    expect(seen).toMatchObject({ state: expected.state, exit: expected.exit })
    expect(seen.problems[0]?.what).toMatch(expected.what)
    expectSuccess(await run('sh', ['-c', seen.problems[0]?.mend as string]))
    expect(await status(shop)).toMatchObject({ state: 'live', exit: 0, problems: [] })
  }
  await systemctl('stop', unit)
  await mend({ state: 'idle', exit: 3, what: /^generation 1 is recorded as live, but .*@1\.1\.service is inactive$/ })

  await mustRun('cp', ['-a', `/var/lib/holdfast/${shop.name}/instances/1.1`, `/var/lib/holdfast/${shop.name}/instances/7.1`])
  expectSuccess(await systemctl('start', `${shop.name}@7.1.service`))
  await mend({ state: 'degraded', exit: 1, what: /@7\.1\.service runs beside generation 1/ })

  await systemctl('stop', `${shop.name}-drain.service`)
  await mend({ state: 'down', exit: 3, what: /-drain\.service was stopped, and everything with it/ })

  await systemctl('stop', `${shop.name}-drain.service`)
  await systemctl('start', `${shop.name}@${(await status(shop)).live?.generation}.1.service`)
  await mend({ state: 'degraded', exit: 1, what: /-drain\.service is inactive: stopping/ })

  // Its own unit refuses.
  expectSuccess(await systemctl('start', `${shop.name}-close@http.target`))
  await mend({ state: 'degraded', exit: 1, what: /-http\.socket is inactive: only what runs now still answers/ })
  expect((await ask(shop)).status).toBe(200)

  await rename(`/var/lib/holdfast/${shop.name}/releases`, `/var/lib/holdfast/${shop.name}/gone`)
  await mend({ state: 'degraded', exit: 1, what: /release is gone: it would not come back from a crash$/ })
})

it('finds nothing recorded, an unknown app, a corrupt record', async () => {
  const shop = await makeShop('empty', { config: '' })
  await writeFile(shop.config, (await readFile(shop.config, 'utf8')).replace(/^directory.*\n/m, ''))
  expectSuccess(await holdfast('install', shop.config))
  expect(await status(shop)).toMatchObject({ state: 'empty', exit: 3, live: null, lastHandover: null })

  const name = uniqueApp('nope')
  for (const command of [['status'], ['logs'], ['stop'], ['run']]) {
    const { status: exit, stderr } = await holdfast(...command, name, ...(command[0] === 'run' ? ['--', 'true'] : []))
    expect(exit).toBe(2)
    expect(stderr).toContain(`Error: ${name} is not installed; installed: ${shop.name}`)
  }

  await writeFile(`/var/lib/holdfast/${shop.name}/state.json`, '{')
  const corrupt = await holdfast('status')
  expect(corrupt.stderr).toContain('state.json cannot be read')
  expect(corrupt.status).toBe(1)
  await writeFile(`/var/lib/holdfast/${shop.name}/state.json`, '{"version":1,"generation":0}')
})

it('logs shows the story of one app, and nothing of one whose name begins alike', async () => {
  const shop = await installed('log')
  const other = await makeShop('log', { config: '[start]\nsettle = "200ms"' })
  const longer = { ...other, name: `${shop.name}ify` }
  await writeFile(other.config, (await readFile(other.config, 'utf8')).replace(/^app = .*$/m, `app = "${longer.name}"`))
  expectSuccess(await holdfast('install', other.config))
  try {
    await run('journalctl', ['--sync'])
    const { stdout } = await holdfast('logs', shop.name, '--no-pager', '-o', 'cat')
    expect(stdout).toContain('Generation 1 is live')
    expect(stdout).toContain(`${shop.name}-http.socket`)
    expect(stdout).not.toContain(longer.name)
    expect((await holdfast('logs', '-f', shop.name, '--bogus')).status).toBe(1)
    expect((await holdfast('logs', shop.name, '-n', '1', '--output=json')).stdout).toMatch(/^\{.*\}\n$/)

    const follow = spawn(process.execPath, [cli, 'logs', shop.name, '-f', '-n', '0', '-o', 'cat'])
    let seen = ''
    follow.stdout.setEncoding('utf8').on('data', (text: string) => (seen += text))
    await waitFor('the restart shows', async () => {
      await systemctl('restart', shop.name)
      return /Generation \d+ is live/.test(seen)
    })
    // What an instance says that has begun since.
    const { generation } = await recorded(shop)
    await shop.release('9', { before: 'console.log(`says generation ${process.env.HOLDFAST_GENERATION}`)' })
    expectSuccess(await systemctl('restart', shop.name))
    await waitFor('its own words show', () => seen.includes(`says generation ${generation + 1}\n`))
    expect(seen).not.toContain(longer.name)
    follow.kill('SIGTERM')
    await once(follow, 'exit')
  } finally {
    expectSuccess(await holdfast('uninstall', longer.name))
  }
})

it('stop shows what it waits for; a Ctrl-C ends the waiting alone', async () => {
  const shop = await installed('stop')
  await shop.write({
    'server.js': `import http from 'node:http'
import { existsSync } from 'node:fs'
http.createServer((q, r) => {
  const timer = setInterval(() => existsSync(${JSON.stringify(join(shop.folder, 'go'))}) && (clearInterval(timer), r.end('done')), 50)
}).listen(process.env.PORT)
`,
  })
  expectSuccess(await systemctl('restart', shop.name))
  await waitFor('generation 1 has drained', async () => (await status(shop)).instances.length === 1)
  const slow = fetch(`http://${shop.address}/`).then((response) => response.text())
  await waitFor('the request is in flight', async () => (await run('ss', ['-Htn', 'state', 'established', `sport = :${shop.port}`])).stdout !== '')

  const child = spawn(process.execPath, [cli, 'stop', shop.name])
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text))
  await waitFor('it says what it waits for', () => said.includes('an instance drains: 2.1 waits for 1 request'))
  child.kill('SIGINT')
  expect(await once(child, 'exit')).toEqual([130, null])
  expect(said).toContain(`${shop.name} goes on stopping. To see how far it is: holdfast status ${shop.name}\n`)
  expect(await status(shop)).toMatchObject({ state: 'stopping', exit: 3, instances: [{ phase: 'draining' }] })

  await shop.write({ go: '' })
  const rest: Result = await holdfast('stop', shop.name)
  expectSuccess(rest)
  expect(rest.stdout).toMatch(new RegExp(`${shop.name} is stopped\\.\n$`))
  expect(await slow).toBe('done')
  await shop.write({ 'server.js': serverJs('1') })
})

it('stop stops even what has lost its drain unit', async () => {
  const shop = await installed('nodrain')
  await systemctl('stop', `${shop.name}-drain.service`)
  await systemctl('start', `${shop.name}@1.1.service`)
  expect((await ask(shop)).status).toBe(200)
  expectSuccess(await holdfast('stop', shop.name))
  expect(await status(shop)).toMatchObject({ state: 'stopped', instances: [] })
  await expect(ask(shop)).rejects.toThrow()
})
