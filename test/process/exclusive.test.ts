import { readFileSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { lockScope } from '../../src/runtime/exclusive.js'
import { lockAddress } from '../../src/runtime/name-lock.js'
import { ensureBuilt } from './built.js'
import { Supervisor, type Instance, type SpawnOptions } from './supervisor.js'

vi.setConfig({ testTimeout: 30_000 })
beforeAll(ensureBuilt)

interface Entry {
  at: number
  who: string
  what: string
}

let names = 0

/** Generations that share one name, which no other test uses, and the file that they all write to. */
function makeTicker(supervisor: Supervisor): { name: string; start: (options?: SpawnOptions) => Promise<Instance>; entries: () => Entry[] } {
  const name = `ticks-${process.pid}-${++names}`
  const file = join(supervisor.directory, 'ticks')
  const start = async (options: SpawnOptions = {}): Promise<Instance> => {
    const instance = await supervisor.start('exclusive.mjs', { ...options, env: { FILE: file, NAME: name, ...options.env } })
    await instance.until('it never asked', () => instance.output.includes('asked'))
    return instance
  }
  return { name, start, entries: () => readEntries(file) }
}

function readEntries(file: string): Entry[] {
  let text = ''
  try {
    text = readFileSync(file, 'utf8')
  } catch {
    return []
  }
  return text.split('\n').filter((line) => line !== '').map((line) => {
    const [at, who = '', ...what] = line.split(' ')
    return { at: Number(at), who, what: what.join(' ') }
  })
}

/** Files have no events that could be waited for: looks every few milliseconds. */
async function until(what: string, holds: () => boolean, timeoutMs = 10_000): Promise<void> {
  await vi.waitFor(() => expect(holds(), what).toBe(true), { timeout: timeoutMs, interval: 10 })
}

const has = (entries: Entry[], who: string, what: string): boolean => entries.some((entry) => entry.who === who && entry.what === what)

/** Who held the name in turn; fails where one ticked in another's time. */
function turns(entries: Entry[]): { who: string; from: number; to: number }[] {
  const result: { who: string; from: number; to: number }[] = []
  for (const { who, what, at } of entries.filter((entry) => ['begins', 'ticks', 'ends'].includes(entry.what))) {
    const last = result.at(-1)
    if (what === 'begins') result.push({ who, from: at, to: at })
    else if (last?.who === who) last.to = at
    else throw new Error(`${who} ${what} at ${at}, in the time of ${last?.who}`)
  }
  return result
}

function gaps(entries: Entry[]): number[] {
  const list = turns(entries)
  return list.slice(1).map(({ from }, index) => from - (list[index]?.to ?? 0))
}

/** Waits until the holder has told its waiters that this generation is the newest of them. */
async function untilNewest(name: string, generation: number): Promise<void> {
  const socket = net.connect({ path: lockAddress(lockScope('scenario', {}), name) })
  let text = ''
  socket.on('data', (piece) => (text += String(piece)))
  socket.write('waits 0\n')
  await until(`${generation} is the newest`, () => text.trimEnd().endsWith(`newest ${generation}`))
  socket.destroy()
}

describe('generations', () => {
  test('three that overlap take turns without a gap: a handover, a kill -9, and the newest goes first', async () => {
    await using supervisor = new Supervisor()
    const { name, start, entries } = makeTicker(supervisor)
    const first = await start({ env: { GOODBYE_MS: '400' } })
    await until('1.1 ticks', () => has(entries(), '1.1', 'ticks'))
    const second = await start()
    await second.until('it does not wait', () => /waits until 1\.1 has ended it/.test(second.output))
    const third = await start()
    await third.until('it does not wait', () => /waits until 1\.1 has ended it/.test(third.output))

    await untilNewest(name, 3)

    // A handover: the oldest ends its work in its own time, and nobody begins before.
    first.kill('SIGTERM')
    await until('3.1 ticks', () => has(entries(), '3.1', 'ticks'))
    expect(await first.untilExit()).toBe(0)
    expect(first.output).toMatch(/1 job finished; nothing was cut/)
    expect(third.output).toMatch(/runs here now, after 1\.1/)

    // A kill -9: the only one left takes over, though it is older; then the next generation waits for that.
    third.kill('SIGKILL')
    await until('2.1 ticks', () => has(entries(), '2.1', 'ticks'))
    const fourth = await start()
    await fourth.until('it does not wait', () => /waits until 2\.1 has ended it/.test(fourth.output))
    second.kill('SIGKILL')
    await until('4.1 ticks', () => has(entries(), '4.1', 'ticks'))

    expect(turns(entries()).map(({ who }) => who)).toEqual(['1.1', '3.1', '2.1', '4.1'])
    expect(Math.max(...gaps(entries()))).toBeLessThan(1000)
    expect(Math.min(...gaps(entries()))).toBeGreaterThanOrEqual(0)
    fourth.kill('SIGTERM')
    await fourth.untilExit()
  })

  test('the newest goes first, however long another has waited', async () => {
    await using supervisor = new Supervisor()
    const { name, start, entries } = makeTicker(supervisor)
    let holder = await start()
    await until('1.1 ticks', () => has(entries(), '1.1', 'ticks'))
    const patient = await start()
    for (let generation = 3; generation <= 8; generation++) {
      const newest = await start()
      await untilNewest(name, generation)
      // So long that to the patient one its attempts before are no failures, and no back-off of theirs holds it up: 0.7 s at least.
      const held = generation === 3 ? '1.1' : `${generation - 1}.1`
      await until(`${held} has held it for long`, () => entries().filter(({ who, what }) => who === held && what === 'ticks').length > 35)
      holder.kill('SIGKILL')
      await until(`${generation}.1 ticks`, () => has(entries(), `${generation}.1`, 'ticks'))
      holder = newest
    }
    expect(turns(entries()).map(({ who }) => who)).toEqual(['1.1', '3.1', '4.1', '5.1', '6.1', '7.1', '8.1'])
    expect(Math.max(...gaps(entries()))).toBeLessThan(1000)
    holder.kill('SIGKILL')
    await until('2.1 ticks', () => has(entries(), '2.1', 'ticks'))
    expect(patient.status).toBeUndefined()
  })

  test('who knows of a newer one leaves it a quarter of a second, and who knows of none goes at once', async () => {
    await using supervisor = new Supervisor()
    const { name, start, entries } = makeTicker(supervisor)
    let holder = await start()
    await until('1.1 ticks', () => has(entries(), '1.1', 'ticks'))
    const waitedMs = { alone: [] as number[], second: [] as number[] }
    for (let generation = 2; generation <= 7; generation++) {
      const waiter = await start()
      await untilNewest(name, generation)
      const kind = generation % 2 === 0 ? 'second' : 'alone'
      // A newer one that never comes: nobody but the clock holds the waiter up.
      const newer = kind === 'second' ? net.connect({ path: lockAddress(lockScope('scenario', {}), name) }).on('error', () => {}) : undefined
      newer?.resume().write('waits 99\n')
      if (newer) await untilNewest(name, 99)
      const killedAt = Date.now()
      holder.kill('SIGKILL')
      const who = `${generation}.1`
      await until(`${who} ticks`, () => has(entries(), who, 'ticks'))
      waitedMs[kind].push((entries().find((entry) => entry.who === who && entry.what === 'begins')?.at ?? 0) - killedAt)
      holder = waiter
    }
    // The back-off of a first failure is one of 8 ms at most.
    expect(Math.min(...waitedMs.second)).toBeGreaterThanOrEqual(249)
    expect(Math.min(...waitedMs.alone)).toBeLessThan(200)
  })

  test('one that drains while it waits leaves the queue and ends', async () => {
    await using supervisor = new Supervisor()
    const { start, entries } = makeTicker(supervisor)
    const first = await start()
    await until('1.1 ticks', () => has(entries(), '1.1', 'ticks'))
    const second = await start()
    await second.until('it does not wait', () => second.output.includes('waits until'))
    second.kill('SIGTERM')
    expect(await second.untilExit()).toBe(0)
    expect(has(entries(), '2.1', 'settled')).toBe(true)
    expect(has(entries(), '2.1', 'begins')).toBe(false)
    first.kill('SIGTERM')
    expect(await first.untilExit()).toBe(0)
  })

  test('the holder’s blocked event loop loses it nothing, and a waiter is told in the end', async () => {
    await using supervisor = new Supervisor()
    const { start, entries } = makeTicker(supervisor)
    const first = await start()
    await until('1.1 ticks', () => has(entries(), '1.1', 'ticks'))
    first.kill('SIGSTOP')
    const second = await start()
    await second.until('it says nothing', () => second.output.includes('waits for a process that does not answer'))
    expect(has(entries(), '2.1', 'begins')).toBe(false)
    first.kill('SIGCONT')
    await second.until('it does not wait', () => second.output.includes('waits until 1.1 has ended it'))
    first.kill('SIGKILL')
    await until('2.1 ticks', () => has(entries(), '2.1', 'ticks'))
    expect(turns(entries()).map(({ who }) => who)).toEqual(['1.1', '2.1'])
  })
})

describe('strangers', () => {
  /** Takes the name as another program of the same machine could. */
  async function squat(name: string, onConnection: (socket: net.Socket) => void): Promise<net.Server> {
    const server = net.createServer(onConnection)
    await new Promise<void>((resolve) => server.listen(lockAddress(lockScope('scenario', {}), name), resolve))
    return server
  }

  test.each([
    ['says nothing', () => {}],
    ['closes each connection', (socket: net.Socket) => void socket.end()],
    ['says hello and closes', (socket: net.Socket) => void socket.end('holds 1.1\n')],
    ['talks nonsense', (socket: net.Socket) => void socket.write('HTTP/1.1 400 Bad Request\r\n\r\n')],
    ['talks without end', (socket: net.Socket) => void socket.write('x'.repeat(100_000))],
  ])('one that %s is named in the log, costs little, and is outlived', async (_, onConnection) => {
    await using supervisor = new Supervisor()
    const { name, start, entries } = makeTicker(supervisor)
    let connections = 0
    const sockets = new Set<net.Socket>()
    const server = await squat(name, (socket) => {
      connections++
      sockets.add(socket.on('error', () => {}))
      onConnection(socket)
    })
    const instance = await start()
    await instance.until('it says nothing', () => instance.output.includes('waits for a process that does not answer'))
    expect(connections).toBeLessThan(20)
    server.close()
    for (const socket of sockets) socket.destroy()
    await until('1.1 ticks', () => has(entries(), '1.1', 'ticks'), 2000)
    instance.kill('SIGTERM')
    expect(await instance.untilExit()).toBe(0)
  })

  test('one that connects, talks, and stays does not disturb the holder', async () => {
    await using supervisor = new Supervisor()
    const { name, start, entries } = makeTicker(supervisor)
    const first = await start()
    await until('1.1 ticks', () => has(entries(), '1.1', 'ticks'))
    const path = lockAddress(lockScope('scenario', {}), name)
    const strangers = ['', 'waits 99999999999\n', 'nonsense\n', 'x'.repeat(1_000_000), 'waits NaN\nwaits -1\n'].map((text) => {
      const socket = net.connect({ path }).on('error', () => {})
      socket.write(text)
      return socket.resume()
    })
    const second = await start()
    await second.until('it does not wait', () => second.output.includes('waits until 1.1'))
    first.kill('SIGTERM')
    expect(await first.untilExit()).toBe(0)
    await until('2.1 ticks', () => has(entries(), '2.1', 'ticks'))
    expect(Math.max(...gaps(entries()))).toBeLessThan(1000)
    for (const socket of strangers) socket.destroy()
  })
})

describe('the function', () => {
  test('bad input, early ends and errors', async () => {
    await using supervisor = new Supervisor()
    const instance = await supervisor.start('exclusive-input.mjs')
    await instance.until('it is not done', () => instance.output.includes('done'))
    instance.kill('SIGTERM')
    expect(await instance.untilExit()).toBe(0)
    for (const line of [
      'no name: TypeError: the name of exclusive work must be a string, not undefined', 'empty name: TypeError: the name of exclusive work must not be empty',
      'no function: TypeError: exclusive work must be a function, not undefined', 'huge runs', 'huge name: settled undefined', 'lines runs',
      'result: settled undefined', 'throws: Error: at once', 'exclusive work throws has failed: at once', 'rejects: Error: later',
      'exclusive work rejects has failed: later', 'again: settled undefined',
      'second: TypeError: exclusive work twice is there already in this process', 'first: settled undefined',
    ]) expect(instance.output).toContain(line)
    expect(instance.output).not.toContain('second runs')
    expect(instance.output).toContain('in the drain: settled undefined')
    expect(instance.output).not.toContain('late runs')
  })

  test('takes no listener of the instance, and no warning comes of its socket', async () => {
    await using supervisor = new Supervisor()
    await supervisor.listen('http')
    const { start, entries } = makeTicker(supervisor)
    const instance = await start({ listeners: ['http'] })
    await until('1.1 ticks', () => has(entries(), '1.1', 'ticks'))
    expect(instance.output).not.toMatch(/is not in \[listen\]|takes http/)
    expect(instance.isReady).toBe(false)
    instance.kill('SIGTERM')
    expect(await instance.untilExit()).toBe(0)
    expect(instance.output).toMatch(/0 connections ended/)
  })

  test('threads, cluster workers and children of an instance share the lock', async () => {
    await using supervisor = new Supervisor()
    const instance = await supervisor.start('exclusive-elsewhere.mjs')
    const lines = (): string[] => instance.output.match(/^(main|thread|child|cluster worker) (begins|ends)$/gm) ?? []
    await instance.until('not all had their turn', () => lines().length === 8)
    for (let n = 0; n < 8; n += 2) expect(lines()[n]?.replace('begins', 'ends')).toBe(lines()[n + 1])
    instance.kill('SIGTERM')
    expect(await instance.untilExit()).toBe(0)
  })

  test('outside Holdfast it runs at once, in every process', async () => {
    await using supervisor = new Supervisor()
    const { start, entries } = makeTicker(supervisor)
    const both = await Promise.all([start({ holdfast: false, notify: false }), start({ holdfast: false, notify: false })])
    await until('both tick', () => entries().filter(({ what }) => what === 'begins').length === 2)
    for (const instance of both) instance.kill('SIGTERM')
  })
})
