import { beforeAll, describe, expect, test, vi } from 'vitest'
import { ensureBuilt } from './built.js'
import { Handovers, reconnectWindowMs, requireExamples } from './examples.js'
import { Supervisor } from './supervisor.js'
import { EchoClient, EventSourceClient, SocketIoClient, SubscriptionClient, type MovingClient } from './moving-clients.js'

vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000, maxConcurrency: 7 })
beforeAll(async () => {
  requireExamples()
  await ensureBuilt()
})

/**
 * Hands over 3 times, each time as soon as every client works on the live generation.
 * @param graceMs that the last client gets after the window to be on the next one
 */
async function moveThrice(handovers: Handovers, clients: MovingClient[], graceMs: number): Promise<void> {
  const untilMoved = async (): Promise<void> => {
    await Promise.all(clients.map((client) => client.untilAnsweredBy(handovers.live.pid, 5)))
  }
  await untilMoved()
  for (let handover = 0; handover < 3; handover++) {
    handovers.retire(await handovers.start())
    const retiredAt = performance.now()
    await untilMoved()
    expect(performance.now() - retiredAt).toBeLessThan(reconnectWindowMs + graceMs)
  }
  for (const client of clients) client.stop()
}

async function expectRetired(handovers: Handovers, { status = 0, shutdown }: { status?: number; shutdown: RegExp }): Promise<void> {
  expect(await handovers.ended()).toEqual(handovers.retired.map(() => status))
  for (const instance of handovers.retired) {
    expect(instance.output).toMatch(shutdown)
    expect(instance.output).toMatch(/drained in .*; nothing was cut/)
  }
}

const ioShutdown = /SIGTERM: closing\n[^]*Socket.IO closed/

describe.concurrent('sockets', () => {
  test('ws: each connection is closed with 1001 and comes back on the new generation', async () => {
    await using supervisor = new Supervisor()
    const [handovers, address] = await Handovers.begin(supervisor, 'ws')
    const clients = Array.from({ length: 15 }, () => new EchoClient(address))
    await moveThrice(handovers, clients, 4000)
    for (const client of clients) {
      expect(client.errors).toEqual([])
      expect(client.closes).toEqual([1001, 1001, 1001])
    }
    await expectRetired(handovers, { shutdown: /SIGTERM: closing\n[^]*WebSocket server closed[^]*server closed/ })
  })

  test.each([
    ['WebSocket only', ['websocket']],
    ['default transports', undefined],
  ])('Socket.IO, %s: each client is closed with 1001 and comes back, and no acknowledgement is missing', async (_, transports) => {
    await using supervisor = new Supervisor()
    const [handovers, address] = await Handovers.begin(supervisor, 'socket-io')
    const clients = Array.from({ length: 10 }, () => new SocketIoClient(address, transports))
    await Promise.all(clients.map((client) => client.untilTransport('websocket')))
    await moveThrice(handovers, clients, 4000)
    for (const client of clients) {
      expect(client.errors).toEqual([])
      expect(client.closes).toEqual([1001, 1001, 1001])
    }
    await expectRetired(handovers, { shutdown: ioShutdown })
  })

  test('Socket.IO by long-polling alone: each client is refused with 400 and comes back, and no acknowledgement is missing', async () => {
    await using supervisor = new Supervisor()
    const [handovers, address] = await Handovers.begin(supervisor, 'socket-io')
    const clients = Array.from({ length: 10 }, () => new SocketIoClient(address, ['polling']))
    await moveThrice(handovers, clients, 8000)
    for (const client of clients) {
      expect(client.closes.length).toBeGreaterThanOrEqual(3)
      expect(new Set([...client.closes, ...client.errors])).toEqual(new Set([400]))
    }
    await expectRetired(handovers, { shutdown: ioShutdown })
    // The example's pingInterval, which ends the long polls that nobody reads any more.
    for (const { output } of handovers.retired) expect(Number(/drained in ([\d.]+) s/.exec(output)?.[1])).toBeLessThan(10)
  })

  test('Socket.IO clients that come while two generations accept are connected when one alone does', async () => {
    await using supervisor = new Supervisor()
    const [handovers, address] = await Handovers.begin(supervisor, 'socket-io')
    const next = await handovers.start()
    const clients = Array.from({ length: 10 }, () => new SocketIoClient(address))
    await Promise.all(clients.map((client) => client.untilTried()))
    handovers.retire(next)
    await Promise.all(clients.map((client) => client.untilAnsweredBy(next.pid, 5)))
    for (const client of clients) {
      client.stop()
      // The long-polling that a connection begins with hits either.
      expect([...client.closes, ...client.errors].filter((how) => how !== 400 && how !== 1001)).toEqual([])
    }
    await expectRetired(handovers, { shutdown: ioShutdown })
  })

  test('an EventSource of Hono: the stream ends, and the client comes back to the new generation', async () => {
    await using supervisor = new Supervisor()
    const [handovers, address] = await Handovers.begin(supervisor, 'hono')
    const clients = Array.from({ length: 10 }, () => new EventSourceClient(address))
    await moveThrice(handovers, clients, 4000)
    for (const client of clients) {
      // A client that finds its connection still open comes back on that one at first, and is asked again.
      expect(client.closes.length).toBeGreaterThanOrEqual(3)
      expect(new Set(client.closes)).toEqual(new Set(['ended']))
    }
    await expectRetired(handovers, { shutdown: /a client of \/ticks has gone\n[^]*SIGTERM: closing\n[^]*server closed/ })
  })

  test('a GraphQL subscription goes on over the handovers, its WebSocket closed with 1001', async () => {
    await using supervisor = new Supervisor()
    const [handovers, address] = await Handovers.begin(supervisor, 'apollo')
    const clients = Array.from({ length: 10 }, () => new SubscriptionClient(address))
    // graphql-ws waits up to 4 s before it connects again.
    await moveThrice(handovers, clients, 8000)
    for (const client of clients) {
      expect(client.errors).toEqual([])
      expect(client.closes).toEqual([1001, 1001, 1001])
    }
    // Apollo raises the signal again when it is done.
    await expectRetired(handovers, { status: -15, shutdown: /drainServer: closing subscriptions/ })
  })
})
