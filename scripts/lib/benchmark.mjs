// What the runtime costs per request and in memory; see scripts/benchmark.
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const [rounds = 7, seconds = 3] = process.argv.slice(2).map(Number)
const connections = 32
const warmUpSeconds = 1
const server = new URL('benchmark-server.mjs', import.meta.url).pathname
const kinds = ['bare', 'bare again', 'holdfast']

/** Starts processes with inherited sockets and NOTIFY_SOCKET, as systemd does: the one of the process tests. */
class Supervisor {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-benchmark-'))
  #child = spawn('python3', ['test/process/supervisor.py', this.folder], { stdio: ['pipe', 'pipe', 'inherit'] })
  #events = []
  #wake = () => {}
  #count = 0

  constructor() {
    let rest = ''
    this.#child.stdout.setEncoding('utf8').on('data', (piece) => {
      const lines = (rest + piece).split('\n')
      rest = lines.pop()
      for (const line of lines) this.#events.push(JSON.parse(line))
      this.#wake()
    })
  }

  async listen(name) {
    this.#send({ op: 'listen', name, address: '127.0.0.1:0' })
    return (await this.next((event) => event.event === 'listening' && event.name === name)).address
  }

  /** @returns {Promise<{ id: string, pid: number, url: string }>} */
  async start(kind) {
    const id = String(++this.#count)
    const holdfast = kind === 'holdfast'
    const name = `http-${id}`
    const address = holdfast ? await this.listen(name) : ''
    const identity = {
      HOLDFAST_APP: 'benchmark', HOLDFAST_RELEASE: '1', HOLDFAST_GENERATION: id, HOLDFAST_INSTANCE: `${id}.1`,
      HOLDFAST_LISTEN: JSON.stringify([{ name, address, backlog: 4096 }]), HOLDFAST_DRAIN_TIMEOUT_MS: '20000',
    }
    const preload = holdfast ? ['--import', 'holdfast/register'] : []
    this.#send({
      op: 'spawn', id, pass_listeners: holdfast ? [name] : [], notify: holdfast,
      argv: [...pinned(0), process.execPath, '--expose-gc', ...preload, server],
      // A port of its own: only the listener that was passed can be another.
      env: { PATH: process.env.PATH, PORT: holdfast ? '1' : '0', ...(holdfast ? identity : {}) },
    })
    const { pid } = await this.next((event) => event.event === 'spawned' && event.id === id)
    const { port } = await this.said(id, 'port')
    // Else the two would be the same thing measured twice.
    if (holdfast) await this.next((event) => event.event === 'notify' && event.data.includes('READY=1'))
    return { id, pid, url: `http://127.0.0.1:${port}/` }
  }

  async rss({ id, pid }) {
    process.kill(pid, 'SIGUSR2')
    return (await this.said(id, 'rss')).rss
  }

  /** A line that the app prints, as JSON. */
  async said(id, key) {
    const { text } = await this.next((event) => event.event === 'output' && event.id === id && event.text.includes(`"${key}"`))
    return JSON.parse(text.split('\n').find((line) => line.includes(`"${key}"`)))
  }

  async stop({ id, pid }) {
    process.kill(pid, 'SIGKILL')
    await this.next((event) => event.event === 'exit' && event.id === id)
  }

  /** Takes the first event that matches, or waits for it. */
  async next(matches) {
    const deadline = setTimeout(() => {
      console.error('Error: an app did not do what it should within 20 s; what it said:', this.#events)
      process.exit(1)
    }, 20_000)
    for (;;) {
      const index = this.#events.findIndex(matches)
      if (index >= 0) {
        clearTimeout(deadline)
        return this.#events.splice(index, 1)[0]
      }
      await new Promise((resolve) => (this.#wake = resolve))
    }
  }

  async end() {
    this.#child.stdin.end()
    await once(this.#child, 'exit')
    rmSync(this.folder, { recursive: true })
  }

  #send(command) {
    this.#child.stdin.write(`${JSON.stringify(command)}\n`)
  }
}

/** Server and load on a core each, so that they do not push each other around. */
function pinned(core) {
  return availableParallelism() > 1 ? ['taskset', '--cpu-list', String(core)] : []
}

/** Nanoseconds of processor time of all threads. */
function processorNs(pid) {
  const tasks = readdirSync(`/proc/${pid}/task`)
  return tasks.reduce((sum, task) => sum + Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]), 0)
}

/** Load for some seconds: how many requests were answered, and what they cost the server. */
async function load(process_, forSeconds) {
  const [command, ...args] = [...pinned(1), 'wrk', '--threads', '1', '--connections', String(connections), '--duration', `${forSeconds}s`, process_.url]
  const before = processorNs(process_.pid)
  const { stdout } = await promisify(execFile)(command, args)
  const requests = Number(/(\d+) requests in/.exec(stdout)?.[1])
  const perSecond = Number(/Requests\/sec:\s*([\d.]+)/.exec(stdout)?.[1])
  if (!(requests > 0) || /Non-2xx|Socket errors/.test(stdout)) throw new Error(`wrk: ${stdout}`)
  return { requests, perSecond, processorNs: processorNs(process_.pid) - before }
}

const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b)
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2
}

/** One fresh process of each kind, measured in turn. */
async function measureRound(supervisor, round) {
  const order = [...kinds.slice(round % kinds.length), ...kinds.slice(0, round % kinds.length)]
  const found = Object.fromEntries(kinds.map((kind) => [kind, { perSecond: [], requests: 0, processorNs: 0, rss: [] }]))
  const running = {}
  for (const kind of order) running[kind] = await supervisor.start(kind)
  for (const kind of order) found[kind].rss.push(await supervisor.rss(running[kind]))
  for (const kind of order) await load(running[kind], warmUpSeconds)
  // There and back: whatever drifts meanwhile is the same for all.
  for (const kind of [...order, ...order.toReversed()]) {
    const { requests, perSecond, processorNs } = await load(running[kind], seconds)
    found[kind].perSecond.push(perSecond)
    found[kind].requests += requests
    found[kind].processorNs += processorNs
  }
  for (const kind of order) found[kind].rss.push(await supervisor.rss(running[kind]))
  for (const kind of order) await supervisor.stop(running[kind])
  return Object.fromEntries(
    kinds.map((kind) => {
      const { perSecond, requests, processorNs, rss } = found[kind]
      return [kind, { perSecond: (perSecond[0] + perSecond[1]) / 2, microseconds: processorNs / requests / 1e3, freshMb: rss[0] / 2 ** 20, usedMb: rss[1] / 2 ** 20 }]
    }),
  )
}

async function main() {
  const supervisor = new Supervisor()
  const results = []
  for (let round = 0; round < rounds; round++) {
    results.push(await measureRound(supervisor, round))
    if (process.stderr.isTTY) process.stderr.write(`\r${round + 1} of ${rounds} rounds\r`)
  }
  await supervisor.end()

  const of = (kind, key) => median(results.map((result) => result[kind][key]))
  const against = (kind, key) => results.map((result) => result[kind][key] / result.bare[key])
  const above = (kind, key) => results.map((result) => result[kind][key] - result.bare[key])
  const range = (values, digits) => `${Math.min(...values).toFixed(digits)} to ${Math.max(...values).toFixed(digits)}`
  const row = (label, ...cells) => console.log(label.padEnd(34) + cells.map((cell) => cell.padStart(14)).join(''))
  console.log(`node ${process.version}, ${rounds} rounds of 2 x ${seconds} s each, ${connections} connections; medians\n`)
  row('', ...kinds)
  row('requests per second', ...kinds.map((kind) => of(kind, 'perSecond').toFixed(0)))
  row('processor time per request, us', ...kinds.map((kind) => of(kind, 'microseconds').toFixed(2)))
  row('resident memory, fresh, MB', ...kinds.map((kind) => of(kind, 'freshMb').toFixed(1)))
  row('resident memory, after load, MB', ...kinds.map((kind) => of(kind, 'usedMb').toFixed(1)))
  console.log('\nagainst bare, round by round: median (least to most)')
  row('', ...kinds.slice(1).map((kind) => kind.padStart(26)))
  const compare = (label, compute, key, digits) =>
    row(label, ...kinds.slice(1).map((kind) => `${median(compute(kind, key)).toFixed(digits)} (${range(compute(kind, key), digits)})`.padStart(26)))
  compare('ratio of requests per second', against, 'perSecond', 3)
  compare('ratio of processor time', against, 'microseconds', 3)
  compare('memory above, fresh, MB', above, 'freshMb', 1)
  compare('memory above, after load, MB', above, 'usedMb', 1)
}

await main()
