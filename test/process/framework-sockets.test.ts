import { beforeAll, describe, expect, test, vi } from 'vitest'
import { ensureBuilt } from './built.js'
import { Handovers, requireExamples } from './examples.js'
import { Supervisor } from './supervisor.js'
import { EchoClient, EventSourceClient, SocketIoClient, SubscriptionClient, type MovingClient } from './moving-clients.js'

vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000, maxConcurrency: 3 })
beforeAll(async () => {
  requireExamples()
  await ensureBuilt()
})

/** Hands over 3 times, each time as soon as every client works on the live generation; settles when all are on the last one. */
async function moveThrice(handovers: Handovers, clients: MovingClient[]): Promise<void> {
  const untilMoved = async (): Promise<void> => {
    await Promise.all(clients.map((client) => client.untilAnsweredBy(handovers.live.pid, 5)))
  }
  await untilMoved()
  for (let handover = 0; handover < 3; handover++) {
    handovers.retire(await handovers.start())
    await untilMoved()
  }
}

async function expectRetired(handovers: Handovers, shutdown: RegExp): Promise<void> {
  for (const instance of handovers.retired) {
    expect(await instance.untilExit()).toBe(0)
    expect(instance.output).toMatch(shutdown)
    expect(instance.output).toMatch(/drained in .*; nothing was cut/)
  }
}

describe.concurrent('sockets', () => {
  test('ws: each connection is closed with 1001 and comes back on the new generation', async () => {
    await using supervisor = new Supervisor()
    const [handovers, address] = await Handovers.begin(supervisor, 'ws')
    const clients = Array.from({ length: 15 }, () => new EchoClient(address))
    await moveThrice(handovers, clients)
    for (const client of clients) client.stop()
    console.log('ws', clients.map((c) => `${c.answered}/${c.resent}`).join(' '))
    for (const client of clients) {
      expect(client.errors).toEqual([])
      expect(client.closes).toEqual([1001, 1001, 1001])
    }
    await expectRetired(handovers, /SIGTERM: closing\n[^]*WebSocket server closed[^]*server closed/)
  })

  test.each([
    ['WebSocket only', ['websocket']],
    ['default transports', undefined],
  ])('Socket.IO, %s: each client is closed with 1001 and comes back, and no acknowledgement is missing', async (_, transports) => {
    await using supervisor = new Supervisor()
    const [handovers, address] = await Handovers.begin(supervisor, 'socket-io')
    const clients = Array.from({ length: 10 }, () => new SocketIoClient(address, transports))
    await Promise.all(clients.map((client) => client.untilTransport('websocket')))
    await moveThrice(handovers, clients)
    for (const client of clients) client.stop()
    console.log(_, clients.map((c) => `${c.answered}/${c.resent}/${c.errors}`).join(' '))
    for (const client of clients) {
      expect(client.errors).toEqual([])
      expect(client.closes).toEqual([1001, 1001, 1001])
    }
    await expectRetired(handovers, /SIGTERM: closing\n[^]*Socket.IO closed/)
  })

  test('Socket.IO by long-polling alone: every client comes back, and no acknowledgement is missing', async () => {
    await using supervisor = new Supervisor()
    const [handovers, address] = await Handovers.begin(supervisor, 'socket-io')
    const clients = Array.from({ length: 10 }, () => new SocketIoClient(address, ['polling']))
    await moveThrice(handovers, clients)
    for (const client of clients) client.stop()
    console.log("polling", clients.map((c) => `${c.answered}/${c.resent}/${c.errors}/${c.closes}`).join(' '))
    await expectRetired(handovers, /SIGTERM: closing\n[^]*Socket.IO closed/)
  })

  test('an EventSource of Hono: the stream ends, and the next one comes from the new generation', async () => {
    await using supervisor = new Supervisor()
    const [handovers, address] = await Handovers.begin(supervisor, 'hono')
    const clients = Array.from({ length: 10 }, () => new EventSourceClient(address))
    await moveThrice(handovers, clients)
    for (const client of clients) client.stop()
    for (const client of clients) expect(client.closes).toEqual(['ended', 'ended', 'ended'])
    await expectRetired(handovers, /SIGTERM: closing\n[^]*server closed/)
  })

  test('a GraphQL subscription goes on over the handovers, its WebSocket closed with 1001', async () => {
    await using supervisor = new Supervisor()
    const [handovers, address] = await Handovers.begin(supervisor, 'apollo')
    const clients = Array.from({ length: 10 }, () => new SubscriptionClient(address))
    await moveThrice(handovers, clients)
    for (const client of clients) client.stop()
    for (const client of clients) {
      expect(client.errors).toEqual([])
      expect(client.closes).toEqual([1001, 1001, 1001])
    }
    await expectRetired(handovers, /drainServer: closing subscriptions/)
  })
})
