/** The two native packages are really loaded, and without them every message still arrives. */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import { makeShop, type Shop } from './apps.js'
import { checkout, expectSuccess, holdfast, mustRun, root, show, systemctl } from './harness.js'

/** Entries of the journal with these fields, as objects. */
async function entries(...matches: string[]): Promise<Record<string, string>[]> {
  await mustRun('journalctl', ['--sync'])
  const text = await mustRun('journalctl', ['--output=json', '--no-pager', ...matches])
  return text.split('\n').filter(Boolean).map((line) => JSON.parse(line) as Record<string, string>)
}

const shopThatLogs = async (prefix: string): Promise<Shop> => {
  const shop = await makeShop(prefix, { config: 'watchdog = "5s"\n[start]\nsettle = "300ms"' })
  await shop.release('1', {
    before: `import { log, status } from ${JSON.stringify(`${checkout}/dist/runtime/index.js`)}\nlog.warn('the stock is low', { itemsLeft: 3 })\nstatus('counting 100% of the rope')`,
  })
  return shop
}

it('loads both, compiled for this node', async () => {
  const text = await mustRun(process.execPath, ['--input-type=module', '-e', `
    import { createRequire } from 'node:module'
    const require = createRequire(${JSON.stringify(`${root}/package.json`)})
    console.log(typeof require('sd-notify').sendState, typeof require('systemd-journald'))`])
  expect(text.trim()).toBe('function function')
})

describe.each([
  ['natively', false],
  ['by fallback', true],
])('%s', (_, fallback) => {
  it('readiness, status, watchdog and log of an instance, and the story of a handover, arrive', async () => {
    const shop = await shopThatLogs('native')
    if (fallback) {
      for (const unit of [`${shop.name}@.service`, shop.service]) {
        const folder = `/etc/systemd/system/${unit}.d`
        await mkdir(folder)
        onTestFinished(() => rm(folder, { recursive: true, force: true }))
        await writeFile(`${folder}/fallback.conf`, '[Service]\nEnvironment=HOLDFAST_NATIVE=off\n')
      }
    }
    expectSuccess(await holdfast('install', shop.config))
    const unit = `${shop.name}@1.1.service`
    // Type=notify: active is what READY=1 makes it.
    expect(await show(unit, 'ActiveState', 'StatusText', 'NRestarts')).toMatchObject({ ActiveState: 'active', NRestarts: '0' })
    expect((await show(unit, 'StatusText')).StatusText).toContain('counting 100% of the rope')
    expect((await show(unit, 'WatchdogUSec')).WatchdogUSec).toBe('5s')
    expect(Number((await show(unit, 'WatchdogTimestampMonotonic')).WatchdogTimestampMonotonic)).toBeGreaterThan(0)

    const [logged] = await entries(`_SYSTEMD_UNIT=${unit}`, 'PRIORITY=4')
    expect(logged?.['MESSAGE']).toContain('the stock is low')
    if (!fallback) expect(logged).toMatchObject({ HOLDFAST_APP: shop.name, HOLDFAST_GENERATION: '1', ITEMS_LEFT: '3', SYSLOG_IDENTIFIER: shop.name })

    expectSuccess(await systemctl('restart', shop.name))
    const [live] = (await entries(`HOLDFAST_APP=${shop.name}`, 'HOLDFAST_PHASE=deploy-live')).slice(-1)
    expect(live).toMatchObject({
      MESSAGE_ID: '4c1f7a52e0b84a0f9d6e2b7c15a3f903', HOLDFAST_GENERATION: '2', HOLDFAST_PREVIOUS_GENERATION: '1',
      SYSLOG_IDENTIFIER: 'holdfast', PRIORITY: '5',
    })
    // Found by its unit, as people look for it.
    expect(await mustRun('journalctl', ['--no-pager', '--unit', shop.service])).toContain('Generation 2 is live')
    expect(Number(live?.['HOLDFAST_DURATION_MS'])).toBeGreaterThan(0)
  })
})
