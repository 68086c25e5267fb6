// @ts-check
/**
 * The demo, run by scripts/demo inside a private systemd: a shop under steady traffic, three releases and a broken one,
 * each by a plain `systemctl restart shop`, and then the ledger.
 */
import { fileURLToPath } from 'node:url'
import { startTraffic } from '../test/traffic/traffic.js'
import { mustRun, readActiveState, readJournal, run, waitForAnswer } from './machine.js'
import { Progress } from './progress.js'
import { printLedger } from './report.js'
import { changeShop, placeShop, shopFolder } from './shop.js'
import { judge } from './verdict.js'

/** @typedef {import('./verdict.js').Deploy} Deploy */

const address = '127.0.0.1:8080'
const first = '1.0.0'
const steadyMs = 5_000
const plan = [
  { release: '2.0.0', broken: false, currency: 'EUR', news: 'a new version' },
  { release: '3.0.0', broken: false, currency: 'USD', news: 'prices in dollars' },
  { release: '3.1.0', broken: true, currency: 'EURO', news: 'a mistake in shop.json: "currency": "EURO"' },
  { release: '4.0.0', broken: false, currency: 'EUR', news: 'the mistake mended' },
]

if (process.env['WITH_SYSTEMD'] === undefined) {
  console.error('Error: demo/main.js writes to /srv and /etc, and is only for the private systemd.\nTry: scripts/demo')
  process.exit(2)
}

const root = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '')
try {
  process.exitCode = await show()
} catch (error) {
  console.error(`Error: ${error instanceof Error ? error.message : error}`)
  process.exitCode = 1
}

async function show() {
  const version = (await mustRun(['systemctl', '--version'])).split('\n')[0]
  console.log(`A private ${version}, node ${process.version}.\n`)
  await placeShop(root)
  console.log(`$ holdfast install ${shopFolder}/holdfast.toml`)
  process.stdout.write(await mustRun(['/usr/local/bin/holdfast', 'install', `${shopFolder}/holdfast.toml`]))
  const answering = await waitForAnswer(`http://${address}/`, 30_000)
  if (answering !== first) throw new Error(`release ${JSON.stringify(answering)} answers, expected ${first}`)

  console.log('\nSteady traffic: keep-alive, fetch, new connections, POSTs, 5 s downloads.\n')
  const traffic = startTraffic({ address, maxMs: 180_000 })
  const progress = new Progress(process.stdout, traffic)
  progress.start()
  /** @type {Deploy[]} */
  const deploys = []
  try {
    await flowFor(traffic, steadyMs)
    for (const step of plan) {
      const deploy = await restartShop(step, traffic, progress)
      deploys.push(deploy)
      if (!step.broken && deploy.status !== 0) break // nothing after it would show what it is meant to
      await flowFor(traffic, steadyMs)
    }
    progress.say('No new requests; the last downloads end.')
  } finally {
    await traffic.stop().catch(() => {}) // a fault of the traffic is thrown below
    progress.stop()
  }
  const ledger = await traffic.stop()
  const socketState = await readActiveState('shop-http.socket')
  const faults = judge(ledger, deploys, { first, planned: plan.length, socketState })
  const stories = await Promise.all(
    deploys
      .filter((deploy) => deploy.broken || deploy.status !== 0)
      .map(async (deploy) => ({ deploy, journal: await readJournal('shop', traffic.originMs + deploy.fromMs, traffic.originMs + deploy.toMs + 500) })),
  )
  printLedger(process.stdout, { ledger, first, deploys, faults, stories })
  return faults.length === 0 ? 0 : 1
}

/**
 * One deploy: change the folder, `systemctl restart shop`.
 *
 * @param {(typeof plan)[number]} step
 * @param {import('../test/traffic/traffic.js').Traffic} traffic
 * @param {Progress} progress
 * @returns {Promise<Deploy>}
 */
async function restartShop({ release, broken, currency, news }, traffic, progress) {
  changeShop(release, { currency })
  progress.say(`${shopFolder} is ${release} now: ${news}`)
  progress.say('$ systemctl restart shop')
  const fromMs = traffic.nowMs
  const { status } = await traffic.during(release, () => run(['systemctl', 'restart', 'shop'], { timeoutMs: 60_000 }))
  const toMs = traffic.nowMs
  const took = `after ${((toMs - fromMs) / 1_000).toFixed(1)} s`
  if (status === 0) progress.say(`${release} serves, ${took}`)
  else progress.say(`exit status ${status} ${took}${broken ? ', as it should be: the release before it serves on' : ''}`)
  return { release, broken, status, activeState: await readActiveState('shop.service'), fromMs, toMs }
}

/**
 * Time passes, but only with answers in it.
 *
 * @param {import('../test/traffic/traffic.js').Traffic} traffic
 * @param {number} ms
 */
async function flowFor(traffic, ms) {
  const endMs = traffic.nowMs + ms
  await traffic.until(() => traffic.nowMs >= endMs, { timeoutMs: ms + 15_000 })
}
