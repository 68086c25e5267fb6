/** What is held, looked at before it is live: by the address of `[preview]`, and by `holdfast preview`. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import http from 'node:http'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { ask, recorded } from './apps.js'
import { makeDeployedApp, makeInstalledApp, said, visitApp, type DeployedApp, type DeployedAppOptions } from './deploys.js'
import { footprint } from './footprint.js'
import { activeState, checkout, expectSuccess, freePort, journal, mustRun, run, show, systemctl, units, waitFor } from './harness.js'

interface Previewed extends DeployedApp {
  /** Of `[preview]`. */
  preview: string
}

async function makePreviewed(prefix: string, { tables = '', ...options }: DeployedAppOptions = {}): Promise<Previewed> {
  const preview = `127.0.0.1:${await freePort()}`
  const app = await makeInstalledApp(prefix, { ...options, tables: `${tables}\n[preview]\naddress = "${preview}"\n` })
  return { ...app, preview }
}

/** One that serves release `one`, and holds release `two`. */
async function makeHeld(prefix: string, options?: DeployedAppOptions): Promise<Previewed> {
  const app = await makePreviewed(prefix, options)
  expectSuccess(await app.deploy(await app.tree('one')))
  expectSuccess(await app.deploy([await app.tree('two'), '--hold']))
  return app
}

const askAt = (address: string, path?: string): ReturnType<typeof ask> => ask({ address }, path)
const textAt = async (address: string): Promise<string> => (await fetch(`http://${address}/`, { headers: { connection: 'close' } })).text()

/** Changes the configuration, and installs it. */
async function reinstall(app: DeployedApp, from: string, to: string): Promise<Awaited<ReturnType<typeof run>>> {
  const before = await readFile(app.config, 'utf8')
  expect(before).toContain(from)
  await writeFile(app.config, before.replace(from, to))
  return run(process.execPath, [join(checkout, 'dist/cli/main.js'), 'install', app.config])
}

interface Watched {
  /** What it has said. */
  text(): string
  line(pattern: RegExp): Promise<RegExpExecArray>
  end(signal: NodeJS.Signals): void
  ended: Promise<number | null>
}

/** `holdfast preview`, until it ends. */
function watchPreview(app: DeployedApp, args: string[] = [], env: Record<string, string> = {}): Watched {
  const child = spawn(process.execPath, [join(checkout, 'dist/cli/main.js'), 'preview', app.name, ...args], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (text += chunk.toString()))
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve))
  onTestFinished(() => void child.kill('SIGKILL'))
  return {
    text: () => text,
    line: (pattern) => waitFor(`the preview says ${pattern}`, () => pattern.exec(text)),
    end: (signal) => void child.kill(signal),
    ended,
  }
}

describe('the address of [preview]', () => {
  it('says that nothing is held, and starts nothing but its relay', async () => {
    const app = await makePreviewed('none')
    expect(await textAt(app.preview)).toBe(`No release of ${app.name} is held.\nholdfast deploy ${app.name} --hold holds one.\n`)
    expectSuccess(await app.deploy(await app.tree('one')))
    const response = await fetch(`http://${app.preview}/cart`)
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '10'])

    expect(await activeState(`${app.name}-preview.service`)).toBe('active')
    expect(await show(`${app.name}-preview.socket`, 'ActiveState', 'UnitFileState', 'Triggers')).toEqual({ ActiveState: 'active', UnitFileState: 'enabled', Triggers: `${app.name}-preview.service` })
    expect((await show(`${app.name}@1.1.service`, 'TriggeredBy')).TriggeredBy).not.toContain('preview')
    expect((await recorded(app)).generation).toBe(1)
    const status = await app.holdfast('status')
    expect(status.stdout).toContain(`preview   ${app.preview}  listening (${app.name}-preview.socket)`)
    expect(status.stdout.match(/listener /g)).toHaveLength(1)
    expect(JSON.parse((await app.holdfast('status', '--json')).stdout)).toMatchObject({ state: 'live', preview: { address: app.preview, unit: `${app.name}-preview.socket`, active: 'active' } })

    const doctor = JSON.parse((await run(process.execPath, [join(checkout, 'dist/cli/main.js'), 'doctor', '--json'])).stdout) as { findings: { app?: string; level: string }[] }
    expect(doctor.findings.filter((finding) => finding.app === app.name && finding.level !== 'ok')).toEqual([])
    expect(doctor.findings.some((finding) => finding.app === app.name)).toBe(true)

    await systemctl('stop', `${app.name}-preview.socket`)
    const broken = await app.holdfast('status')
    expect([broken.status, broken.stdout]).toEqual([1, expect.stringContaining(`Try: systemctl start ${app.name}-preview.socket`)])
    expect(broken.stdout).toContain(`${app.name}: live`)
    expect((await askAt(app.address)).release).toBe('one')
  })

  it('shows what is held, of each process, while clients see what is live', async () => {
    const app = await makeHeld('held', { top: 'processes = 2' })
    expect((await recorded(app)).generation).toBe(2)
    const seen = new Set<string>()
    for (let i = 0; i < 4; i += 1) {
      const response = await fetch(`http://${app.preview}/`, { headers: { connection: 'close' } })
      expect(response.headers.get('x-release')).toBe('two')
      seen.add(response.headers.get('x-generation') ?? '')
      expect((await askAt(app.address)).release).toBe('one')
    }
    expect([...seen]).toEqual(['2'])
    const pids = await Promise.all([1, 2].map(async (n) => (await show(`${app.name}@2.${n}.service`, 'MainPID')).MainPID))
    expect(new Set(pids).size).toBe(2)

    // All kinds of traffic, over the relay.
    const traffic = visitApp({ address: app.preview })
    await traffic.until((ledger) => ledger.requests > 500)
    const ledger = await traffic.stop()
    expect(ledger.failures).toEqual([])

    // A process that dies while it is held comes back held, and its preview with it.
    await mustRun('kill', ['-9', pids[0] as string])
    await waitFor('it is up again', async () => (await show(`${app.name}@2.1.service`, 'ActiveState', 'NRestarts')).NRestarts === '1' && (await activeState(`${app.name}@2.1.service`)) === 'active')
    for (let i = 0; i < 4; i += 1) expect((await askAt(app.preview)).release).toBe('two')
    expect((await askAt(app.address)).release).toBe('one')
  })

  it('fails nobody as what it shows goes live, and leaves open what is', async () => {
    const app = await makeHeld('promote')
    const stream = (await fetch(`http://${app.preview}/events`)).body?.getReader()
    onTestFinished(() => stream?.cancel())
    expect((await stream?.read())?.done).toBe(false)
    const clients = visitApp(app)
    await clients.until((ledger) => ledger.requests > 100)
    expectSuccess(await app.holdfast('promote'))
    await waitFor('the new one is seen', async () => (await askAt(app.address)).release === 'two')
    const before = clients.ledger.requests
    await clients.until((ledger) => ledger.requests > before + 300)
    expect((await clients.stop()).failures).toEqual([])
    expect(await textAt(app.preview)).toMatch(/^No release of .* is held\./)
    const since = Date.now()
    for (let end = since; end === since;) {
      expect((await stream?.read())?.done).toBe(false)
      // What came before may still have waited here.
      if (Date.now() > since + 500) end = Date.now()
    }
  })

  it('closes with the app, and opens with it', async () => {
    const app = await makeHeld('stop')
    // One that would go on for ever has its 3 s, and keeps nobody any longer.
    const stream = (await fetch(`http://${app.preview}/events`)).body?.getReader()
    expect((await stream?.read())?.done).toBe(false)
    expectSuccess(await systemctl('stop', app.name, `${app.name}-drain`))
    expect(await show(`${app.name}-preview.service`, 'Result', 'ActiveState')).toEqual({ Result: 'success', ActiveState: 'inactive' })
    await stream?.cancel().catch(() => {})
    await expect(askAt(app.preview)).rejects.toThrow()
    expect([await activeState(`${app.name}-preview.socket`), await activeState(`${app.name}-preview.service`)]).toEqual(['inactive', 'inactive'])
    expect(await units(`${app.name}@*`, 'active')).toEqual([])
    expectSuccess(await systemctl('start', app.name))
    expect(await textAt(app.preview)).toMatch(/^No release/)
    expect((await askAt(app.address)).release).toBe('one')
  })

  it('is open again after a stop and a start at once', async () => {
    const app = await makePreviewed('again')
    expectSuccess(await app.deploy(await app.tree('one')))
    for (let round = 0; round < 3; round += 1) {
      expectSuccess(await run('sh', ['-c', `systemctl stop ${app.name}; systemctl start ${app.name}`]))
      await waitFor('the preview is open', async () => (await activeState(`${app.name}-preview.socket`)) === 'active')
      expect(await textAt(app.preview)).toMatch(/^No release/)
    }
  })

  it('changes by install, is of no other app, and leaves nothing behind', async () => {
    const before = await footprint()
    const app = await makeHeld('move')
    expect((await askAt(app.preview)).release).toBe('two')
    const next = `127.0.0.1:${await freePort()}`
    const held = (await recorded(app) as unknown as { held: { release: string } }).held.release
    const dryRun = await run(process.execPath, [join(checkout, 'dist/cli/main.js'), 'install', '--dry-run', app.config])
    expect(dryRun.stdout).toContain(`\ngeneration 2, release ${held}, which is held, would be discarded by the handover; holdfast promote ${app.name} lets it in before.\n`)
    const moved = await reinstall(app, app.preview, next)
    expect(said(moved)).toContain(`note: generation 2, release ${held}, which is held, is discarded by the handover.\n`)
    expect(await recorded(app)).not.toHaveProperty('held')
    expect(said(moved)).toContain(`changed  /etc/systemd/system/${app.name}-preview.socket`)
    expect(said(moved)).toContain(`listening  ${app.name}-preview.socket on ${next}`)
    await expect(askAt(app.preview)).rejects.toThrow()
    expect(await textAt(next)).toBeTruthy()

    // Neither another app's, nor its own listener's.
    const other = await makeDeployedApp('other', { tables: `[preview]\naddress = "${next}"\n` })
    const clash = await run(process.execPath, [join(checkout, 'dist/cli/main.js'), 'install', other.config])
    expect([clash.status, clash.stderr]).toEqual([2, expect.stringContaining(`preview.address: ${next} is taken by the app ${app.name} (its preview.address is ${next})`)])
    const own = await reinstall(app, next, app.address)
    expect([own.status, own.stderr]).toEqual([2, expect.stringMatching(/: preview\.address: .* the address of the listener `http`/)])

    const without = await reinstall(app, `[preview]\naddress = "${app.address}"`, '')
    expectSuccess(without)
    for (const unit of ['preview.socket', 'preview.service']) {
      expect(existsSync(`/etc/systemd/system/${app.name}-${unit}`)).toBe(false)
      expect((await show(`${app.name}-${unit}`, 'LoadState')).LoadState).toBe('not-found')
    }
    await expect(askAt(next)).rejects.toThrow()
    const again = await reinstall(app, `[start]`, `[preview]\naddress = "${next}"\n[start]`)
    expectSuccess(again)
    expect(await textAt(next)).toBeTruthy()
    expectSuccess(await app.holdfast('uninstall', '--purge'))
    await expect(askAt(next)).rejects.toThrow()
    expect((await footprint()).filter((path) => path.includes(app.name) && !path.startsWith('/srv/'))).toEqual(before.filter((path) => path.includes(app.name)))
  })

  it('may be a path, for root alone unless a drop-in says otherwise', async () => {
    const path = `/run/hf-preview-${process.pid}/shop.sock`
    onTestFinished(() => rm(`/run/hf-preview-${process.pid}`, { recursive: true, force: true }))
    const app = await makeInstalledApp('path', { tables: `[preview]\naddress = "${path}"\n` })
    expectSuccess(await app.deploy(await app.tree('one')))
    expectSuccess(await app.deploy([await app.tree('two'), '--hold']))
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    const response = await new Promise<http.IncomingMessage>((resolve, reject) => http.get({ socketPath: path, agent: false }, resolve).on('error', reject))
    expect(response.headers['x-release']).toBe('two')
    response.resume()
  })

  it('slows a relay down that cannot start, and keeps the address', async () => {
    const app = await makePreviewed('slow')
    const folder = `/etc/systemd/system/${app.name}-preview.service.d`
    await mkdir(folder)
    onTestFinished(async () => {
      await rm(folder, { recursive: true, force: true })
      await systemctl('daemon-reload')
    })
    await writeFile(join(folder, 'broken.conf'), '[Service]\nExecStart=\nExecStart=/bin/false\n')
    await systemctl('daemon-reload')
    const waiting = fetch(`http://${app.preview}/`)
    const begin = Date.now()
    const starts = async (): Promise<number> => ((await journal(app.name)).match(/Main process exited, code=exited, status=1/g) ?? []).length
    await waitFor('it was started twice', async () => (await starts()) >= 2, { timeoutMs: 30_000 })
    expect(Date.now() - begin).toBeGreaterThan(4_000)
    expect(await starts()).toBeLessThan(4)
    expect(await activeState(`${app.name}-preview.socket`)).toBe('active')
    await rm(folder, { recursive: true })
    await systemctl('daemon-reload')
    expect((await waiting).status).toBe(503)
  })
})

describe('holdfast preview', () => {
  it('is refused where nothing is held, and says what would hold something', async () => {
    const app = await makeInstalledApp('refused')
    expectSuccess(await app.deploy(await app.tree('one')))
    const refused = await app.holdfast('preview')
    expect([refused.status, refused.stdout, refused.stderr]).toEqual([2, '', expect.stringMatching(new RegExp(`^Error: no release of ${app.name} is held\nTry: holdfast deploy ${app.name} --hold `))])
    const port = await app.holdfast('preview', '--port', '70000')
    expect([port.status, port.stderr]).toEqual([2, expect.stringContaining('--port "70000" is no port')])
  })

  it('is refused where what is held has no private socket', async () => {
    const app = await makeInstalledApp('stopped')
    expectSuccess(await app.deploy(await app.tree('one')))
    expectSuccess(await app.deploy([await app.tree('two'), '--hold']))
    const open = watchPreview(app)
    await open.line(/Ctrl-C closes it/)
    expectSuccess(await systemctl('stop', `${app.name}@2.1.service`, `${app.name}@2.1.socket`))
    await open.line(/Generation 2 has no private socket any more, as after a stop of its instances: this preview of it is closed\. holdfast status /)
    expect(await open.ended).toBe(0)
    const refused = await app.holdfast('preview')
    expect([refused.status, refused.stdout, refused.stderr]).toEqual([2, '', expect.stringMatching(new RegExp(`^Error: generation 2 of ${app.name}, which is held, has no private socket: .*\nTry: holdfast status ${app.name}\n$`))])
  })

  it('opens a loopback address to what is held, without [preview], until Ctrl-C', async () => {
    const app = await makeInstalledApp('look', { top: 'processes = 2' })
    expectSuccess(await app.deploy(await app.tree('one')))
    expectSuccess(await app.deploy([await app.tree('two'), '--hold']))
    const free = await freePort()
    const preview = watchPreview(app, ['--port', String(free)], { SUDO_USER: 'anna' })
    await preview.line(/Ctrl-C closes it/)
    expect(preview.text()).toMatch(new RegExp(`^Generation 2, release \\d{8}-\\d{6}-[0-9a-f]{6} \\(two\\.0\\.0\\), is at http://127\\.0\\.0\\.1:${free}/, its 2 processes by turns\nFrom a laptop: ssh -L ${free}:127\\.0\\.0\\.1:${free} anna@${hostname()}\n`))
    for (const host of ['127.0.0.1', '[::1]']) expect((await askAt(`${host}:${free}`)).release).toBe('two')
    const second = await app.holdfast('preview', '--port', String(free))
    expect([second.status, second.stderr]).toEqual([2, expect.stringContaining(`127.0.0.1, port ${free} is in use`)])

    const json = watchPreview(app, ['--json'])
    await json.line(/\n$/)
    const shown = JSON.parse(json.text()) as { url: string }
    expect(shown).toEqual({ app: app.name, generation: 2, release: (await recorded(app) as unknown as { held: { release: string } }).held.release, version: 'two.0.0', url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\/$/), ssh: expect.stringMatching(/^ssh -L \d+:127\.0\.0\.1:\d+ \w+@/) })
    expect((await askAt(new URL(shown.url).host)).release).toBe('two')
    for (const one of [preview, json]) {
      one.end('SIGINT')
      expect(await one.ended).toBe(0)
    }
    await expect(askAt(`127.0.0.1:${free}`)).rejects.toThrow()
    expect((await askAt(app.address)).release).toBe('one')
  })

  it('reaches a canary, and none of the processes that are live', async () => {
    const app = await makePreviewed('canary', { top: 'processes = 2' })
    expectSuccess(await app.deploy(await app.tree('one')))
    expectSuccess(await app.deploy([await app.tree('two'), '--canary', '1']))
    const preview = watchPreview(app)
    const [, address = ''] = await preview.line(/is at http:\/\/([^\s/]+)\/\nIt is a canary: clients reach it at the public addresses, too\.\n/)
    for (let i = 0; i < 4; i += 1) {
      expect((await askAt(address)).release).toBe('two')
      expect((await askAt(app.preview)).release).toBe('two')
    }
    preview.end('SIGINT')
    expect(await preview.ended).toBe(0)
  })

  it('stays with its generation, and ends with it', async () => {
    const app = await makeHeld('pinned')
    const first = watchPreview(app)
    const [, address = ''] = await first.line(/is at http:\/\/(\S+)\//)
    expect((await askAt(address)).generation).toBe('2')
    // Held in its place: this preview is of the other one.
    expectSuccess(await app.deploy([await app.tree('three'), '--hold']))
    await first.line(/Generation 2 is no longer held: this preview of it is closed\. What became of it: holdfast history /)
    expect(await first.ended).toBe(0)
    expect((await askAt(app.preview)).release).toBe('three')

    const second = watchPreview(app)
    await second.line(/Generation 3, /)
    expectSuccess(await app.holdfast('abort'))
    await second.line(/Generation 3 is no longer held/)
    expect(await second.ended).toBe(0)

    expectSuccess(await app.deploy([await app.tree('four'), '--hold']))
    const third = watchPreview(app)
    await third.line(/Generation 4, /)
    expectSuccess(await app.holdfast('promote'))
    await third.line(/Generation 4 is live now: this preview of it is closed\./)
    expect(await third.ended).toBe(0)
    expect((await askAt(app.address)).release).toBe('four')
  })
})
