import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { waitUntilFree } from '../../../../src/cli/operation-client.js'
import { ownIdentity } from '../../../../src/deploy/operation/deploy-owner.js'
import type { DeployEvent } from '../../../../src/deploy/operation/progress.js'
import { planUninstall, uninstall } from '../../../../src/deploy/install/uninstall.js'
import { requireInstalled } from '../../../../src/deploy/install/uninstall-mark.js'
import { pathsOf, placesOf, type AppPaths, type Places } from '../../../../src/release/paths.js'
import type { Systemd } from '../../../../src/systemd/systemd.js'
import { unitState } from '../unit-state.js'

function makeApp(): { places: Places; paths: AppPaths } {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-uninstall-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const places = { ...placesOf('system'), config: join(folder, 'etc'), units: join(folder, 'units'), runtimeUnits: join(folder, 'runtime'), state: join(folder, 'state'), run: join(folder, 'run') }
  const paths = pathsOf(places, 'shop')
  mkdirSync(paths.state, { recursive: true })
  writeFileSync(join(paths.state, 'manifest.json'), JSON.stringify({ version: 1, app: 'shop', node: '', cli: '', homePaths: [], units: [], files: [] }))
  return { places, paths }
}

/** As systemctl matches; of wildcards, `*` alone. */
const matchesGlob = (unit: string, pattern: string): boolean => new RegExp(`^${pattern.replaceAll('.', '\\.').replaceAll('*', '.*')}$`).test(unit)

/** A systemd in which these units are up, until they are stopped. */
function makeSystemd(up: Set<string>, onStop: (units: readonly string[]) => void = () => {}): Systemd & { stopped: string[] } {
  const stopped: string[] = []
  return {
    scope: 'system',
    stopped,
    show: async (units: readonly string[]) => units.map((unit) => unitState({ unit, load: up.has(unit) ? 'loaded' : 'not-found', active: up.has(unit) ? 'active' : 'inactive' })),
    list: async () => [...up].filter((unit) => unit.includes('@')),
    run: async (_: string, units: readonly string[]) => {
      stopped.push(...units)
      for (const unit of units) up.delete(unit)
      onStop(units)
      return { ok: true, message: '' }
    },
    resetFailed: async () => {},
    disable: async () => {},
    daemonReload: async () => {},
  } as unknown as Systemd & { stopped: string[] }
}

const printer = (events: DeployEvent[] = []) => ({ event: (event: DeployEvent) => void events.push(event), activity: () => {}, clear: () => {} })
const never = new AbortController().signal

it('an uninstall stops once more what a deploy starts as it ends, and marks itself before all', async () => {
  const { places, paths } = makeApp()
  const up = new Set(['shop-deploy.service', 'shop@1.1.service'])
  let isMarked = false
  const systemd = makeSystemd(up, (units) => {
    if (units.includes('shop-deploy.service') && units.length === 1) {
      expect(() => requireInstalled(paths)).toThrow('somebody uninstalls shop: nothing was begun')
      isMarked = true
      up.add('shop-after-drain.service')
    }
  })
  await uninstall(planUninstall(places, 'shop', { purge: false }), systemd)
  expect(isMarked).toBe(true)
  expect(systemd.stopped.indexOf('shop-after-drain.service')).toBeGreaterThan(systemd.stopped.indexOf('shop@1.1.service'))
  expect(up).toEqual(new Set())
  expect(existsSync(paths.state)).toBe(false)
  expect(existsSync(paths.run)).toBe(false)
})

it('an uninstall leaves no unit that was made on the way: private sockets, the probe of a killed handover, an expiry', async () => {
  const { places, paths } = makeApp()
  const up = new Set(['shop@1.1.service', 'shop@1.1.socket', 'shop@7.2.socket', 'shop-health-7.2.service', 'shop-expiry.timer', 'other@1.1.socket', 'shop-health-3@1.1.service'])
  const systemd = { ...makeSystemd(up), list: async (pattern: string) => [...up].filter((unit) => matchesGlob(unit, pattern)) }
  await uninstall(planUninstall(places, 'shop', { purge: false }), systemd)
  expect([...up]).toEqual(['other@1.1.socket', 'shop-health-3@1.1.service'])
  // An open one would start its instance again.
  expect(systemd.stopped.indexOf('shop@1.1.socket')).toBeLessThan(systemd.stopped.indexOf('shop@1.1.service'))
  expect(existsSync(paths.run)).toBe(false)
})

it('who waits for the lock gives up when the app is removed, and when it is gone', async () => {
  const { paths } = makeApp()
  const up = new Set(['shop-deploy.service'])
  const systemd = makeSystemd(up)
  mkdirSync(paths.run, { recursive: true })
  const mark = join(paths.run, 'uninstall.json')
  writeFileSync(mark, JSON.stringify(ownIdentity()))
  await expect(waitUntilFree({ paths, systemd }, printer(), never)).rejects.toMatchObject({ code: 'not-installed', message: 'somebody uninstalls shop: nothing was begun' })

  // One that was cut off holds nobody up.
  writeFileSync(mark, JSON.stringify({ ...ownIdentity(), start: '1' }))
  const events: DeployEvent[] = []
  writeFileSync(join(paths.state, 'deploy.json'), JSON.stringify({ id: 'd1', kind: 'rollback', by: 'ann', what: 'release r1', since: new Date().toISOString(), step: 'handover' }))
  const waits = waitUntilFree({ paths, systemd }, printer(events), never)
  up.delete('shop-deploy.service')
  rmSync(join(paths.state, 'deploy.json'))
  await waits

  up.add('shop-deploy.service')
  rmSync(join(paths.state, 'manifest.json'))
  await expect(waitUntilFree({ paths, systemd }, printer(), never)).rejects.toMatchObject({ code: 'not-installed', message: 'shop was uninstalled meanwhile: nothing was begun' })
  expect(readFileSync(mark, 'utf8')).toContain('"start":"1"')
})
