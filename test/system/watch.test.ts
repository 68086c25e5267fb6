import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import type { WatchEvent } from '../../src/deploy/observe/watch-events.js'
import { makeInstalledApp, said, visitApp, type DeployedApp } from './deploys.js'
import { checkout, expectSuccess, holdfast, run, systemctl, uniqueApp, waitFor } from './harness.js'
import { Terminal } from './terminal.js'

// As users reach it: below /root, nobody else could.
const cli = join(checkout, 'dist/cli/main.js')
const command = `${process.execPath} ${cli}`
const small = { columns: 80, rows: 24 }

async function deployed(prefix: string, how: Parameters<typeof makeInstalledApp>[1] = {}): Promise<DeployedApp> {
  const app = await makeInstalledApp(prefix, how)
  expectSuccess(await app.deploy(await app.tree('1')))
  return app
}

/** A request that is being sent until `finish()`: what answers it cannot end before. */
async function holdRequest({ port }: DeployedApp): Promise<() => void> {
  const socket = connect(port, '127.0.0.1')
  onTestFinished(() => void socket.destroy())
  await once(socket, 'connect')
  socket.write('POST /orders HTTP/1.1\r\nHost: shop\r\nContent-Length: 4\r\n\r\nha')
  return () => void socket.end('lf')
}

it('shows a person a deploy under load, phase by phase, on a screen of any size', async () => {
  const app = await deployed('watch', { start: 'settle = "2s"' })
  const traffic = visitApp(app)
  const terminal = new Terminal(`was=$(stty -g); echo 'above it'; ${command} status ${app.name} --watch; status=$?; [ "$was" = "$(stty -g)" ] && echo as before; exit $status`, small)

  // Rates come with the second report: some requests, answered within some time, none of them an error.
  await terminal.shows(/1\.1 +live +\d+ s +\d+\.\dM +[1-9]\d* +0 +[\d.]+ ms +[\d.]+ ms +\d+ +[1-9]\d*$/m)
  const calm = await terminal.shows(/Generation 1 is live/)
  expect(calm.split('\n')[0]).toMatch(new RegExp(`^${app.name}: live +\\d\\d:\\d\\d:\\d\\d  q quits$`))
  expect(calm).toContain(`\n  listener  http ${app.address}\n`)
  expect(terminal.screen.isCursorShown).toBe(false)
  // Frames are drawn over, never wiped: that would flicker.
  expect(terminal.raw.split('\u001b[2J').length - 1).toBeLessThanOrEqual(2)

  const finish = await holdRequest(app)
  const tree = await app.tree('2', { before: 'await new Promise((resolve) => setTimeout(resolve, 2000))', hooks: { install: 'echo one more package; sleep 2' } })
  const deploy = app.deploy(tree)
  await terminal.shows(new RegExp(`deploy +\\S+ deploys ${tree}, \\d+ s`.slice(0, 60)))
  await terminal.shows(/step +install \(\d of 9\)  \d s\n +one more package\n/)
  await terminal.shows(/^ +2\.1 +starting /m)
  await terminal.shows(/a handover is under way; generation 1 serves/)
  await terminal.shows(/^ +2\.1 +standby /m)
  const both = await terminal.shows(/^ +2\.1 +live .*[\s\S]*^ +1\.1 +draining .*\n +waits for .*[\s\S]*^ +all /m)
  expect(both).toMatch(/Generation 2 is live: release /)
  expectSuccess(await deploy)

  await terminal.shows(/^ +1\.1 +draining +.* 1 +1\n +waits for 1 request$/m)

  await terminal.resize({ columns: 200, rows: 50 })
  await terminal.shows(/IN FLIGHT +CONNS +WEBSOCKETS +STREAMS +JOBS +PID +RELEASE$/m)
  await terminal.shows(/ {60}\d\d:\d\d:\d\d  q quits$/m)
  terminal.screen.reach = { columns: 0, rows: 0 }
  await terminal.resize({ columns: 60, rows: 6 })
  await terminal.shows(/^  … \d+ more$/m)
  const tiny = terminal.screen.lines()
  expect(tiny.length).toBeLessThanOrEqual(6)
  expect(Math.max(...tiny.map((line) => line.length))).toBeLessThanOrEqual(60)

  finish()
  await terminal.resize(small)
  await terminal.shows(/^ +2\.1 +live /m)
  await waitFor('the one that has drained is gone', () => !/^ +1\.1 /m.test(terminal.screen.text()))
  await terminal.shows(/1\.1 drained in [\d.]+ s: .*$/m)
  terminal.type('q')
  expect(await terminal.end()).toBe(0)
  expect(terminal.screen.text()).toBe('above it\nas before')
  expect(terminal.screen.isCursorShown).toBe(true)
  expect((await traffic.stop()).failures.slice(0, 5)).toEqual([])
})

it('leaves the terminal as it was, however it ends', async () => {
  const app = await deployed('ends')
  const shown = new RegExp(`^${app.name}: live`)
  const begin = (env?: Record<string, string>): Terminal =>
    new Terminal(`was=$(stty -g); echo 'above it'; ${command} watch ${app.name}; status=$?; [ "$was" = "$(stty -g)" ] && echo as before; exit $status`, small, env)
  const ways: [string, (terminal: Terminal) => void, number][] = [
    ['Ctrl-C', (terminal) => terminal.type('\u0003'), 0],
    ['Q', (terminal) => terminal.type('Q'), 0],
    ['SIGTERM', (terminal) => process.kill(terminal.pidOf(cli), 'SIGTERM'), 0],
    ['SIGINT', (terminal) => process.kill(terminal.pidOf(cli), 'SIGINT'), 0],
  ]
  for (const [how, end, status] of ways) {
    const terminal = begin()
    await terminal.shows(shown)
    expect(terminal.screen.isOther).toBe(true)
    end(terminal)
    expect(await terminal.end(), how).toBe(status)
    expect(terminal.screen.text(), how).toBe('above it\nas before')
    expect(terminal.screen.isCursorShown, how).toBe(true)
    await waitFor('nothing of it runs on', async () => (await run('pgrep', ['-f', 'journalctl --follow'])).status === 1)
  }

  const crash = join(app.folder, 'crash.mjs')
  await writeFile(crash, "process.on('SIGUSR2', () => { throw new Error('of its own') })\n")
  const crashing = begin({ NODE_OPTIONS: `--import=${crash}` })
  await crashing.shows(shown)
  process.kill(crashing.pidOf(cli), 'SIGUSR2')
  expect(await crashing.end()).not.toBe(0)
  expect(crashing.screen.isOther).toBe(false)
  expect(crashing.screen.text()).toMatch(/^above it\n[\s\S]*Error: of its own[\s\S]*\nas before$/)

  // An app that goes away takes the view with it.
  const uninstalled = begin()
  await uninstalled.shows(shown)
  expectSuccess(await holdfast('uninstall', app.name))
  expect(await uninstalled.end(30_000)).toBe(0)
  expect(uninstalled.screen.text()).toBe(`above it\n${app.name} was uninstalled.\nas before`)
})

it('gives the terminal back while it is suspended', async () => {
  const app = await deployed('suspend')
  const shown = new RegExp(`^${app.name}: live`)
  const terminal = new Terminal('exec bash --norc --noprofile -i', small)
  await terminal.shows(/bash-[\d.]+[#$]/)
  terminal.type(`${command} status ${app.name} --watch\n`)
  await terminal.shows(shown)
  terminal.type('\u001a')
  await terminal.shows(/Stopped/)
  expect(terminal.screen.isOther).toBe(false)
  expect(terminal.screen.isCursorShown).toBe(true)
  terminal.type('stty -a | grep -o " icanon\\| echo "; echo that was it\n')
  await terminal.shows(/ icanon\n echo\n/)
  terminal.type('fg\n')
  await terminal.shows(shown)
  expect(terminal.screen.isOther).toBe(true)
  expect(terminal.screen.isCursorShown).toBe(false)
  terminal.type('q')
  await waitFor('the shell is back', () => !terminal.screen.isOther)
  terminal.type('echo status $?; exit 0\n')
  await terminal.shows(/^status 0$/m)
  expect(await terminal.end()).toBe(0)

  // With no shell that could continue it, nothing is suspended: such as by ssh -t.
  const alone = new Terminal(`${command} status ${app.name} --watch`, small)
  await alone.shows(shown)
  const taken = (): number => alone.raw.split('\u001b[?1049h').length
  const before = taken()
  alone.type('\u001a')
  await waitFor('it has tried', () => taken() > before)
  await alone.shows(shown)
  alone.type('q')
  expect(await alone.end()).toBe(0)
})

it('has colours, none where they are not wanted, and no live view without a terminal', async () => {
  const app = await deployed('colour')
  const coloured = new Terminal(`${command} status --watch`, small)
  await coloured.shows(new RegExp(`^  ${app.name} +live +1 `, 'm'))
  await waitFor('there is green', () => coloured.raw.includes('\u001b[32m  live'))
  coloured.type('q')
  expect(await coloured.end()).toBe(0)

  const plain = new Terminal(`${command} status ${app.name} --watch`, small, { NO_COLOR: '1' })
  await plain.shows(/^ +1\.1 +live /m)
  plain.type('q')
  expect(await plain.end()).toBe(0)
  expect(plain.screen.styles).toBe(0)

  const dumb = new Terminal(`${command} watch ${app.name}`, small, { TERM: 'dumb' })
  expect(await dumb.end()).toBe(2)
  expect(dumb.screen.text()).toContain(`Error: this terminal cannot move its cursor (TERM=dumb), which a live view needs\nTry: holdfast watch ${app.name} --json`)

  const pipe = await holdfast('status', app.name, '--watch')
  expect(pipe).toMatchObject({ status: 2, stdout: '', stderr: `Error: standard output is no terminal, which a live view needs\nTry: holdfast watch ${app.name} --json\n` })
  const nope = new Terminal(`${command} watch ${uniqueApp('nope')}`, small)
  expect(await nope.end()).toBe(2)
  expect(nope.raw).not.toContain('\u001b[?1049h')
  expect(nope.screen.text()).toContain('is not installed')

  // Whoever is not root sees all but what the instances tell.
  const nobody = new Terminal(`setpriv --reuid 65534 --regid 65534 --clear-groups ${command} status ${app.name} --watch`, small)
  const text = await nobody.shows(/^ +1\.1 +live +\d+ s +\d+\.\dM +- +- +- +- +- +-$/m)
  expect(text.replace(/\s+/g, ' ')).toContain(`are for root to see: sudo holdfast status ${app.name} --watch`)
  expect(text).toMatch(/Generation 1, release \S+, is live, after/)
  nobody.type('q')
  expect(await nobody.end()).toBe(0)
})

/** `holdfast watch --json`, and what it has told. */
class Stream {
  readonly child: ChildProcess
  private text = ''

  constructor(args: readonly string[], wrapper: readonly string[] = []) {
    const [program, ...rest] = [...wrapper, process.execPath, cli, 'watch', ...args] as [string, ...string[]]
    this.child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'inherit'] })
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => (this.text += text))
    onTestFinished(() => void this.child.kill('SIGKILL'))
  }

  get events(): WatchEvent[] {
    return this.text.split('\n').slice(0, -1).map((line) => JSON.parse(line) as WatchEvent)
  }

  tells<T extends WatchEvent['type']>(type: T, match: (event: WatchEvent & { type: T }) => boolean = () => true): Promise<WatchEvent & { type: T }> {
    const found = (): (WatchEvent & { type: T }) | undefined => this.events.find((event): event is WatchEvent & { type: T } => event.type === type && match(event as WatchEvent & { type: T }))
    return waitFor(`an event ${type}`, found, { timeoutMs: 30_000 }).catch((error: Error) => {
      throw new Error(`${error.message}\n${this.text}`)
    })
  }
}

it('streams events to programs, through deploys, a re-execution of systemd and the end of the app', async () => {
  const app = await deployed('stream')
  const traffic = visitApp(app)
  const stream = new Stream([app.name, '--json', '--interval', '1'])
  const snapshot = await stream.tells('snapshot')
  expect(snapshot).toMatchObject({ app: app.name, status: { state: 'live', held: null, instances: [{ generation: 1, phase: 'live' }] }, instances: [{ unit: `${app.name}@1.1.service`, phase: 'live', accepting: true }] })
  const { load, instances } = await stream.tells('rates', (event) => (event.load.rates?.requests ?? 0) > 0)
  expect(load.rates).toMatchObject({ errors: 0, errorsPerSecond: 0 })
  expect(load.rates?.requestsPerSecond).toBeCloseTo((load.rates?.requests ?? 0) / (load.rates?.seconds ?? 1), 1)
  expect(load.rates?.p95Ms).toBeGreaterThanOrEqual(load.rates?.p50Ms ?? Infinity)
  expect(load.connections).toBe(instances[0]?.connections)

  expectSuccess(await app.deploy(await app.tree('2')))
  const live = await stream.tells('live')
  expect(live).toMatchObject({ kind: 'deploy', generation: 2, previousRelease: snapshot.status.live?.release, reason: null })
  expect((await stream.tells('deploy', ({ event }) => event.type === 'end')).event).toMatchObject({ outcome: 'live', generation: 2 })
  const steps = stream.events.flatMap((event) => (event.type === 'deploy' && event.event.type === 'step' && event.event.state === 'began' ? event.event.step : []))
  expect(steps).toEqual(['fetch', 'unpack', 'verify', 'seal', 'record', 'handover', 'prune'])
  await stream.tells('phase', ({ unit, from, to }) => unit === `${app.name}@2.1.service` && from !== 'live' && to === 'live')
  await stream.tells('phase', ({ unit, to }) => unit === `${app.name}@1.1.service` && to === null)
  await traffic.stop()
  const drained = await stream.tells('drained')
  expect(drained).toMatchObject({ generation: 1, release: snapshot.status.live?.release })
  // Known where the native journal package tells it.
  expect(drained.requestsCut ?? 0).toBe(0)
  await stream.tells('story', ({ event }) => event === 'deploy-live')

  expectSuccess(await systemctl('daemon-reexec'))
  expect((await app.deploy(await app.tree('3', { before: "throw new Error('no such module: stripe')" }))).status).toBe(1)
  const failed = await stream.tells('failed')
  expect(failed).toMatchObject({ kind: 'deploy', step: 'handover' })
  expect(failed.reason).toContain('exited with status 1 before it was ready')

  expectSuccess(await app.holdfast('deploy', await app.tree('4'), '--hold'))
  await stream.tells('held', ({ generation }) => generation !== null)
  await stream.tells('phase', ({ to }) => to === 'held')
  expect(said(await app.holdfast('status'))).toMatch(/^  held +generation \d+, release \S+ \(4\.0\.0\), since .*: holdfast promote \S+, or holdfast abort \S+$/m)
  expectSuccess(await app.holdfast('abort'))
  await stream.tells('aborted')

  // More has happened than is shown: what is shown is the newest.
  const terminal = new Terminal(`${command} watch ${app.name}`, small)
  expect(await terminal.shows(/which was held, is discarded/)).not.toContain('Generation 1 is live')
  terminal.type('q')
  expect(await terminal.end()).toBe(0)

  expectSuccess(await app.holdfast('deploy', await app.tree('5'), '--hold'))
  expect(said(await holdfast('status'))).toMatch(new RegExp(`^${app.name} +\\S+, held \\d+ +generation 2 `, 'm'))
  expect(said(await app.holdfast('releases'))).toMatch(/ held \(generation \d+\), untried$/m)
  expectSuccess(await app.holdfast('promote'))
  await stream.tells('live', ({ kind }) => kind === 'promote')
  // Each of these was a restart, which is no stop, and leaves nothing that somebody should mend.
  const states = stream.events.filter((event) => event.type === 'state')
  expect(states.flatMap(({ problems }) => problems)).toEqual([])
  expect(states.map(({ to }) => to).filter((state) => !['live', 'handover', 'failed-deploy'].includes(state))).toEqual([])

  const ended = once(stream.child, 'exit')
  expectSuccess(await holdfast('uninstall', app.name))
  expect(await ended).toEqual([0, null])
  expect(stream.events.at(-1)).toMatchObject({ type: 'uninstalled', app: app.name })
  expect(stream.events.filter(({ type }) => type === 'error')).toEqual([])
})

it('waits for apps where there is none yet', async () => {
  const stream = new Stream(['--json', '--interval', '1'])
  const list = new Terminal(`${command} status --watch`, small)
  await list.shows(/^holdfast: (?:no app is installed|\d+ apps?) /)
  const app = await deployed('first')
  await stream.tells('snapshot', (event) => event.app === app.name)
  await list.shows(new RegExp(`^  ${app.name} +live +1 .* 1 live$`, 'm'))
  expectSuccess(await holdfast('uninstall', app.name))
  await stream.tells('uninstalled', (event) => event.app === app.name)
  await waitFor('the list has no such app', () => !list.screen.text().includes(app.name))
  stream.child.kill('SIGTERM')
  expect(await once(stream.child, 'exit')).toEqual([0, null])
  list.type('q')
  expect(await list.end()).toBe(0)
})

it('streams to whoever is not root, ends with its reader and by signals, and refuses what it cannot do', async () => {
  const app = await deployed('reader')
  const nobody = new Stream(['--json', '--interval', '1'], ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups'])
  expect(await nobody.tells('snapshot', (event) => event.app === app.name)).toMatchObject({ load: { inFlight: null, rates: null }, instances: [{ phase: 'live', connections: null, rates: null }] })
  expectSuccess(await systemctl('restart', app.name))
  await nobody.tells('phase', ({ generation, to }) => generation === 2 && to === 'live')
  await nobody.tells('live', ({ generation }) => generation === 2)
  nobody.child.kill('SIGTERM')
  expect(await once(nobody.child, 'exit')).toEqual([0, null])

  const left = new Stream([app.name, '--json', '--interval', '1'])
  await left.tells('snapshot')
  left.child.stdout?.destroy()
  expect(await once(left.child, 'exit')).toEqual([0, null])

  const told = new Stream([app.name, '--json', '--interval', '1'])
  await told.tells('snapshot')
  const state = `${app.state}/state.json`
  const text = await readFile(state, 'utf8')
  await writeFile(state, '{')
  expect((await told.tells('error')).message).toContain('state.json cannot be read')
  await writeFile(state, text)
  const count = told.events.length
  await waitFor('it goes on', () => told.events.slice(count).some(({ type }) => type === 'rates'))
  told.child.kill('SIGINT')
  expect(await once(told.child, 'exit')).toEqual([0, null])

  for (const [args, message] of [[['--json', '--interval', '0'], '--interval 0: expected a number of seconds, from 1'], [['--interval', '5'], '--interval is of --json']] as const) {
    expect(await holdfast('watch', app.name, ...args)).toMatchObject({ status: 2, stderr: expect.stringContaining(message) })
  }
  expect(await holdfast('watch', uniqueApp('nope'), '--json')).toMatchObject({ status: 2, stdout: '', stderr: expect.stringContaining('is not installed') })
})
