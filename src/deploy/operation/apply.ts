import type { Release } from '../../release/release.js'
import type { State } from '../../release/state.js'
import { readRelease } from '../../release/store.js'
import { appService, processNumbers } from '../../units/names.js'
import type { InstalledApp } from '../app.js'
import { bringLive } from './bring-live.js'
import { recordedRelease } from '../choose-release.js'
import type { ApplyRequest } from './deploy-request.js'
import { answers, observeInstances } from '../observe.js'
import type { Operation, Outcome } from './operation.js'
import { stepsOf } from './progress.js'
import { findWanted } from '../wanted.js'

/** The steps of an apply: brings up exactly what is recorded, and does nothing where that serves already. Runs no hooks. */
export async function applyRecord(work: Operation<ApplyRequest>, began: State): Promise<Outcome> {
  const { app, log } = work
  const release = await log.run('fetch', async (telling) => {
    const found = await releaseToApply(app, began)
    telling.result(found === undefined ? 'nothing is recorded' : `release ${found.id}`)
    return found
  })
  if (release === undefined) {
    log.note(`No release of ${app.paths.app} is recorded yet: there is nothing to bring up.`)
    skipRest(log, 'nothing is recorded')
    return { outcome: 'unchanged' }
  }
  if (await isAsRecorded(app, began, release)) {
    skipRest(log, 'live already')
    return { outcome: 'unchanged', release: release.id, ...(began.live === undefined ? {} : { generation: began.live.generation }) }
  }
  return bringLive(work, began, release, { afterDrain: false })
}

const skipRest = (log: Operation['log'], why: string): void => stepsOf.apply.slice(1).forEach((step) => log.skip(step, why))

/** What somebody wrote into the file `wanted`, else what is recorded. */
export async function releaseToApply(app: InstalledApp, state: State): Promise<Release | undefined> {
  const wanted = await findWanted(app, state)
  if (wanted !== undefined) return wanted
  const id = recordedRelease(app.paths, state)
  return id === undefined ? undefined : readRelease(app.paths, id)
}

/** Every process of the live generation serves, no other does but canaries, and the app's unit is as it should be. */
export async function isAsRecorded({ paths, systemd }: InstalledApp, { live, held }: State, release: Release): Promise<boolean> {
  if (live?.release !== release.id) return false
  const [service] = await systemd.show([appService(paths.app)])
  const serving = (await observeInstances(systemd, paths.app)).filter((instance) => answers(paths, instance) && instance.generation !== held?.generation)
  return (
    service?.active === 'active' &&
    serving.length === live.processes &&
    processNumbers(live.processes).every((process) => serving.some((instance) => instance.generation === live.generation && instance.process === process))
  )
}
