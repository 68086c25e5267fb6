import { mkdtempSync, rmSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test, vi } from 'vitest'
import { JournalFlow, type Entry } from '../../../src/runtime/journal-flow.js'

const directory = mkdtempSync(join(tmpdir(), 'holdfast-flow-'))
afterEach(() => vi.useRealTimers())

const entry = (number: number, message = ''): Entry => ({ priority: 6, message: `${number}${message}`, fields: {} })
const numbers = (entries: Entry[]): number[] => entries.map(({ message }) => Number.parseInt(message, 10))

/** A journald that reads when it is told to, and a flow to it. */
async function makeJournald({ limit = 8, backlog = 511 } = {}): Promise<{ flow: JournalFlow; read: Entry[]; answer(): void; asked(): Promise<void>; close(): void; path: string }> {
  const socketPath = join(directory, `${Math.random()}`)
  const held: net.Socket[] = []
  const waiters: (() => void)[] = []
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    held.push(socket.resume())
    for (const wake of waiters.splice(0)) wake()
  })
  await new Promise<void>((resolve) => server.listen({ path: socketPath, backlog }, resolve))
  const read: Entry[] = []
  return {
    flow: new JournalFlow((each) => read.push(each), { socketPath, limit }),
    read,
    asked: () => (held.length > 0 ? Promise.resolve() : new Promise((resolve) => waiters.push(resolve))),
    answer: () => held.splice(0).forEach((socket) => socket.end()),
    close: () => void server.close(),
    path: socketPath,
  }
}

test('entries go out at once, up to the limit; the rest waits for an answer, and keeps its order', async () => {
  const { flow, read, asked, answer, close } = await makeJournald()
  for (let number = 0; number < 50; number++) flow.send(entry(number))
  expect(numbers(read)).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
  while (read.length < 50) {
    const before = read.length
    await asked()
    answer()
    await vi.waitFor(() => expect(read.length).toBeGreaterThan(before))
    // Never more than the limit ahead of what was answered.
    expect(read.length - before).toBeLessThanOrEqual(8)
  }
  expect(numbers(read)).toEqual(Array.from({ length: 50 }, (_, number) => number))
  close()
})

test('entries go out up to a size, fields and all; the rest waits for an answer', async () => {
  const { flow, read, asked, answer, close } = await makeJournald({ limit: 1000 })
  const field = { priority: 6, fields: { TEXT: 'x'.repeat(30_000) } }
  for (let number = 0; number < 8; number++) flow.send({ ...field, message: String(number) })
  // 64 KiB are full with the third.
  expect(numbers(read)).toEqual([0, 1, 2])
  while (read.length < 8) {
    const before = read.length
    await asked()
    answer()
    await vi.waitFor(() => expect(read.length).toBeGreaterThan(before))
    expect(read.length - before).toBeLessThanOrEqual(3)
  }
  expect(numbers(read)).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
  close()
})

test('no room for the question (EAGAIN) is no answer: it is asked again after a second', async () => {
  const { flow, read, asked, answer, close, path } = await makeJournald({ limit: 2, backlog: 1 })
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  // Nothing is accepted before the event loop turns: these fill the queue.
  const crowd = Array.from({ length: 4 }, () => net.connect(path).on('error', () => {}))
  for (let number = 0; number < 5; number++) flow.send(entry(number))
  // Node reports it in one of the next turns.
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
  expect(numbers(read)).toEqual([0, 1])
  expect(vi.getTimerCount()).toBe(2) // patience, and the next question
  await asked()
  answer()
  for (const socket of crowd) socket.destroy()
  vi.advanceTimersByTime(1000)
  vi.useRealTimers()
  expect(numbers(read)).toEqual([0, 1])
  while (read.length < 5) {
    const before = read.length
    await asked()
    answer()
    await vi.waitFor(() => expect(read.length).toBeGreaterThan(before))
  }
  expect(numbers(read)).toEqual([0, 1, 2, 3, 4])
  close()
})

test('what does not fit into memory is counted, and said in its place', async () => {
  const { flow, read, asked, answer, close } = await makeJournald({ limit: 2 })
  const megabyte = 'x'.repeat(1024 * 1024)
  for (let number = 0; number < 20; number++) flow.send(entry(number, megabyte))
  while (!read.some(({ fields }) => fields['DROPPED_ENTRIES'])) {
    const before = read.length
    await asked()
    answer()
    await vi.waitFor(() => expect(read.length).toBeGreaterThan(before))
  }
  const [notice] = read.filter(({ fields }) => fields['DROPPED_ENTRIES'])
  expect(read.length - 1 + Number(notice?.fields['DROPPED_ENTRIES'])).toBe(20)
  expect(notice?.message).toMatch(/^\d+ log entries are missing here/)
  expect(read.at(-1)).toBe(notice)
  flow.send(entry(20))
  expect(numbers(read).at(-1)).toBe(20)
  close()
})

test('at the end of the process what waits goes out, unless journald stands still: then it is given back', async () => {
  const quick = await makeJournald()
  for (let number = 0; number < 10; number++) quick.flow.send(entry(number))
  expect(quick.flow.end()).toEqual([])
  expect(numbers(quick.read)).toHaveLength(10)
  quick.close()

  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const stuck = await makeJournald()
  for (let number = 0; number < 3; number++) stuck.flow.send(entry(number))
  vi.advanceTimersByTime(1500)
  for (let number = 3; number < 6; number++) stuck.flow.send(entry(number))
  expect(numbers(stuck.read)).toEqual([0, 1, 2])
  expect(numbers(stuck.flow.end())).toEqual([3, 4, 5])
  stuck.close()
})

test('without anybody to ask all goes out', async () => {
  const read: Entry[] = []
  const flow = new JournalFlow((each) => read.push(each), { socketPath: join(directory, 'nobody'), limit: 2 })
  for (let number = 0; number < 10; number++) flow.send(entry(number))
  await vi.waitFor(() => expect(numbers(read)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]))
  for (let number = 10; number < 20; number++) flow.send(entry(number))
  expect(read).toHaveLength(20)
  rmSync(directory, { recursive: true, force: true })
})
