import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { parseConfig } from '../../../src/config/load.js'
import type { InstalledApp } from '../../../src/deploy/app.js'
import { DeployLog } from '../../../src/deploy/operation/deploy-log.js'
import { ownIdentity } from '../../../src/deploy/operation/deploy-owner.js'
import { makeStaging, newDeployId, type ApplyRequest, type DeployRequest, type OperationRequest, type RollbackRequest } from '../../../src/deploy/operation/deploy-request.js'
import { handOver } from '../../../src/deploy/handover.js'
import { operate, type Operation } from '../../../src/deploy/operation/operation.js'
import { writeResult } from '../../../src/deploy/order.js'
import type { DeployEvent } from '../../../src/deploy/operation/progress.js'
import { promote } from '../../../src/deploy/promotion.js'
import { recordRefusal } from '../../../src/deploy/record.js'
import { endRequest, takeRequest, type HandoverOrder } from '../../../src/deploy/request.js'
import type { Event } from '../../../src/deploy/story.js'
import { HoldfastError } from '../../../src/errors.js'
import { pathsOf, type AppPaths } from '../../../src/release/paths.js'
import type { Release } from '../../../src/release/release.js'
import { readState, type State } from '../../../src/release/state.js'
import { releaseFolder, writeRelease } from '../../../src/release/store.js'
import { writeWanted } from '../../../src/release/wanted.js'
import { FakeSystemd } from './fake-systemd.js'
import { release } from './releases.js'

/** An installed app in a temporary folder, with a systemd in memory. */
export interface AppOnDisk {
  app: InstalledApp
  paths: AppPaths
  systemd: FakeSystemd
  /** Of the story, in order. */
  told: { event: Event; message: string }[]
  /** A folder beside the app's own, such as for sources. */
  folder: string
}

/** @param tables of its configuration; one listener, and no time to settle unless they say so */
export function makeApp(tables = ''): AppOnDisk {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-app-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const at = (name: string): string => join(folder, name)
  const paths = pathsOf({ scope: 'system', config: at('config'), units: at('units'), runtimeUnits: at('runtime'), state: at('state'), run: at('run') }, 'shop')
  mkdirSync(paths.releases, { recursive: true })
  const systemd = new FakeSystemd()
  systemd.set('shop-http.socket')
  const told: AppOnDisk['told'] = []
  const text = `app = "shop"\ncommand = ["node", "server.js"]\n[listen]\nhttp = "127.0.0.1:8080"\n[start]\nsettle = "0s"\n${tables}`
  const app: InstalledApp = {
    paths, systemd, proc: at('proc'), units: ['shop.service', 'shop-http.socket'], node: process.execPath,
    config: parseConfig(text, { file: 'shop.toml' }),
    story: { tell: (event, message) => void told.push({ event, message }) },
  }
  return { app, paths, systemd, told, folder }
}

/** Puts a release on disk, good unless `over` says otherwise. */
export function addRelease({ paths }: AppOnDisk, id: string, over: Partial<Release> = {}): Release {
  const made = release(id, over)
  const code = releaseFolder(paths, made)
  mkdirSync(code, { recursive: true })
  writeFileSync(join(code, 'server.js'), 'serve()')
  writeRelease(paths, made)
  return made
}

export const liveSince = '2026-01-01T00:00:00.000Z'

/** Records the release as live, with one instance that serves and the app's unit active. */
export function bringUp(on: AppOnDisk, id: string, generation: number, over: Partial<State> = {}): State {
  const { paths, systemd } = on
  writeState(on, { version: 1, generation, wanted: id, live: { generation, release: id, processes: 1, since: liveSince }, ...over })
  writeWanted(paths, { id })
  runInstance(on, id, generation)
  for (const unit of ['shop.service', 'shop-drain.service']) systemd.set(unit, { sub: 'exited' })
  return readState(paths)
}

/** An instance of a generation that serves, of which the record need not know. */
export function runInstance({ paths, systemd }: AppOnDisk, id: string, generation: number, active = 'active'): void {
  mkdirSync(join(paths.instances, `${generation}.1`), { recursive: true })
  const link = join(paths.instances, `${generation}.1/release`)
  rmSync(link, { force: true })
  symlinkSync(join(paths.releases, id), link)
  systemd.set(`shop@${generation}.1.service`, { active })
}

/** As another process would: without looking at what is there. */
export const writeState = ({ paths }: AppOnDisk, state: State): void => writeFileSync(join(paths.state, 'state.json'), JSON.stringify(state))

export const makeOrder = (id: string, over: Partial<HandoverOrder> = {}): HandoverOrder =>
  ({ id: newDeployId(), release: id, kind: 'deploy', by: 'anna', since: '2026-02-01T00:00:00.000Z', afterDrain: false, ...over })

/** What the `ExecStart=` of the app's unit does: each restart hands over to what it finds ordered. */
export function serveOrders({ app, paths, systemd }: AppOnDisk): void {
  systemd.onRestart = async () => {
    const { request } = takeRequest(paths, 0)
    const isPromotion = request.from === 'order' && request.order.promote !== undefined
    const result = await (isPromotion ? promote(app, request, request.order.promote as number) : handOver(app, request)).catch((error: unknown) => {
      if (!(error instanceof HoldfastError)) throw error
      recordRefusal(paths, request, error.message, 0)
      return { kind: 'failed' as const, reason: error.message, log: [], serving: undefined }
    })
    if (request.from === 'order' && result.kind !== 'nothing-to-run') writeResult(paths, request.order.id, result)
    endRequest(paths, 0)
  }
}

const anyRequest = () => ({ id: newDeployId(), app: 'shop', by: 'anna', env: {}, again: 'holdfast deploy shop', owner: ownIdentity() })

export const deployOf = (path: string, over: Partial<DeployRequest> = {}): DeployRequest =>
  ({ ...anyRequest(), kind: 'deploy', what: path, source: { kind: 'directory', path }, switches: { install: true, migrate: true, migrateOnly: false }, ...over })

/** Without a name: to the last good one. */
export const rollbackTo = (id?: string): RollbackRequest => ({ ...anyRequest(), kind: 'rollback', what: id ?? 'the last good release', ...(id === undefined ? {} : { release: id }), force: false })

export const applyRequest = (): ApplyRequest => ({ ...anyRequest(), kind: 'apply', what: 'what is recorded' })

/** Runs an operation as its unit does, from the request that a client has left. */
export async function run(on: AppOnDisk, request: OperationRequest, interrupt = new AbortController()): Promise<{ status: 0 | 1; events: DeployEvent[]; end: (DeployEvent & { type: 'end' }) | undefined }> {
  makeStaging(on.paths, request)
  const events: DeployEvent[] = []
  const log = new DeployLog(on.paths, request.id, interrupt.signal, (event) => void events.push(event))
  const status = await operate(on.app, request, log, interrupt.signal)
  return { status, events, end: events.find((event) => event.type === 'end') }
}

/** An operation in its middle. */
export function workOn(on: AppOnDisk, request: OperationRequest): Operation {
  const { signal } = new AbortController()
  return { app: on.app, request, log: new DeployLog(on.paths, request.id, signal, () => {}), signal, since: new Date().toISOString() }
}
