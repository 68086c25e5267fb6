import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { guardListeners } from '../../../../src/deploy/listeners/guard.js'
import { judgeListener } from '../../../../src/deploy/listeners/guard-judge.js'
import { closeListeners } from '../../../../src/deploy/listeners/listener-close.js'
import { findForeignFile, installedListeners, readListeners, type ListenerFacts } from '../../../../src/deploy/listeners/listener-facts.js'
import { requireListeners } from '../../../../src/deploy/listeners/listeners.js'
import { observeInstances } from '../../../../src/deploy/observe.js'
import { pathsOf, placesOf } from '../../../../src/release/paths.js'
import { makeApp, runInstance, type AppOnDisk } from '../app-on-disk.js'
import { unitState } from '../unit-state.js'

const paths = pathsOf(placesOf('system'), 'shop')

/** A listener that systemd holds and generation 2 accepts on. */
function facts(over: Partial<ListenerFacts> = {}): ListenerFacts {
  return {
    listener: 'http', state: unitState({ unit: 'shop-http.socket' }), address: { kind: 'tcp', host: '127.0.0.1', port: 8080 }, believed: ['127.0.0.1:8080'], isBelieved: true,
    foreignFile: undefined, hasPath: true, sockets: ['11'], held: ['11'], instances: [{ unit: 'shop@2.1.service', open: ['11'] }], ...over,
  }
}

const failed = unitState({ unit: 'shop-http.socket', active: 'failed', result: 'resources' })
const path = { kind: 'unix', path: '/run/shop.sock' } as const
const file = '/etc/systemd/system/shop-http.socket'
const restart = 'systemctl restart shop'
const reopen = 'systemctl stop shop; systemctl start shop   # refuses new connections to 127.0.0.1:8080 for about a second'
const install = `rm ${file}; holdfast install /etc/holdfast/shop.toml`

describe('a listener', () => {
  const judge = (change: Partial<ListenerFacts>, isUp = true) => judgeListener(facts(change), { paths, isUp }).map(({ kind, what, mend }) => [kind, what, mend])

  it.each<[string, Partial<ListenerFacts>]>([
    ['is as it must be', {}],
    ['cannot be looked at', { held: undefined, instances: [{ unit: 'shop@2.1.service', open: undefined }] }],
    ['whose instance has ended meanwhile', { instances: [{ unit: 'shop@2.1.service', open: undefined }] }],
    ['has no instance', { instances: [] }],
    ['also has another that shares it', { sockets: ['11', '12'], instances: [{ unit: 'shop@2.1.service', open: ['11', '12'] }] }],
  ])('that %s has no fault', (_, change) => {
    expect(judge(change)).toEqual([])
  })

  it.each<[Partial<ListenerFacts>, boolean, [string, string, string][]]>([
    [{ state: failed }, true, [['closed', 'shop-http.socket is failed (resources): only what runs now still answers on 127.0.0.1:8080, and no later generation can', reopen]]],
    [{ state: failed, sockets: [], instances: [{ unit: 'shop@2.1.service', open: [] }] }, true, [['closed', 'shop-http.socket is failed (resources): nobody listens on 127.0.0.1:8080', reopen]]],
    [{ state: failed }, false, [['closed', 'shop-http.socket is failed (resources): nobody listens on 127.0.0.1:8080', 'systemctl start shop-http.socket']]],
    [{ state: unitState({ unit: 'shop-http.socket', active: 'inactive' }), address: path, hasPath: false }, true, [['closed', 'shop-http.socket is inactive: /run/shop.sock is gone, and no new client reaches what runs', restart]]],
    [{ held: [] }, true, [['lost', expect.stringMatching(/^shop-http\.socket counts as active, but systemd has lost its socket .*: only what runs now still answers/) as string, reopen]]],
    [{ held: [], sockets: [], instances: [] }, false, [['lost', expect.stringMatching(/: nobody listens on 127\.0\.0\.1:8080$/) as string, restart]]],
    [{ held: [], address: path }, true, [['lost', expect.stringMatching(/: no new client reaches what runs by \/run\/shop\.sock$/) as string, restart]]],
    [{ foreignFile: file }, true, [['edited', `${file} names another address than 127.0.0.1:8080, which was installed: at its next daemon-reload, systemd drops the socket that it holds`, install]]],
    [{ foreignFile: file, isBelieved: false, believed: ['127.0.0.1:9090'], held: [] }, true, [['readdressed', `systemd takes 127.0.0.1:9090 for the address of shop-http.socket, and 127.0.0.1:8080 was installed: ${file} says so`, `rm ${file}; systemctl stop shop shop-drain.service; holdfast install /etc/holdfast/shop.toml   # closes 127.0.0.1:8080 for a drain and a start`]]],
    // Put right on disk, and not read again.
    [{ isBelieved: false, believed: ['127.0.0.1:9090'], held: [] }, true, [['readdressed', 'systemd takes 127.0.0.1:9090 for the address of shop-http.socket, and 127.0.0.1:8080 was installed', `systemctl daemon-reload; ${reopen}`]]],
    [{ address: path, hasPath: false }, true, [['unlinked', 'somebody has removed /run/shop.sock: shop-http.socket listens, but nobody can connect', restart]]],
    [{ address: path, sockets: ['11', '12'], instances: [{ unit: 'shop@2.1.service', open: ['12'] }, { unit: 'shop@2.2.service', open: ['11'] }] }, true, [['split', 'shop@2.1.service accepts on another socket for /run/shop.sock than the one that systemd holds (its unit was stopped or restarted, mostly): new connections wait', restart]]],
    [{ instances: [{ unit: 'shop@2.1.service', open: [] }] }, true, [['unaccepted', 'no instance that serves has the socket of 127.0.0.1:8080 open: connections wait there', restart]]],
  ])('%# is told with its mend', (change, isUp, expected) => {
    expect(judge(change, isUp)).toEqual(expected)
  })
})

/** A /proc in which these processes have these sockets, and these listen on 127.0.0.1:8080. */
function makeProc(holders: Record<number, string[]>, listening: readonly string[]): string {
  const proc = mkdtempSync(join(tmpdir(), 'holdfast-proc-'))
  onTestFinished(() => rmSync(proc, { recursive: true, force: true }))
  mkdirSync(join(proc, 'net'))
  const rows = listening.map((inode, i) => `   ${i}: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 ${inode} 1 0 100 0 0 10 0`)
  writeFileSync(join(proc, 'net/tcp'), ['  sl  local_address …', ...rows, ''].join('\n'))
  for (const [pid, inodes] of Object.entries(holders)) {
    mkdirSync(join(proc, pid, 'fd'), { recursive: true })
    for (const [i, inode] of inodes.entries()) symlinkSync(`socket:[${inode}]`, join(proc, pid, 'fd', String(i)))
  }
  return proc
}

describe('what is seen of a listener', () => {
  const look = async (holders: Record<number, string[]>, listening: string[]): Promise<unknown[]> => {
    const on = makeApp()
    runInstance(on, 'r2', 2)
    const instances = await observeInstances(on.systemd, 'shop')
    const [found] = await readListeners({ ...on.app, proc: makeProc(holders, listening) }, [{ listener: 'http', unit: 'shop-http.socket', address: { kind: 'tcp', host: '127.0.0.1', port: 8080 } }], instances)
    return [found?.sockets, found?.held, found?.instances.map(({ open }) => open)]
  }

  it('is who has which of the sockets on its address', async () => {
    expect(await look({ 1: ['5', '11'], 100: ['11', '9'] }, ['11'])).toEqual([['11'], ['11'], [['11']]])
    expect(await look({ 1: ['5'], 100: ['12'] }, ['12'])).toEqual([['12'], [], [['12']]])
    expect(await look({ 1: [] }, [])).toEqual([[], [], [undefined]])
    expect(await look({}, ['11'])).toEqual([['11'], undefined, [undefined]])
  })

  it('is a file on disk that names another address', () => {
    const on = makeApp()
    const unit = (text: string): void => writeFileSync(join(on.paths.units, 'shop-http.socket'), text)
    const foreign = (): string | undefined => findForeignFile(on.paths, 'shop-http.socket', { kind: 'tcp', host: '127.0.0.1', port: 8080 })
    mkdirSync(join(on.paths.units, 'shop-http.socket.d'), { recursive: true })
    unit('[Socket]\nListenStream=127.0.0.1:8080\n')
    writeFileSync(join(on.paths.units, 'shop-http.socket.d/mine.conf'), '[Socket]\nBacklog=9\n')
    expect(foreign()).toBeUndefined()
    writeFileSync(join(on.paths.units, 'shop-http.socket.d/mine.conf'), '[Socket]\nListenStream=9090\n')
    expect(foreign()).toBe(join(on.paths.units, 'shop-http.socket.d/mine.conf'))
    unit('[Socket]\nListenStream=127.0.0.1:8081\n')
    expect(foreign()).toBe(join(on.paths.units, 'shop-http.socket'))
  })

  it('is taken from what was installed', () => {
    const unit = (name: string, text = ''): { name: string; text: string } => ({ name, text })
    expect(installedListeners({ app: 'shop', units: [unit('shop.service'), unit('shop-my-http.socket', '[Socket]\nListenStream=/run/50%%.sock\n'), unit('shop@.socket', 'ListenStream=/x')] })).toEqual([
      { listener: 'my-http', unit: 'shop-my-http.socket', address: { kind: 'unix', path: '/run/50%.sock' } },
    ])
  })
})

describe('before a handover', () => {
  /** Generation 2 serves; its main process is 100. */
  function shop(holders: Record<number, string[]>, listening: string[]): AppOnDisk {
    const on = makeApp()
    runInstance(on, 'r2', 2)
    on.app.proc = makeProc(holders, listening)
    on.app.units.push('shop-close@.target')
    return on
  }

  it('a port that systemd holds is left alone', async () => {
    const on = shop({ 1: ['11'], 100: ['11'] }, ['11'])
    await requireListeners(on.app)
    expect([on.systemd.orders, on.told]).toEqual([[], []])
  })

  it('a port that only instances have is refused, and nothing is closed', async () => {
    const on = shop({ 1: [], 100: ['11'] }, ['11'])
    await expect(requireListeners(on.app)).rejects.toMatchObject({ code: 'handover-failed', message: expect.stringContaining('systemd has lost its socket') as string, hint: reopen })
    expect(on.systemd.orders).toEqual([])
  })

  it('a port that nobody has is opened again, and a generation that could not have it is not started', async () => {
    const on = shop({ 1: [], 100: [] }, [])
    const proc = on.app.proc as string
    on.systemd.onStart = (unit) => {
      if (unit === 'shop-http.socket') on.app.proc = makeProc({ 1: ['12'], 100: [] }, ['12'])
      if (unit.includes('-close@')) on.systemd.set('shop-http.socket', { active: 'inactive' })
      return {}
    }
    await requireListeners(on.app)
    expect(on.systemd.orders).toEqual(['start shop-close@http.target', 'stop shop-close@http.target', 'start shop-http.socket'])
    expect(on.told).toEqual([{ event: 'listener-repaired', message: 'systemd had lost 127.0.0.1:8080: shop-http.socket counted as active without a socket, as when its address was edited and systemd reloaded. It holds it again; the next generation accepts there.' }])

    on.app.proc = proc
    on.systemd.onStart = () => ({})
    await expect(requireListeners(on.app)).rejects.toMatchObject({ code: 'handover-failed' })
  })

  it('instances that drain are given the time to let go of the port', async () => {
    const on = shop({ 1: [] }, ['11'])
    runInstance(on, 'r2', 2, 'deactivating')
    on.systemd.set('shop-http.socket', { active: 'failed', result: 'resources' })
    setTimeout(() => writeFileSync(join(on.app.proc as string, 'net/tcp'), ''), 200)
    on.systemd.onStart = () => {
      on.app.proc = makeProc({ 1: ['12'] }, ['12'])
      return {}
    }
    const begin = performance.now()
    await requireListeners(on.app)
    expect(performance.now() - begin).toBeGreaterThan(150)
  })

  it('afterwards each fault is told with its mend, and none where it is right', async () => {
    const on = shop({ 1: ['12'], 100: ['11'] }, ['11', '12'])
    expect(await guardListeners(on.app)).toMatchObject([{ listener: 'http', kind: 'split' }])
    expect(on.told).toEqual([{ event: 'listener-fault', message: expect.stringMatching(/^shop@2\.1\.service accepts on another socket .*\.\nTry: systemctl restart shop$/) as string }])
    expect(await guardListeners(shop({ 1: ['11'], 100: ['11'] }, ['11']).app)).toEqual([])
  })
})

it('units of an older version, which refuse no stop, are stopped by name', async () => {
  const { systemd } = makeApp()
  await closeListeners(systemd, 'shop', ['shop-http.socket'], ['shop.service'])
  await closeListeners(systemd, 'shop', [], ['shop-close@.target'])
  expect(systemd.orders).toEqual(['stop shop-http.socket'])
})

it('where the unit that closes cannot be started, one is made', async () => {
  const { systemd } = makeApp()
  systemd.run = async (verb, units) => {
    systemd.orders.push(`${verb} ${units.join(' ')}`)
    return { ok: verb !== 'start', message: '' }
  }
  let made: readonly string[] = []
  systemd.onTransient = (_, args) => ((made = args), {})
  await closeListeners(systemd, 'shop', ['shop-http.socket', 'shop-admin.socket'], ['shop-close@.target'])
  expect(systemd.orders).toEqual(['start shop-close@http.target shop-close@admin.target', 'stop shop-close@http.target shop-close@admin.target', 'transient '])
  expect(made).toEqual(expect.arrayContaining(['--property=Conflicts=shop-http.socket', '--property=After=shop-http.socket', '--property=Conflicts=shop-admin.socket', '--property=After=shop-admin.socket']))
})

it('finds the sockets of this very process', async () => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const { port } = server.address() as { port: number }
  const on = makeApp()
  on.systemd.set('shop@2.1.service', { mainPid: process.pid })
  const [found] = await readListeners({ ...on.app, proc: '/proc' }, [{ listener: 'http', unit: 'shop-http.socket', address: { kind: 'tcp', host: '127.0.0.1', port } }], await observeInstances(on.systemd, 'shop'))
  expect(found?.sockets).toHaveLength(1)
  expect(found?.instances).toEqual([{ unit: 'shop@2.1.service', open: found?.sockets }])
})
