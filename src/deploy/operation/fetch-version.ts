import { HoldfastError } from '../../errors.js'
import type { Release } from '../../release/release.js'
import { versionUrl } from '../../release/version.js'
import { wantedFile } from '../../release/wanted.js'
import { readersOf } from './readers-of.js'
import type { InstalledApp } from '../app.js'
import { checkCode } from './deploy-check.js'
import { fetchAll, unpackAll } from './deploy-code.js'
import { tellingOf } from './deploy-log.js'
import { readDeployRecord } from './deploy-record.js'
import { ownIdentity } from './deploy-owner.js'
import { listAbandoned, makeStaging, newDeployId, removeStaging, stagingFolder, type DeployRequest } from './deploy-request.js'
import type { DeploySite } from './deploy-site.js'
import { deployService } from '../../units/names.js'
import { sealRelease } from './seal-release.js'

/**
 * Fetches a version from `[source] url`, checks it, and makes it a release. Runs no hooks: such an archive is complete.
 * @throws HoldfastError `fetch-failed`, `archive-refused`, `config-invalid` or `release-failed`
 */
export async function fetchVersion(app: InstalledApp, version: string): Promise<Release> {
  const { paths, config, story } = app
  const request: DeployRequest = {
    kind: 'deploy', id: newDeployId(), app: paths.app, by: 'root', what: `version ${version}`, source: versionUrl(config.source, version),
    switches: { install: false, migrate: false, migrateOnly: false }, env: {}, again: `holdfast apply ${paths.app}`, owner: ownIdentity(),
  }
  await removeAbandoned(app)
  makeStaging(paths, request)
  const site: DeploySite = { app, request, staging: stagingFolder(paths, request.id), signal: new AbortController().signal, readers: await readersOf(app) }
  const telling = tellingOf('fetch', () => {}, () => {})
  const begin = performance.now()
  try {
    const checked = checkCode(site, await unpackAll(site, await fetchAll(site, telling), telling))
    if (checked.version !== undefined && checked.version !== version) {
      throw new HoldfastError('release-failed', `what was fetched as version ${version} calls itself ${checked.version}`, { hint: `holdfast releases ${paths.app}   # then write another one into ${wantedFile(paths)}` })
    }
    const { id } = request
    const release = await sealRelease(site, { ...checked, version }, { id, touched: false, install: { action: 'skip', why: 'fetched as a version: a restart runs no hooks' } }, telling)
    story.tell('version-fetched', `Version ${version} was not on disk: fetched as release ${id}.`, { release: id, durationMs: performance.now() - begin })
    return release
  } finally {
    removeStaging(paths, request.id)
  }
}

/** What a handover that was killed while it fetched has left; a deploy that is under way looks after its own. */
async function removeAbandoned({ paths, systemd }: InstalledApp): Promise<void> {
  const [deploy] = await systemd.show([deployService(paths.app)])
  if (deploy?.active !== 'inactive') return
  for (const name of listAbandoned(paths)) if (name !== readDeployRecord(paths)?.id) removeStaging(paths, name)
}
