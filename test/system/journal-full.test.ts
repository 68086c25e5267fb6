/** A journald that stands still, with its socket full: whoever logs goes on, and nothing is lost or wrong when it comes back. */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { afterEach, expect, it, onTestFinished } from 'vitest'
import { ask, makeShop, type Shop } from './apps.js'
import { checkout, expectSuccess, holdfast, mustRun, show, waitFor } from './harness.js'

const entriesLogged = 5_000

/** Logs so many entries at SIGUSR2, 50 in a turn of the event loop, and says so in its status. */
const logger = (count: number): string => `
import { log, status } from ${JSON.stringify(`${checkout}/dist/runtime/index.js`)}
process.on('SIGUSR2', async () => {
  for (let n = 0; n < ${count}; n++) {
    log.info('entry ' + n, { entryNumber: n })
    if (n % 50 === 49) await new Promise((resolve) => setTimeout(resolve, 1))
  }
  status('all logged')
})`

async function installShop(count: number, { native }: { native: boolean }): Promise<[Shop, string]> {
  const shop = await makeShop('frozen', { config: 'watchdog = "1s"\n[start]\nsettle = "300ms"' })
  await shop.release('1', { before: logger(count) })
  if (!native) {
    const folder = `/etc/systemd/system/${shop.name}@.service.d`
    await mkdir(folder)
    onTestFinished(() => rm(folder, { recursive: true, force: true }))
    await writeFile(`${folder}/fallback.conf`, '[Service]\nEnvironment=HOLDFAST_NATIVE=off\n')
  }
  expectSuccess(await holdfast('install', shop.config))
  return [shop, `${shop.name}@1.1.service`]
}

async function freezeAndLog(unit: string): Promise<void> {
  await mustRun('systemctl', ['kill', '--signal=SIGSTOP', 'systemd-journald'])
  await mustRun('systemctl', ['kill', '--signal=SIGUSR2', '--kill-whom=main', unit])
  await waitFor('all is logged', async () => (await show(unit, 'StatusText')).StatusText.includes('all logged'))
}

const thaw = (): Promise<string> => mustRun('systemctl', ['kill', '--signal=SIGCONT', 'systemd-journald'])
afterEach(thaw)

async function entriesOf(unit: string): Promise<Record<string, string>[]> {
  await mustRun('journalctl', ['--sync'])
  const text = await mustRun('journalctl', ['--output=json', '--no-pager', `_SYSTEMD_UNIT=${unit}`])
  return text.split('\n').filter(Boolean).map((line) => JSON.parse(line) as Record<string, string>)
}

const lastPing = async (unit: string): Promise<number> => Number((await show(unit, 'WatchdogTimestampMonotonic')).WatchdogTimestampMonotonic)

it.each([
  ['natively', true],
  ['as text', false],
])('%s: holds up neither requests nor the watchdog, and every entry is there afterwards, once and in its order', async (_, native) => {
  const [shop, unit] = await installShop(entriesLogged, { native })
  await freezeAndLog(unit)
  const before = await lastPing(unit)
  expect(await ask(shop)).toMatchObject({ status: 200 })
  // Longer than the watchdog would wait for a blocked event loop.
  await waitFor('pings', async () => (await lastPing(unit)) > before + 2_000_000)
  expect(await ask(shop)).toMatchObject({ status: 200 })
  expect(await show(unit, 'NRestarts', 'ActiveState')).toEqual({ NRestarts: '0', ActiveState: 'active' })
  await thaw()
  const numbers = await waitFor('all entries', async () => {
    const entries = await entriesOf(unit)
    const found = entries.flatMap((entry) => (native ? entry['ENTRY_NUMBER'] : /^entry .* entry_number=(\d+)$/.exec(entry['MESSAGE'] ?? '')?.[1]) ?? [])
    return found.length >= entriesLogged ? found : undefined
  })
  expect(numbers).toEqual(Array.from({ length: entriesLogged }, (_, n) => String(n)))
})

it('does not hold up a drain, and what an instance still had to say arrives as text', async () => {
  const [, unit] = await installShop(600, { native: true })
  await freezeAndLog(unit)
  // The patience with a journald that says nothing is over a second after.
  const before = await lastPing(unit)
  await waitFor('pings', async () => (await lastPing(unit)) > before + 1_100_000)
  await mustRun('systemctl', ['stop', unit])
  expect(await show(unit, 'ActiveState', 'Result')).toEqual({ ActiveState: 'inactive', Result: 'success' })
  await thaw()
  const messages = await waitFor('the last line', async () => {
    const found = (await entriesOf(unit)).map((entry) => entry['MESSAGE'] ?? '')
    return found.some((text) => text.startsWith('drained in')) ? found : undefined
  })
  // The text comes by another socket, and journald may read that one first.
  const numbers = messages.flatMap((text) => /^entry (\d+)/.exec(text)?.[1] ?? []).map(Number)
  expect(numbers.toSorted((one, other) => one - other)).toEqual(Array.from({ length: 600 }, (_, n) => n))
})
