/** Instances that are held back: they listen, answer on their private socket, and accept nothing until they are let in. */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { ensureBuilt } from './built.js'
import { RawClient } from './raw-client.js'
import { Supervisor, type Instance, type SpawnOptions } from './supervisor.js'

beforeAll(ensureBuilt)

/** How many connections of a listening socket nobody has accepted yet. */
function countUnaccepted(address: string): number {
  const filter = address.startsWith('/') ? ['-Hlx', 'src', address] : ['-Hltn', `sport = :${address.split(':')[1]}`]
  const row = execFileSync('ss', filter, { encoding: 'utf8' }).trim().split(/\s+/)
  return Number(row[address.startsWith('/') ? 2 : 1])
}

async function startHeld(supervisor: Supervisor, scenario = 'http.mjs', options: SpawnOptions = {}): Promise<Instance> {
  const instance = await supervisor.start(scenario, { listeners: ['http'], privateListener: 'http', held: true, ...options })
  await instance.untilReady()
  return instance
}

/** An answer that came over the private socket: by then the instance's event loop has turned. */
async function askPrivately(instance: Instance, path = '/now'): Promise<RawClient> {
  const client = new RawClient(instance.privateSocket)
  client.get(path)
  await client.until('an answer', () => client.received.includes('\r\n\r\n'))
  return client
}

describe.each(['TCP', 'a unix socket'])('on %s', (kind) => {
  const addressFor = (supervisor: Supervisor): string => (kind === 'TCP' ? '127.0.0.1:0' : join(supervisor.directory, 'public'))

  test('a held instance is ready, and accepts when it is let in', async () => {
    await using supervisor = new Supervisor()
    const address = await supervisor.listen('http', addressFor(supervisor))
    const instance = await startHeld(supervisor)
    const waiting = new RawClient(address)
    waiting.get('/now')
    await instance.until('no callback', () => instance.output.includes('listening {') || instance.output.includes('listening "'))
    await askPrivately(instance)
    await askPrivately(instance)
    expect([countUnaccepted(address), waiting.received]).toEqual([1, ''])
    expect(instance.statusText).toBe(`in standby: listens on http (${address}) when let in`)
    expect(await instance.report()).toMatchObject({ accepting: false, draining: false, requests: 0 })
    instance.letIn()
    await waiting.untilReceived(`now from ${instance.pid}`)
    expect(await instance.report()).toMatchObject({ accepting: true, requests: 1 })
    await instance.until('no status', () => instance.statusText === `serving http (${address})`)
  })
})
