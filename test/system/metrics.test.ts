/** `holdfast metrics`: what it tells of real apps, and the file for node_exporter. */
import { readdirSync, statSync } from 'node:fs'
import { lstat, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { readOpenMetrics, readPrometheus, valueOf, type Family } from '../openmetrics.js'
import { broken, makeShop, type Shop } from './apps.js'
import { checkout, expectSuccess, holdfast, mustRun, run, show, systemctl, waitFor } from './harness.js'

const config = '[start]\nsettle = "100ms"\n[drain]\ntimeout = "3s"'

async function makeLive(prefix: string): Promise<Shop> {
  const shop = await makeShop(prefix, { config })
  expectSuccess(await holdfast('install', shop.config))
  return shop
}

async function scrape(...args: string[]): Promise<Family[]> {
  const result = await holdfast('metrics', ...args)
  expectSuccess(result)
  return readOpenMetrics(result.stdout)
}

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp('/var/tmp/metrics-')
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}

const endless = "import http from 'node:http'\nhttp.createServer((request, response) => request.url === '/500' ? response.writeHead(500).end() : request.url === '/slow' ? response.write('so far') : response.end('fine')).listen(process.env.PORT)\n"

it('follows an app over its deploys', async () => {
  const shop = await makeLive('counted')
  await shop.write({ 'server.js': endless })
  expectSuccess(await systemctl('restart', shop.service))
  await shop.release('3', broken['crashes at its start'])
  expect((await systemctl('restart', shop.service)).status).not.toBe(0)
  for (const path of ['/', '/', '/', '/500']) await (await fetch(`http://${shop.address}${path}`)).text()
  const slow = await fetch(`http://${shop.address}/slow`)
  const end = slow.text().catch(() => 'cut')

  const labels = { app: shop.name, generation: '2', process: '1' }
  // An answer is counted a moment after its client has it.
  const families = await waitFor('four requests are counted', async () => {
    const now = await scrape(shop.name)
    return valueOf(now, 'holdfast_requests_total', labels) === 4 ? now : undefined
  })
  expect(valueOf(families, 'holdfast_request_errors_total', labels)).toBe(1)
  expect(valueOf(families, 'holdfast_requests_in_flight', labels)).toBe(1)
  expect(valueOf(families, 'holdfast_request_duration_seconds_bucket', { ...labels, le: '+Inf' })).toBe(4)
  expect(valueOf(families, 'holdfast_instance_accepting', labels)).toBe(1)
  expect(valueOf(families, 'holdfast_report_up', labels)).toBe(1)
  expect(valueOf(families, 'holdfast_instance_memory_bytes', labels)).toBeGreaterThan(10e6)
  expect(valueOf(families, 'holdfast_app_up', { app: shop.name })).toBe(1)
  expect(valueOf(families, 'holdfast_listener_up', { app: shop.name, listener: 'http' })).toBe(1)
  expect(valueOf(families, 'holdfast_live_release_info', { app: shop.name, generation: '2' })).toBe(1)
  expect(valueOf(families, 'holdfast_deploys_total', { kind: 'restart', outcome: 'live' })).toBe(2)
  expect(valueOf(families, 'holdfast_deploys_total', { kind: 'restart', outcome: 'failed' })).toBe(1)
  expect(valueOf(families, 'holdfast_last_handover_success')).toBe(0)

  await shop.write({ 'server.js': endless.replace('fine', 'better') })
  expectSuccess(await systemctl('restart', shop.service))
  const during = await scrape(shop.name)
  expect(valueOf(during, 'holdfast_generations', { phase: 'draining' })).toBe(1)
  expect(valueOf(during, 'holdfast_last_handover_success')).toBe(1)
  // Nobody can ask the generation that drains any more; what it waits for is known all the same.
  expect(valueOf(during, 'holdfast_requests_total', labels)).toBeUndefined()
  expect(valueOf(during, 'holdfast_requests_in_flight', labels)).toBe(1)
  expect(await end).toBe('cut')
  const after = await waitFor('what was cut is told', async () => {
    const now = await scrape(shop.name)
    return valueOf(now, 'holdfast_drain_requests', { generation: '2', outcome: 'cut' }) === undefined ? undefined : now
  }, { timeoutMs: 20_000 })
  expect(valueOf(after, 'holdfast_drain_requests', { generation: '2', outcome: 'cut' })).toBe(1)
  expect(valueOf(after, 'holdfast_drain_cut', { generation: '2', what: 'connections' })).toBe(1)
})

it('tells of an app that is down, and hides none behind one whose record is damaged', async () => {
  const [down, damaged] = [await makeLive('down'), await makeLive('damaged')]
  await mustRun('systemctl', ['stop', down.service, `${down.name}-drain.service`])
  const file = `/var/lib/holdfast/${damaged.name}/state.json`
  const record = await readFile(file)
  await writeFile(file, '{')
  const { status, stdout, stderr } = await holdfast('metrics')
  await writeFile(file, record)
  expect(status).toBe(0)
  expect(stderr).toContain(`${file} cannot be read`)
  const families = readOpenMetrics(stdout)
  expect(valueOf(families, 'holdfast_scrape_errors', { app: damaged.name })).toBe(1)
  expect(valueOf(families, 'holdfast_app_up', { app: damaged.name })).toBeUndefined()
  expect(valueOf(families, 'holdfast_scrape_errors', { app: down.name })).toBe(0)
  expect(valueOf(families, 'holdfast_app_up', { app: down.name })).toBe(0)
  expect(valueOf(families, 'holdfast_listener_up', { app: down.name })).toBe(0)
})

it('tells an account that may not ask the instances the rest, and is not kept waiting by one that hangs', async () => {
  const shop = await makeLive('asked')
  const { status, stdout } = await run('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', process.execPath, join(checkout, 'dist/cli/main.js'), 'metrics', shop.name])
  expect(status).toBe(0)
  const families = readOpenMetrics(stdout)
  expect(valueOf(families, 'holdfast_app_up')).toBe(1)
  expect(valueOf(families, 'holdfast_report_up')).toBe(0)
  expect(families.map(({ name }) => name)).not.toContain('holdfast_requests')

  const { MainPID } = await show(`${shop.name}@1.1.service`, 'MainPID')
  process.kill(Number(MainPID), 'SIGSTOP')
  const begin = performance.now()
  const hung = await scrape(shop.name).finally(() => process.kill(Number(MainPID), 'SIGCONT'))
  expect(performance.now() - begin).toBeLessThan(10_000)
  expect(valueOf(hung, 'holdfast_report_up')).toBe(0)
  expect(valueOf(hung, 'holdfast_app_up')).toBe(1)
})

it('writes the file for node_exporter, whole, readable, and in the place of whatever lies there', async () => {
  const shop = await makeLive('file')
  const folder = await makeFolder()
  const file = join(folder, 'holdfast.prom')
  const victim = join(folder, 'victim')
  await writeFile(victim, 'mine')
  await symlink(victim, file)
  expectSuccess(await run('sh', ['-c', `umask 077; exec "$@"`, 'sh', process.execPath, join(checkout, 'dist/cli/main.js'), 'metrics', '--textfile', file]))
  expect(await readFile(victim, 'utf8')).toBe('mine')
  expect((await lstat(file)).isFile()).toBe(true)
  expect(statSync(file).mode & 0o777).toBe(0o644)
  expect(readdirSync(folder).toSorted()).toEqual(['holdfast.prom', 'victim'])
  expect(valueOf(readPrometheus(await readFile(file, 'utf8')), 'holdfast_app_up', { app: shop.name })).toBe(1)

  // A reader never finds half of one.
  const texts = new Set<string>()
  let isOver = false
  const reading = (async () => {
    while (!isOver) texts.add(await readFile(file, 'utf8'))
  })()
  for (let i = 0; i < 5; i += 1) expectSuccess(await holdfast('metrics', '--textfile', file))
  isOver = true
  await reading
  expect(texts.size).toBeGreaterThan(1)
  for (const text of texts) expect(valueOf(readPrometheus(text), 'holdfast_build_info')).toBe(1)

  for (const [wrong, why] of [[join(folder, 'holdfast.txt'), 'end in .prom'], [join(folder, 'gone/holdfast.prom'), 'there is no folder']] as const) {
    const refused = await holdfast('metrics', '--textfile', wrong)
    expect([refused.status, refused.stderr]).toEqual([2, expect.stringContaining(why)])
  }
  expect((await holdfast('metrics', 'no-such-app')).status).toBe(2)
})

it('has a timer in its documentation that works', async () => {
  const shop = await makeLive('timer')
  const text = await readFile(join(checkout, 'docs/metrics.md'), 'utf8')
  const blocks = [...text.matchAll(/```ini\n# (\/etc\/systemd\/system\/\S+)\n([^`]*)```/g)].map(([, file, unit]) => [file as string, unit as string] as const)
  expect(blocks.map(([file]) => file)).toEqual(['/etc/systemd/system/holdfast-metrics.service', '/etc/systemd/system/holdfast-metrics.timer'])
  const folder = '/var/lib/prometheus/node-exporter'
  await mkdir(folder, { recursive: true })
  const program = '/usr/local/bin/holdfast'
  await writeFile(program, `#!/bin/sh\nexec ${process.execPath} ${join(checkout, 'dist/cli/main.js')} "$@"\n`, { mode: 0o755 })
  onTestFinished(async () => {
    await systemctl('disable', '--now', 'holdfast-metrics.timer')
    for (const path of [...blocks.map(([file]) => file), join(folder, 'holdfast.prom'), program]) await rm(path, { force: true })
    await systemctl('daemon-reload')
  })
  for (const [file, unit] of blocks) await writeFile(file, unit)
  const commands = /```sh\n(systemctl daemon-reload\n[^`]*)```/.exec(text)?.[1] as string
  await mustRun('sh', ['-ec', commands])
  const written = await waitFor('the timer has written it', () => readFile(join(folder, 'holdfast.prom'), 'utf8').catch(() => undefined), { timeoutMs: 30_000 })
  expect(valueOf(readPrometheus(written), 'holdfast_app_up', { app: shop.name })).toBe(1)
})
