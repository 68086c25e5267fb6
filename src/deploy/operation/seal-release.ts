import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { HoldfastError } from '../../errors.js'
import type { Release } from '../../release/release.js'
import { sealFolder } from '../../release/seal.js'
import { dropRelease, writeRelease } from '../../release/store.js'
import { requireProgram, type CheckedCode, type HookPlan } from './deploy-check.js'
import type { StepTelling } from './deploy-log.js'
import type { DeploySite } from './deploy-site.js'

/** The metadata is written before the folder has its name: code without it is cleared away by whoever prunes. */
export async function sealRelease({ app, readers }: DeploySite, { code, config, version }: CheckedCode, made: { id: string; touched: boolean; install: HookPlan }, telling: StepTelling): Promise<Release> {
  const { paths } = app
  requireProgram(app, config, code.folder)
  const folder = join(paths.releases, made.id)
  // Never over another one: what failed here is removed below.
  if (existsSync(folder) || existsSync(`${folder}.json`)) throw new HoldfastError('release-failed', `there is a release ${made.id} already`, { hint: 'run it again: it gets another id' })
  const release: Release = {
    id: made.id,
    createdAt: new Date().toISOString(),
    source: code.source,
    ...(code.overlay === undefined ? {} : { overlay: code.overlay }),
    ...(version === undefined ? {} : { version }),
    fingerprint: code.fingerprint,
    dependencies: { ...dependenciesOf(made.install), node: process.version },
    outcome: 'untried',
  }
  writeRelease(paths, release)
  try {
    const sealed = await sealFolder(code.folder, folder, { touched: made.touched, maxBytes: app.config.source.maxBytes, ...readers })
    release.sizeBytes = sealed.sizeBytes
    writeRelease(paths, release)
  } catch (error) {
    dropRelease(paths, made.id)
    throw error
  }
  telling.result(`release ${made.id}${version === undefined ? '' : `, version ${version}`}`)
  return release
}

function dependenciesOf(plan: HookPlan): { outcome: 'installed' | 'reused' | 'skipped' | 'none'; why?: string } {
  if (plan.action === 'run') return { outcome: 'installed' }
  if (plan.action === 'reuse') return { outcome: 'reused', why: plan.why }
  return plan.why === '--no-install' ? { outcome: 'skipped', why: plan.why } : { outcome: 'none', why: plan.why }
}
