/** What takes a listener down, done to one on purpose: refused, repaired or reported, and nobody's connection is closed. */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import http from 'node:http'
import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, it, onTestFinished } from 'vitest'
import type { Finding } from '../../src/deploy/observe/diagnose.js'
import { serverJs, visit, type Shop } from './apps.js'
import { activeState, expectSuccess, freePort, holdfast, journal, makeApp, mustRun, registerModule, run, systemctl, uniqueApp, waitFor } from './harness.js'

interface Guarded extends Shop {
  /** The path of its second listener. */
  path: string
}

/** An app that listens on a port and on a path, live. */
async function guarded(prefix: string): Promise<Guarded> {
  const [port, name] = [await freePort(), uniqueApp(prefix)]
  const address = `127.0.0.1:${port}`
  const path = `/run/${name}.sock`
  const also = `http.createServer((request, response) => {
  if (request.url !== '/endless') return response.end(process.env.HOLDFAST_GENERATION)
  const timer = setInterval(() => response.write(process.env.HOLDFAST_GENERATION), 50)
  response.on('close', () => clearInterval(timer))
}).listen(${JSON.stringify(path)})`
  const app = await makeApp({
    name,
    files: { 'server.js': serverJs('1', { after: also }), 'package.json': '{"type":"module"}' },
    config: `command = ["node", "--import", ${JSON.stringify(registerModule)}, "server.js"]\n[start]\nsettle = "200ms"\n[listen]\nhttp = "${address}"\nadmin = { address = "${path}", mode = "0666" }\n`,
  })
  expectSuccess(await holdfast('install', app.config))
  return { ...app, port, address, path, service: `${name}.service`, release: (id, how = {}) => app.write({ 'server.js': serverJs(id, { ...how, after: also }) }) }
}

/** What doctor finds wrong with the app's listeners: what it says, and the command. */
async function faults(shop: Shop): Promise<{ what: string; mend: string }[]> {
  const { findings } = JSON.parse((await holdfast('doctor', '--json')).stdout) as { findings: Finding[] }
  return findings.filter(({ app, level }) => app === shop.name && level !== 'ok').map(({ what, mend = '' }) => ({ what, mend }))
}

const mend = (command: string): Promise<string> => mustRun('sh', ['-c', command.replaceAll('holdfast ', `${process.execPath} /opt/holdfast/dist/cli/main.js `)])

/** Lets an admin do what the unit refuses, as a drop-in of theirs could. */
async function allowStop(shop: Shop, listener: string): Promise<void> {
  const folder = `/run/systemd/system/${shop.name}-${listener}.socket.d`
  await mkdir(folder, { recursive: true })
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  await writeFile(`${folder}/mine.conf`, '[Unit]\nRefuseManualStop=no\n')
  await mustRun('systemctl', ['daemon-reload'])
}

/** The generation that answers on the path, on a connection of its own. */
async function askPath({ path }: Guarded): Promise<string> {
  const request = http.get({ socketPath: path, agent: false, timeout: 5_000 })
  const [response] = (await once(request, 'response')) as [http.IncomingMessage]
  let text = ''
  for await (const chunk of response) text += String(chunk)
  return text
}

/** An answer on the path that goes on until it is left, and whose pieces tell who gives it. */
async function stay({ path }: Guarded): Promise<{ next(): Promise<string>; leave(): void }> {
  const request = http.get({ socketPath: path, agent: false, path: '/endless' })
  const [response] = (await once(request, 'response')) as [http.IncomingMessage]
  onTestFinished(() => void request.destroy())
  return {
    async next() {
      const [piece] = (await once(response, 'data', { signal: AbortSignal.timeout(5_000) })) as [Buffer]
      return piece.toString()
    },
    leave: () => void request.destroy(),
  }
}

/** For how long, in milliseconds, connections were refused while something was done. */
async function refusals({ port }: Shop, act: () => Promise<unknown>): Promise<number> {
  let isOver = false
  const refused: number[] = []
  const acting = act().finally(() => { isOver = true })
  while (!isOver) {
    const socket = connect(port, '127.0.0.1')
    const at = performance.now()
    await once(socket, 'connect').catch(() => void refused.push(at))
    socket.destroy()
    await delay(5)
  }
  await acting
  return refused.length === 0 ? 0 : (refused.at(-1) as number) - (refused[0] as number)
}

it('refuses to be stopped or restarted by hand, and is closed by a stop of the app', async () => {
  const shop = await guarded('refuse')
  const traffic = visit(shop)
  for (const verb of ['restart', 'stop', 'try-restart', 'reload-or-restart']) {
    for (const listener of ['http', 'admin']) {
      const { status, stderr } = await systemctl(verb, `${shop.name}-${listener}.socket`)
      expect(status).not.toBe(0)
      expect(stderr).toContain('Operation refused')
    }
  }
  expect(await faults(shop)).toEqual([])
  expectSuccess(await systemctl('restart', shop.name))
  expect(await askPath(shop)).toBe('2')
  expect((await traffic.stop()).failures).toEqual([])

  expectSuccess(await systemctl('stop', shop.name, `${shop.name}-drain`))
  for (const listener of ['http', 'admin']) expect(await activeState(`${shop.name}-${listener}.socket`)).toBe('inactive')
  await expect(askPath(shop)).rejects.toThrow('ENOENT')
  expectSuccess(await systemctl('start', shop.name))
  expect(await askPath(shop)).toBe('3')
  expect(await faults(shop)).toEqual([])
})

it('a port that systemd has lost is reported, the old generation serves on, and the mend closes no connection', async () => {
  const shop = await guarded('lost-port')
  await allowStop(shop, 'http')
  const traffic = visit(shop)
  expect((await systemctl('restart', `${shop.name}-http.socket`)).status).not.toBe(0)
  const fault = {
    what: `${shop.name}-http.socket is failed (resources): only what runs now still answers on ${shop.address}, and no later generation can`,
    mend: `systemctl stop ${shop.name}; systemctl start ${shop.name}   # refuses new connections to ${shop.address} for about a second`,
  }
  expect(await faults(shop)).toEqual([fault])
  await shop.release('2')
  expect((await systemctl('restart', shop.name)).status).not.toBe(0)
  expect(await journal(shop.name)).toContain(fault.what)
  expect((await traffic.stop()).failures).toEqual([])

  // What the port has accepted goes on, and is not waited for.
  const upload = http.request({ port: shop.port, path: '/orders', method: 'POST', agent: false, headers: { 'content-length': '2', expect: '100-continue' } })
  onTestFinished(() => void upload.destroy())
  await once(upload, 'continue')
  const closed = await refusals(shop, () => mend(fault.mend))
  console.log(`${shop.address} refused connections for ${closed.toFixed(0)} ms`)
  expect(closed).toBeLessThan(10_000)
  expect(await activeState(`${shop.name}@1.1.service`)).toBe('deactivating')
  const answer = once(upload, 'response') as Promise<[http.IncomingMessage]>
  upload.end('ab')
  expect((await answer)[0].headers['x-generation']).toBe('1')
  expect(await faults(shop)).toEqual([])
  const after = visit(shop)
  expectSuccess(await systemctl('restart', shop.name))
  expect((await after.stop()).failures).toEqual([])
})

it('an address that was edited: doctor warns of the reload, and mends what a reload has done', async () => {
  const shop = await guarded('edited')
  const unit = `/etc/systemd/system/${shop.name}-http.socket`
  const other = `127.0.0.1:${await freePort()}`
  const edit = (): Promise<string> => mustRun('sed', ['-i', `s/^ListenStream=.*/ListenStream=${other}/`, unit])

  await edit()
  const before = await faults(shop)
  expect(before.map(({ what }) => what)).toContain(`${unit} names another address than ${shop.address}, which was installed: at its next daemon-reload, systemd drops the socket that it holds`)
  expect(before.map(({ mend }) => mend).join('\n')).not.toContain('daemon-reload')
  // Nor another that would lead to one, as a drop-in by systemctl edit does.
  expect(before.map(({ mend }) => mend)).toEqual([expect.stringMatching(/^rm .*; holdfast install /)])
  const traffic = visit(shop)
  await mend(before.find(({ what }) => what.includes('daemon-reload'))?.mend ?? '')
  expect(await faults(shop)).toEqual([])
  expect((await traffic.stop()).failures).toEqual([])

  await edit()
  await mustRun('systemctl', ['daemon-reload'])
  const after = (await faults(shop)).find(({ what }) => what.startsWith('systemd takes'))
  expect(after?.what).toBe(`systemd takes ${other} for the address of ${shop.name}-http.socket, and ${shop.address} was installed: ${unit} says so`)
  expect((await systemctl('restart', shop.name)).status).not.toBe(0)
  expect(await journal(shop.name)).toContain(after?.what)
  // Put right by hand, it is not put right: systemd has no socket, and counts the unit as running.
  await mustRun('sed', ['-i', `s/^ListenStream=.*/ListenStream=${shop.address}/`, unit])
  await mustRun('systemctl', ['daemon-reload'])
  expect(await activeState(`${shop.name}-http.socket`)).toBe('active')
  const [lost, ...others] = await faults(shop)
  expect(others).toEqual([])
  expect(lost?.what).toMatch(/-http\.socket counts as active, but systemd has lost its socket .*: only what runs now still answers/)
  expect((await systemctl('restart', shop.name)).status).not.toBe(0)
  await edit()
  await mustRun('systemctl', ['daemon-reload'])
  await mend((await faults(shop)).find(({ what }) => what.startsWith('systemd takes'))?.mend ?? '')
  expect(await faults(shop)).toEqual([])
  const end = visit(shop)
  expectSuccess(await systemctl('restart', shop.name))
  expect((await end.stop()).failures).toEqual([])
})

const opened = /systemd had lost \/run\/\S+: .*\. It holds it again; the next generation accepts there\./
const moved = /@1\.1\.service accepts on another socket for .* The next generation accepts on systemd's\./
const pathFaults: [string, (shop: Guarded) => Promise<unknown>, RegExp, RegExp][] = [
  ['was removed', ({ path }) => rm(path), /^somebody has removed \/run\/.*\.sock: .*-admin\.socket listens, but nobody can connect$/, opened],
  ['was stopped', ({ name }) => mustRun('systemctl', ['stop', `${name}-admin.socket`]), /-admin\.socket is inactive: \/run\/.* is gone, and no new client reaches what runs$/, moved],
  ['was restarted', ({ name }) => mustRun('systemctl', ['restart', `${name}-admin.socket`]), /@1\.1\.service accepts on another socket for \/run\/.* than the one that systemd holds .*: new connections wait$/, moved],
  ['was lost', async ({ name, path }) => {
    const unit = `/etc/systemd/system/${name}-admin.socket`
    for (const [from, to] of [[path, `${path}2`], [`${path}2`, path]]) {
      await mustRun('sed', ['-i', `s#^ListenStream=${from}$#ListenStream=${to}#`, unit])
      await mustRun('systemctl', ['daemon-reload'])
    }
  }, /-admin\.socket counts as active, but systemd has lost its socket .*: no new client reaches what runs by \/run\//, opened],
]

it.each(pathFaults)('a path that %s is reported, and open again after a handover that closes no connection', async (_, inject, what, told) => {
  const shop = await guarded('lost-path')
  await allowStop(shop, 'admin')
  const client = await stay(shop)
  await inject(shop)
  expect(await client.next()).toBe('1')
  expect(await faults(shop)).toEqual([{ what: expect.stringMatching(what), mend: `systemctl restart ${shop.name}` }])
  const traffic = visit(shop)
  expectSuccess(await systemctl('restart', shop.name))
  expect(await askPath(shop)).toBe('2')
  expect((await traffic.stop()).failures).toEqual([])
  expect(await faults(shop)).toEqual([])
  // What is in flight with the old generation ends by itself.
  expect(await client.next()).toBe('1')
  client.leave()
  expect(await journal(shop.name)).toMatch(told)
})

it('no start or trigger limit closes it, nor does a daemon-reexec or a reload', async () => {
  const shop = await guarded('limits')
  const traffic = visit(shop)
  await mustRun('systemctl', ['daemon-reexec'])
  await mustRun('systemctl', ['daemon-reload'])
  expect(await faults(shop)).toEqual([])
  expect((await traffic.stop()).failures).toEqual([])
  // systemd's default allows 5 starts in 10 s.
  for (let i = 0; i < 8; i += 1) {
    const pid = await waitFor('the instance is up', async () => {
      const found = (await run('systemctl', ['show', '--property=MainPID', '--value', `${shop.name}@1.1.service`])).stdout.trim()
      return (await activeState(`${shop.name}@1.1.service`)) === 'active' && found !== '0' ? found : undefined
    })
    execFileSync('kill', ['-KILL', pid])
    await waitFor('it has ended', async () => (await activeState(`${shop.name}@1.1.service`)) !== 'active' || undefined)
    await mustRun('systemctl', ['restart', `${shop.name}@1.1.service`])
  }
  expect(await faults(shop)).toEqual([])
  expect(await askPath(shop)).toBe('1')
})

it('is stopped also where the unit that closes its listeners is gone', async () => {
  const shop = await guarded('unclosed')
  await rm(`/etc/systemd/system/${shop.name}-close@.target`)
  await mustRun('systemctl', ['daemon-reload'])
  expectSuccess(await holdfast('stop', shop.name))
  expect(await Promise.all(['http', 'admin'].map((name) => activeState(`${shop.name}-${name}.socket`)))).toEqual(['inactive', 'inactive'])
})
