import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import type { InstalledApp } from '../../../../src/deploy/app.js'
import { planDeploy } from '../../../../src/deploy/operation/deploy-plan.js'
import type { DeployRequest } from '../../../../src/deploy/operation/deploy-request.js'
import { pathsOf, placesOf } from '../../../../src/release/paths.js'
import type { Systemd } from '../../../../src/systemd/systemd.js'
import { unitState } from '../unit-state.js'

it('a dry run says that the record is corrupt, and leaves it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-plan-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const paths = pathsOf({ ...placesOf('system'), state: folder, run: join(folder, 'run') }, 'shop')
  rmSync(paths.state, { recursive: true, force: true })
  const state = { ...paths, state: folder }
  writeFileSync(join(folder, 'state.json'), 'torn')
  const systemd = { show: async (units: string[]) => units.map((unit) => unitState({ unit, active: 'inactive' })), list: async () => [] } as unknown as Systemd
  const app = { paths: state, systemd, config: {}, story: { tell: () => {} } } as unknown as InstalledApp
  await expect(planDeploy(app, { id: 'd1' } as DeployRequest, () => {}, new AbortController().signal)).rejects.toMatchObject({ code: 'state-corrupt' })
  expect(readdirSync(folder)).toEqual(['state.json'])
  expect(readFileSync(join(folder, 'state.json'), 'utf8')).toBe('torn')
})
