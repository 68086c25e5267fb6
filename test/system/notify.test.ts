/** `[notify]`: who is told of what, and that nothing that a notifier does reaches a deploy. */
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { readOpenMetrics, valueOf } from '../openmetrics.js'
import { broken, makeShop, serverJs, type Shop } from './apps.js'
import { checkout, expectSuccess, freePort, holdfast, journal, mustRun, registerModule, run, systemctl, uniqueApp, units, waitFor, type Result } from './harness.js'

interface Told { event: string; app: string; generation: number; release: string; previous: { generation: number } | null; reason: string | null; durationMs: number | null; kind: string; figures: Record<string, number> | null; [key: string]: unknown }

/** What notifiers send: a line of words, then the event. */
async function listen(): Promise<{ port: number; told: Told[]; words: string[] }> {
  const [told, words]: [Told[], string[]] = [[], []]
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    let text = ''
    socket.setEncoding('utf8').on('data', (piece: string) => (text += piece)).on('error', () => {}).on('end', () => {
      socket.end()
      const [first = '', second = ''] = text.split('\n')
      words.push(first)
      told.push(JSON.parse(second) as Told)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const address = server.address()
  return { port: typeof address === 'object' && address ? address.port : 0, told, words }
}

const tables = (command: string[], timeout = '10s'): string => `[start]\nsettle = "100ms"\n[notify]\ncommand = ${JSON.stringify(command)}\ntimeout = "${timeout}"`

/** An app that is live, with a notifier. */
async function makeTelling(prefix: string, command: string[], timeout?: string): Promise<Shop> {
  const shop = await makeShop(prefix, { config: tables(command, timeout) })
  expectSuccess(await holdfast('install', shop.config))
  return shop
}

const bash = (script: string): string[] => ['/bin/bash', '-c', script]
const notifyUnits = (shop: Shop): Promise<string[]> => units(`${shop.name}-notify-*`)
const toldOf = (told: readonly Told[], generation: number): string[] => told.filter((one) => one.generation === generation).map(({ event }) => event)

/** A restart with new code, and how long the command took. */
async function restart(shop: Shop, release: string): Promise<number> {
  await shop.release(release)
  const begin = performance.now()
  expectSuccess(await systemctl('restart', shop.service))
  return performance.now() - begin
}

it('is told of a deploy, of a failed one, and of the end of a drain', async () => {
  const { port, told, words } = await listen()
  const shop = await makeShop('told', { config: tables(bash(`{ echo "$(id -u) $HOLDFAST_EVENT $SECRET"; cat; } > /dev/tcp/127.0.0.1/${port}; echo "has told $HOLDFAST_EVENT"`)) })
  const secrets = `/etc/holdfast/${shop.name}.notify.env`
  await mkdir('/etc/holdfast', { recursive: true })
  await writeFile(secrets, 'SECRET=hush\n', { mode: 0o600 })
  onTestFinished(() => rm(secrets, { force: true }))
  expectSuccess(await holdfast('install', shop.config))
  await restart(shop, '2')
  await waitFor('the first generation has drained', () => toldOf(told, 1).includes('drained'))
  await waitFor('the second one is live', () => toldOf(told, 2).includes('live'))
  expect(toldOf(told, 1).toSorted()).toEqual(['drained', 'live', 'started'])

  const live = told.find(({ event, generation }) => event === 'live' && generation === 2) as Told
  expect(live).toMatchObject({ version: 1, app: shop.name, kind: 'restart', previous: { generation: 1 }, reason: null })
  expect(live.durationMs).toBeGreaterThan(100)
  expect(Object.keys(live)).toEqual(['version', 'event', 'app', 'host', 'at', 'release', 'releaseVersion', 'generation', 'previous', 'kind', 'by', 'reason', 'durationMs', 'figures'])
  const drained = told.find(({ event }) => event === 'drained') as Told
  expect(drained.release).toBe(told.find(({ event, generation }) => event === 'live' && generation === 1)?.release)

  await shop.release('3', broken['crashes at its start'])
  expect((await systemctl('restart', shop.service)).status).not.toBe(0)
  const failed = await waitFor('the failure is told', () => told.find(({ event, generation }) => event === 'failed' && generation === 3))
  expect(failed.reason).toContain(`${shop.name}@3.1.service`)
  // Neither root nor the app, and with what root alone may read.
  expect(words.length).toBe(told.length)
  for (const line of words) expect(line).toMatch(/^6[1-5]\d{3} \S+ hush$/)
  expect((await holdfast('logs', shop.name, '-o', 'cat')).stdout).toContain('has told drained')
  await waitFor('no unit is left', async () => (await notifyUnits(shop)).length === 0)
})

it('is told of a drain with what it has cut, once it is over', async () => {
  const { port, told } = await listen()
  const shop = await makeShop('cut', { config: `${tables(bash(`{ echo; cat; } > /dev/tcp/127.0.0.1/${port}`))}\n[drain]\ntimeout = "3s"` })
  expectSuccess(await holdfast('install', shop.config))
  // An answer that never ends.
  await shop.write({ 'server.js': "import http from 'node:http'\nhttp.createServer((_, response) => response.write('so far')).listen(process.env.PORT)\n" })
  expectSuccess(await systemctl('restart', shop.service))
  const answer = await fetch(`http://${shop.address}/`)
  const end = answer.text().catch(() => 'cut')
  await restart(shop, '3')
  await waitFor('the third one is live', () => toldOf(told, 3).includes('live'))
  expect(toldOf(told, 2)).not.toContain('drained')
  const drained = await waitFor('the second one has drained', () => told.find(({ event, generation }) => event === 'drained' && generation === 2), { timeoutMs: 20_000 })
  expect(drained.figures).toMatchObject({ requestsCut: 1 })
  expect(drained.durationMs).toBeGreaterThan(2_500)
  expect(await end).toBe('cut')
})

it('that fails is in the journal, and nowhere else', async () => {
  const shop = await makeTelling('exit1', bash('echo "no such channel" >&2; exit 1'))
  await restart(shop, '2')
  const words = await waitFor('its failure is in the journal', async () => {
    const { stdout } = await holdfast('logs', shop.name, '-o', 'cat')
    return /no such channel[^]*status=1/.test(stdout) ? stdout : undefined
  })
  expect(words).toContain('Generation 2 is live')
  await waitFor('no unit is left', async () => (await notifyUnits(shop)).length === 0)
  expect((await systemctl('is-failed', shop.service)).stdout.trim()).toBe('active')
})

it('that there is not is told in the story', async () => {
  const shop = await makeTelling('missing', ['/usr/local/bin/no-such-notifier'])
  await restart(shop, '2')
  await waitFor('it is told', async () => /Nobody was told that \S+ is live: the notifier could not be started: .*no-such-notifier/.test(await journal(shop.name)))
})

it('that hangs delays no deploy', async () => {
  const hanging = await makeTelling('hangs', bash('trap "" TERM; while :; do sleep 1; done'), '10s')
  const quick = await makeTelling('quick', ['/bin/true'])
  const pairs: { hanging: number; quick: number }[] = []
  // In pairs, so that whatever slows the machine slows both.
  for (let round = 2; round < 9; round += 1) pairs.push({ hanging: await restart(hanging, String(round)), quick: await restart(quick, String(round)) })
  const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[(values.length - 1) / 2] as number
  const more = median(pairs.map((pair) => pair.hanging - pair.quick))
  console.log(`a restart, median: ${Math.round(median(pairs.map((pair) => pair.hanging)))} ms with a notifier that hangs, ${Math.round(median(pairs.map((pair) => pair.quick)))} ms with one that does not; in pairs ${Math.round(more)} ms more`)
  expect(more).toBeLessThan(1_000)

  // They ran all the while, and are ended.
  expect((await notifyUnits(hanging)).length).toBeGreaterThan(0)
  await waitFor('every notifier was ended', async () => (await notifyUnits(hanging)).length === 0, { timeoutMs: 60_000 })
  expect(await journal(hanging.name)).toContain("Failed with result 'timeout'")
})

it('that floods its output floods no journal', async () => {
  const shop = await makeTelling('floods', bash('exec yes flood'), '3s')
  await restart(shop, '2')
  await waitFor('every notifier was ended', async () => (await notifyUnits(shop)).length === 0, { timeoutMs: 60_000 })
  const text = await journal(shop.name, '--output=cat')
  const runs = text.match(/^Started .*Tells that/gm)?.length ?? 0
  expect(runs).toBeGreaterThan(3)
  const lines = text.split('\n').filter((line) => line === 'flood').length
  expect(lines).toBeGreaterThan(0)
  expect(lines / runs).toBeLessThanOrEqual(8192 / 'flood\n'.length)
})

it('has its output cut, and its own end told', async () => {
  const shop = await makeTelling('long', bash('head -c 10000 /dev/zero | tr "\\0" x; echo; echo "$HOLDFAST_EVENT is over" >&2; exit 7'))
  await waitFor('its end is told', async () => /code=exited, status=7/.test(await journal(shop.name)))
  const text = await journal(shop.name, '--output=cat')
  expect(/^x+$/m.exec(text)?.[0]).toHaveLength(8192)
  // What is left of the line, its end, and the line behind it.
  const behind = (event: string): number => 10_000 - 8192 + 1 + `${event} is over\n`.length
  expect(text).toContain(`(${behind('live')} bytes more are left out)`)
})

it('is not waited for longer than 2 s where systemd-run hangs', async () => {
  const folder = await mkdtemp('/tmp/notify-')
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  await writeFile(join(folder, 'systemd-run'), '#!/bin/sh\nexec sleep 60\n')
  await chmod(join(folder, 'systemd-run'), 0o755)
  const script = `
    import { notify } from '${checkout}/dist/deploy/notify.js'
    import { Systemctl } from '${checkout}/dist/systemd/systemctl.js'
    const app = {
      paths: { app: 'x', scope: 'system', config: '/etc/holdfast/x.toml' }, node: process.execPath, systemd: new Systemctl('system'),
      config: { notify: { command: ['/bin/true'], timeoutMs: 1000 } }, story: { tell: (event, message) => console.log(event, message) },
    }
    const begin = performance.now()
    for (let i = 0; i < 5; i += 1) notify(app, { event: 'live', app: 'x', at: '' })
    console.log('returned after', Math.round(performance.now() - begin), 'ms')
  `
  const begin = performance.now()
  const { status, stdout } = await run(process.execPath, ['--input-type=module', '--eval', script], { env: { PATH: `${folder}:${process.env['PATH']}` } })
  expect(status).toBe(0)
  expect(performance.now() - begin).toBeLessThan(6_000)
  expect(Number(/returned after (\d+)/.exec(stdout)?.[1])).toBeLessThan(500)
  expect(stdout.match(/notify-failed Nobody was told that x is live: .* 2 s/g)).toHaveLength(5)
})

it('runs as a drop-in of the admin’s says', async () => {
  const { port, words } = await listen()
  const shop = await makeShop('dropin', { config: tables(bash(`{ echo "$(id -u) $HOLDFAST_EVENT"; cat; } > /dev/tcp/127.0.0.1/${port}`)) })
  const folder = `/etc/systemd/system/${shop.name}-notify-.service.d`
  // The example of the documentation.
  const example = /# \/etc\/systemd\/system\/shop-notify-\.service\.d\/account\.conf\n([^`]*)/.exec(await readFile(join(checkout, 'docs/deploying.md'), 'utf8'))?.[1] ?? ''
  expect(example).toContain('User=deploy-mail')
  await mkdir(folder, { recursive: true })
  onTestFinished(async () => {
    await rm(folder, { recursive: true, force: true })
    await systemctl('daemon-reload')
  })
  await writeFile(join(folder, 'account.conf'), example.replaceAll(/^ +/gm, '').replace('deploy-mail', 'mail'))
  await mustRun('systemctl', ['daemon-reload'])
  expectSuccess(await holdfast('install', shop.config))
  await waitFor('it is told', () => words.some((line) => line.endsWith(' live')))
  const uid = (await mustRun('id', ['-u', 'mail'])).trim()
  expect(words.find((line) => line.endsWith(' live'))).toBe(`${uid} live`)
})

it('in a user’s own manager runs as the user', async () => {
  const account = uniqueApp('tell').replaceAll('-', '_')
  await mustRun('useradd', ['--create-home', account])
  const uid = (await mustRun('id', ['-u', account])).trim()
  await mustRun('systemctl', ['start', `user@${uid}.service`])
  onTestFinished(async () => {
    await systemctl('stop', `user@${uid}.service`)
    await run('userdel', ['--remove', account])
  })
  const as = (...command: string[]): Promise<Result> =>
    run('setpriv', ['--reuid', account, '--regid', account, '--init-groups', 'env', '-i', `HOME=/home/${account}`, `XDG_RUNTIME_DIR=/run/user/${uid}`, `PATH=${process.env['PATH']}`, ...command])
  const { port, told, words } = await listen()
  const folder = `/home/${account}/shop`
  const files = {
    'package.json': '{"type":"module"}',
    'server.js': serverJs('1'),
    'holdfast.toml': `app = "shop"\ncommand = ["node", "--import", "${registerModule}", "server.js"]\ndirectory = "."\n[listen]\nhttp = "127.0.0.1:${await freePort()}"\n${tables(bash(`{ echo "$(id -u) $SECRET"; cat; } > /dev/tcp/127.0.0.1/${port}`))}\n`,
    '../.config/holdfast/shop.notify.env': 'SECRET=hush\n',
  }
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), text)
  }
  await mustRun('chown', ['-R', account, `/home/${account}`])
  const cli = [process.execPath, join(checkout, 'dist/cli/main.js'), '--user']
  expectSuccess(await as(...cli, 'install', `${folder}/holdfast.toml`))
  expectSuccess(await as('systemctl', '--user', 'restart', 'shop'))
  await waitFor('the drain is told', () => toldOf(told, 1).includes('drained'))
  await waitFor('the second generation is told', () => toldOf(told, 2).includes('live'))
  expect(new Set(words)).toEqual(new Set([`${uid} hush`]))
  const metrics = await as(...cli, 'metrics')
  expectSuccess(metrics)
  expect(valueOf(readOpenMetrics(metrics.stdout), 'holdfast_report_up', { app: 'shop', generation: '2' })).toBe(1)
  expectSuccess(await as(...cli, 'uninstall', 'shop'))
}, 180_000)
