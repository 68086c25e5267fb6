// How connections spread over processes; see scripts/spread.
import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { readReport } from '../../dist/deploy/checks/reports.js'
import { pathsOf, placesOf } from '../../dist/release/paths.js'
import { keepConnections, openConnections } from './spread-load.mjs'

const [rounds = 5, seconds = 1] = process.argv.slice(2).map(Number)
const run = promisify(execFile)
const program = new URL('../../dist/cli/main.js', import.meta.url).pathname
const registerModule = '/opt/holdfast/dist/runtime/register.js'

const fresh = (perSecond) => ({ words: `new ${perSecond}/s`, load: (port) => openConnections(port, { perSecond, seconds }) })
const pool = (size, apartMs) => ({
  words: `pool of ${size}, ${apartMs > 0 ? 'one by one' : 'at once'}`, load: (port) => keepConnections(port, { size, apartMs, seconds }),
})
const allClients = [fresh(20), fresh(100), fresh(500), pool(2, 20), pool(8, 20), pool(8, 0), pool(32, 20)]
const layouts = [
  { processes: 2, clients: allClients },
  { processes: 4, clients: allClients },
  { workers: 2, clients: allClients },
  { workers: 4, clients: allClients },
  { processes: 2, isBusy: true, clients: [fresh(100), pool(8, 20)] },
  { workers: 2, isBusy: true, clients: [fresh(100), pool(8, 20)] },
  { processes: 2, requestsEach: 10, clients: [pool(8, 0)] },
]

if (process.env.WITH_SYSTEMD === undefined) {
  console.error('Error: scripts/lib/spread.mjs writes to /srv and /etc, and is only for the private systemd.\nTry: scripts/spread')
  process.exit(2)
}
try {
  console.log(`systemd ${process.env.WITH_SYSTEMD}, node ${process.version}, ${cpus().length} cores; ${rounds} rounds of ${seconds} s each\n`)
  printRow(['app', 'clients', 'connections %', 'requests %', 'busiest:idlest', 'ms p50', 'p95'])
  for (const [index, layout] of layouts.entries()) await measure(layout, `spread-${index + 1}`)
} catch (error) {
  console.error(`Error: ${error.message}${error.stderr ?? ''}`)
  process.exitCode = 1
}

async function measure(layout, app) {
  const { processes = 1, workers = 0, isBusy = false, requestsEach = 0, clients } = layout
  const names = Array.from({ length: Math.max(processes, workers) }, (_, index) => String(index + 1))
  const port = await freePort()
  await install(app, { processes, workers, isBusy, requestsEach, port })
  try {
    await allAnswer(port, names)
    for (const { words, load } of clients) {
      const results = []
      for (let round = 0; round < rounds; round++) {
        const before = await counts(app, processes)
        const answers = await load(port)
        await expectCounted(app, before, answers, workers > 0)
        results.push(answers)
      }
      const all = results.flat()
      const times = all.map(({ ms }) => ms).sort((a, b) => a - b)
      const ratios = results.map((answers) => ratioOf(share(answers.filter(({ isFirst }) => isFirst), names))).sort((a, b) => a - b)
      printRow([
        wordsOf(layout), words, percent(share(all.filter(({ isFirst }) => isFirst), names)), percent(share(all, names)),
        `${ratioWords(at(ratios, 0.5))} (${ratioWords(at(ratios, 1))})`, at(times, 0.5).toFixed(1), at(times, 0.95).toFixed(1),
      ])
    }
  } finally {
    await run('systemctl', ['stop', `${app}.service`, `${app}-drain.service`])
    await run(process.execPath, [program, 'uninstall', app])
  }
}

function wordsOf({ processes, workers, isBusy, requestsEach }) {
  return `${workers ? `${workers} cluster workers` : `processes = ${processes}`}${isBusy ? ', 1st busy' : ''}${requestsEach ? `, ${requestsEach} each` : ''}`
}

async function install(app, { processes, workers, isBusy, requestsEach, port }) {
  const folder = `/srv/${app}`
  mkdirSync(folder)
  cpSync(new URL('spread-server.mjs', import.meta.url), join(folder, 'server.mjs'))
  writeFileSync(join(folder, 'holdfast.toml'), `app = "${app}"
directory = "${folder}"
command = ["node", "--import", "${registerModule}", "server.mjs"]
processes = ${processes}
env = { WORKERS = "${workers}", BUSY = "${isBusy ? 1 : 0}", REQUESTS_EACH = "${requestsEach}" }
[start]
settle = "200ms"
[drain]
timeout = "10s"
[listen]
http = "127.0.0.1:${port}"
`)
  await run(process.execPath, [program, 'install', join(folder, 'holdfast.toml')])
}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}

/** READY=1 comes with the first worker that listens. */
async function allAnswer(port, names) {
  const deadline = performance.now() + 30_000
  const seen = new Set()
  while (seen.size < names.length) {
    if (performance.now() > deadline) throw new Error(`only ${[...seen].join(', ')} of ${names.join(', ')} have answered within 30 s`)
    for (const { process } of await keepConnections(port, { size: 16, apartMs: 0, seconds: 0.2 })) seen.add(process)
  }
}

/** Requests that the instances have answered, as they report it. */
async function counts(app, processes) {
  const paths = pathsOf(placesOf('system'), app)
  const reports = await Promise.all(Array.from({ length: processes }, (_, index) => readReport(paths, { generation: 1, process: index + 1 }, { timeoutMs: 5_000 })))
  return reports.map((report, index) => {
    if (!report) throw new Error(`${app}@1.${index + 1}.service does not report`)
    return report.requests
  })
}

/** An instance counts an answer a moment after its client has it. */
async function expectCounted(app, before, answers, isOne) {
  const seen = before.map((_, index) => answers.filter(({ process }) => isOne || process === String(index + 1)).length)
  const deadline = performance.now() + 5_000
  for (;;) {
    const counted = (await counts(app, before.length)).map((count, index) => count - before[index])
    if (counted.every((count, index) => count === seen[index])) return
    if (performance.now() > deadline) throw new Error(`${app} reports ${counted.join(', ')} requests, the clients saw ${seen.join(', ')}`)
    await delay(20)
  }
}

/** How many of the answers each process gave. */
function share(answers, names) {
  return names.map((name) => answers.filter(({ process }) => process === name).length)
}

function percent(amounts) {
  const sum = amounts.reduce((a, b) => a + b)
  return amounts.map((amount) => String(Math.round((100 * amount) / sum))).join(' ')
}

function ratioOf(amounts) {
  return Math.max(...amounts) / Math.min(...amounts)
}

function ratioWords(ratio) {
  return Number.isFinite(ratio) ? ratio.toFixed(1) : '-'
}

function at(sorted, quantile) {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * quantile))]
}

function printRow(cells) {
  const widths = [29, 24, 15, 15, 16, 8, 8]
  console.log(cells.map((cell, index) => (index > 4 ? cell.padStart(widths[index]) : cell.padEnd(widths[index]))).join('').trimEnd())
}
