import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import type { InstalledApp } from '../../../src/deploy/app.js'
import { applyRecord } from '../../../src/deploy/apply.js'
import { DeployLog } from '../../../src/deploy/deploy-log.js'
import type { Operation } from '../../../src/deploy/operation.js'
import { stepsOf, type DeployEvent } from '../../../src/deploy/progress.js'
import type { ApplyRequest } from '../../../src/deploy/deploy-request.js'
import { pathsOf, placesOf } from '../../../src/release/paths.js'
import type { State } from '../../../src/release/state.js'
import { writeRelease } from '../../../src/release/store.js'
import type { Systemd } from '../../../src/systemd/systemd.js'
import { release } from './releases.js'
import { unitState } from './unit-state.js'

/** An app whose generation 4 runs, from release r4. */
async function apply(state: State): Promise<{ outcome: string; events: DeployEvent[] }> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-apply-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const paths = pathsOf({ ...placesOf('system'), state: folder, run: join(folder, 'run'), runtimeUnits: join(folder, 'units') }, 'shop')
  mkdirSync(join(paths.releases, 'r4'), { recursive: true })
  if (state.live !== undefined) writeRelease(paths, release('r4'))
  mkdirSync(join(paths.instances, '4.1'), { recursive: true })
  symlinkSync(join(paths.releases, 'r4'), join(paths.instances, '4.1/release'))
  writeFileSync(join(paths.state, 'state.json'), JSON.stringify(state))
  const systemd = {
    show: async (units: string[]) => units.map((unit) => unitState({ unit })),
    list: async () => ['shop@4.1.service'],
  } as unknown as Systemd
  const events: DeployEvent[] = []
  const log = new DeployLog(paths, 'd1', new AbortController().signal, (event) => events.push(event))
  const { outcome } = await applyRecord({ app: { paths, systemd } as InstalledApp, log } as Operation<ApplyRequest>, state)
  return { outcome, events }
}

it.each<[string, State]>([
  ['live already', { version: 1, generation: 4, wanted: 'r4', live: { generation: 4, release: 'r4', processes: 1, since: '2026-01-04T00:00:00.000Z' } }],
  ['nothing is recorded', { version: 1, generation: 0 }],
])('an apply that does nothing tells of each step that it announced: %s', async (why, state) => {
  const { outcome, events } = await apply(state)
  expect(outcome).toBe('unchanged')
  const ended = events.flatMap((event) => (event.type === 'step' && event.state !== 'began' ? [event] : []))
  expect(ended.map(({ step }) => step)).toEqual(stepsOf.apply)
  expect(ended.slice(1).map(({ state, note }) => [state, note])).toEqual([['skipped', why], ['skipped', why], ['skipped', why]])
})
