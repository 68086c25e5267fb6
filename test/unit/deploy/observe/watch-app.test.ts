import { appendFileSync, mkdirSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { beforeEach, expect, it } from 'vitest'
import { EventWriter, eventsFile } from '../../../../src/deploy/operation/deploy-events.js'
import { AppWatch } from '../../../../src/deploy/observe/watch-app.js'
import { appendHistory } from '../../../../src/release/history.js'
import { writeManifest } from '../../../../src/release/manifest.js'
import type { Report } from '../../../../src/runtime/report.js'
import { report } from '../../cli/watched.js'
import { addRelease, bringUp, makeApp, runInstance, type AppOnDisk } from '../app-on-disk.js'

let on: AppOnDisk
let told: Report | undefined
beforeEach(() => {
  on = makeApp()
  const { paths } = on
  const units = ['shop.service', 'shop-drain.service', 'shop-activate.service', 'shop-http.socket'].map((name) => ({ name, sha256: '' }))
  writeManifest(paths, { version: 1, app: 'shop', node: process.execPath, units } as unknown as Parameters<typeof writeManifest>[1])
  addRelease(on, 'r1')
  bringUp(on, 'r1', 1)
  on.systemd.set('shop@1.1.service', { mainPid: 102 })
  told = report({ requests: 1000 })
})

function watch(): AppWatch {
  const { scope, config, units, runtimeUnits, state, run } = on.paths
  const places = { scope, config: dirname(config), units, runtimeUnits, state: dirname(state), run: dirname(run) }
  return new AppWatch(places, 'shop', on.systemd, { windowMs: 5_000, read: async () => told })
}

it('counts what has been answered between two looks', async () => {
  const watching = watch()
  const first = await watching.look({ asking: true, fresh: true })
  expect(first.view).toMatchObject({ rates: null, mayAsk: true, status: { serving: true, instances: [{ phase: 'live', report: { requests: 1000 }, rates: null }] } })
  told = report({ requests: 1300, errors: 3 })
  const { view } = await watching.look({ asking: true, fresh: true })
  expect(view.rates).toMatchObject({ requests: 300, errors: 3 })
  expect(view.status.instances[0]?.rates).toEqual(view.rates)
  expect((await watching.look({ asking: false, fresh: true })).view).toMatchObject({ rates: null, status: { instances: [{ report: null }] } })
})

it('asks systemd no more than it is told to', async () => {
  const watching = watch()
  // The first time there is nothing else.
  const { view } = await watching.look({ asking: true, fresh: false })
  expect(view.status.instances).toHaveLength(1)
  // Within one millisecond there is no rate.
  while (Date.now() <= view.at) await new Promise(setImmediate)
  on.systemd.set('shop@1.1.service', { active: 'failed' })
  told = report({ requests: 1300, inFlight: 3 })
  const kept = await watching.look({ asking: true, fresh: false })
  expect(kept.view).toMatchObject({ rates: { requests: 300 }, status: { instances: [{ phase: 'live', report: { inFlight: 3 } }] } })
  expect((await watching.look({ asking: true, fresh: true })).view.status.instances[0]?.phase).toBe('failed')
})

it('remembers the release of an instance whose files are gone', async () => {
  const watching = watch()
  runInstance(on, 'r0', 7)
  await watching.look({ asking: false, fresh: true })
  rmSync(join(on.paths.instances, '7.1'), { recursive: true })
  expect((await watching.look({ asking: false, fresh: true })).view.status.instances.find(({ generation }) => generation === 7)?.release).toBe('r0')
})

it('tells of what has ended since, and of nothing before', async () => {
  const entry = { at: '2026-01-01T00:00:00Z', generation: 1, release: 'r1', outcome: 'live', durationMs: 5 } as const
  appendHistory(on.paths, entry)
  const watching = watch()
  expect((await watching.look({ asking: false, fresh: true })).ended).toEqual([])
  appendHistory(on.paths, { ...entry, outcome: 'failed' })
  appendHistory(on.paths, { ...entry, outcome: 'aborted' })
  expect((await watching.look({ asking: false, fresh: true })).ended.map(({ outcome }) => outcome)).toEqual(['failed', 'aborted'])
  expect((await watching.look({ asking: false, fresh: true })).ended).toEqual([])
})

it('tells the events of deploys that begin, torn lines once they are whole', async () => {
  const write = (id: string, text: string): void => {
    const writer = new EventWriter(eventsFile(on.paths, id))
    writer.open(on.paths)
    writer.write({ type: 'note', text })
  }
  mkdirSync(on.paths.run, { recursive: true })
  write('20260101-1', 'over long ago')
  const watching = watch()
  expect((await watching.look({ asking: false, fresh: true })).deployEvents).toEqual([])
  write('20260101-2', 'begun')
  appendFileSync(eventsFile(on.paths, '20260101-2'), '{"type":"note","te')
  expect((await watching.look({ asking: false, fresh: true })).deployEvents).toEqual([{ id: '20260101-2', event: { type: 'note', text: 'begun' } }])
  appendFileSync(eventsFile(on.paths, '20260101-2'), 'xt":"whole"}\n')
  expect((await watching.look({ asking: false, fresh: true })).deployEvents).toEqual([{ id: '20260101-2', event: { type: 'note', text: 'whole' } }])
})

it('ends where the app is uninstalled', async () => {
  const watching = watch()
  await watching.look({ asking: true, fresh: true })
  rmSync(join(on.paths.state, 'manifest.json'))
  await expect(watching.look({ asking: true, fresh: true })).rejects.toMatchObject({ code: 'not-installed' })
})
