// What the runtime costs per request and in memory; see scripts/benchmark.
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const [rounds = 5, turns = 8] = process.argv.slice(2).map(Number)
const connections = 32
const warmUpSeconds = 2
const turnSeconds = 1
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

  async listen(name, address = '127.0.0.1:0') {
    this.#send({ op: 'listen', name, address })
    return (await this.next((event) => event.event === 'listening' && event.name === name)).address
  }

  /** @returns {Promise<{ id: string, pid: number, url: string }>} */
  async start(kind) {
    const id = String(++this.#count)
    const holdfast = kind === 'holdfast'
    const name = `http-${id}`
    const address = holdfast ? await this.listen(name) : ''
    // What it tells of itself has to be counted.
    const own = holdfast ? [join(this.folder, `${id}.sock`), join(this.folder, `${id}.report`)] : []
    for (const path of own) await this.listen(path, path)
    const identity = {
      HOLDFAST_APP: 'benchmark', HOLDFAST_RELEASE: '1', HOLDFAST_GENERATION: id, HOLDFAST_INSTANCE: `${id}.1`,
      HOLDFAST_LISTEN: JSON.stringify([{ name, address, backlog: 4096 }]), HOLDFAST_DRAIN_TIMEOUT_MS: '20000',
      HOLDFAST_PRIVATE_LISTENER: name, HOLDFAST_PRIVATE_SOCKET: own[0], HOLDFAST_REPORT_SOCKET: own[1],
    }
    const preload = holdfast ? ['--import', 'holdfast/register'] : []
    this.#send({
      op: 'spawn', id, pass_listeners: holdfast ? [...own, name] : [], names: ['private', 'private', name], notify: holdfast,
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

/** Each kind in turn, close together: whatever else the machine does is the same for all of them. */
async function measureTurn(running, order) {
  const result = {}
  for (const kind of order) {
    const { requests, perSecond, processorNs } = await load(running[kind], turnSeconds)
    result[kind] = { perSecond, microseconds: processorNs / requests / 1e3 }
  }
  return result
}

/** One fresh process of each kind: what it takes in memory, and the turns. */
async function measureRound(supervisor, round) {
  const rotated = (by) => [...kinds.slice(by % kinds.length), ...kinds.slice(0, by % kinds.length)]
  const running = {}
  for (const kind of rotated(round)) running[kind] = await supervisor.start(kind)
  const memory = Object.fromEntries(kinds.map((kind) => [kind, {}]))
  for (const kind of kinds) memory[kind].freshMb = (await supervisor.rss(running[kind])) / 2 ** 20
  for (const kind of kinds) await load(running[kind], warmUpSeconds)
  const measured = []
  for (let turn = 0; turn < turns; turn++) measured.push(await measureTurn(running, rotated(round + turn)))
  for (const kind of kinds) memory[kind].usedMb = (await supervisor.rss(running[kind])) / 2 ** 20
  for (const kind of kinds) await supervisor.stop(running[kind])
  return { memory, measured }
}

async function main() {
  const supervisor = new Supervisor()
  const memory = []
  const load = []
  for (let round = 0; round < rounds; round++) {
    const result = await measureRound(supervisor, round)
    memory.push(result.memory)
    load.push(...result.measured)
    if (process.stderr.isTTY) process.stderr.write(`\r${round + 1} of ${rounds} rounds\r`)
  }
  await supervisor.end()

  const of = (results, kind, key) => median(results.map((result) => result[kind][key]))
  const middle = (values, digits) => {
    const sorted = [...values].sort((a, b) => a - b)
    const at = (share) => sorted[Math.round(share * (sorted.length - 1))].toFixed(digits)
    return `${median(values).toFixed(digits)} (${at(0.25)} to ${at(0.75)})`
  }
  const row = (label, ...cells) => console.log(label.padEnd(34) + cells.map((cell) => cell.padStart(14)).join(''))
  console.log(`node ${process.version}, ${rounds} rounds of ${turns} turns, ${connections} connections; medians\n`)
  row('', ...kinds)
  row('requests per second', ...kinds.map((kind) => of(load, kind, 'perSecond').toFixed(0)))
  row('processor time per request, us', ...kinds.map((kind) => of(load, kind, 'microseconds').toFixed(2)))
  row('resident memory, fresh, MB', ...kinds.map((kind) => of(memory, kind, 'freshMb').toFixed(1)))
  row('resident memory, after load, MB', ...kinds.map((kind) => of(memory, kind, 'usedMb').toFixed(1)))
  console.log('\nagainst bare, turn by turn: median (middle half)')
  row('', ...kinds.slice(1).map((kind) => kind.padStart(26)))
  const compare = (label, results, key, digits, by) =>
    row(label, ...kinds.slice(1).map((kind) => middle(results.map((result) => by(result[kind][key], result.bare[key])), digits).padStart(26)))
  const ratio = (one, other) => one / other
  const difference = (one, other) => one - other
  compare('ratio of requests per second', load, 'perSecond', 3, ratio)
  compare('ratio of processor time', load, 'microseconds', 3, ratio)
  compare('memory above, fresh, MB', memory, 'freshMb', 1, difference)
  compare('memory above, after load, MB', memory, 'usedMb', 1, difference)
}

await main()
