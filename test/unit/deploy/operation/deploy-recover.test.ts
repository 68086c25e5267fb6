import { appendFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { InstalledApp } from '../../../../src/deploy/app.js'
import { ownIdentity } from '../../../../src/deploy/operation/deploy-owner.js'
import { readDeployRecord, writeDeployRecord, type DeployRecord } from '../../../../src/deploy/operation/deploy-record.js'
import { judgeInterrupted, recoverDeploy } from '../../../../src/deploy/operation/deploy-recover.js'
import { listAbandoned, makeStaging, newDeployId, readRequest, stagingFolder, type DeployRequest } from '../../../../src/deploy/operation/deploy-request.js'
import { readOrder, writeOrder } from '../../../../src/deploy/request.js'
import { readHistory } from '../../../../src/release/history.js'
import type { AppPaths } from '../../../../src/release/paths.js'
import { readState, type Live, type State } from '../../../../src/release/state.js'
import { unitState } from '../unit-state.js'

let folder: string
let paths: AppPaths
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-test-'))
  const state = join(folder, 'state')
  paths = {
    scope: 'system', app: 'shop', config: join(folder, 'shop.toml'), units: join(folder, 'units'), runtimeUnits: join(folder, 'runtime'),
    state, run: join(folder, 'run'), releases: join(state, 'releases'), instances: join(state, 'instances'),
  }
  mkdirSync(paths.releases, { recursive: true })
})
afterEach(() => rmSync(folder, { recursive: true }))

const live = (release: string): Live => ({ generation: 4, release, processes: 1, since: '2026-11-21T09:00:00.000Z' })
const record = (change: Partial<DeployRecord> = {}): DeployRecord => ({
  id: '20261121-100000-abcdef', by: 'anna', what: '/srv/shop', since: '2026-11-21T10:00:00.000Z', step: 'migrate', began: 'old', ...change,
})

describe('an interrupted deploy', () => {
  it.each<[string, Partial<DeployRecord>, State, ReturnType<typeof judgeInterrupted>]>([
    ['before its release had a name', {}, { version: 1, generation: 4, wanted: 'old', live: live('old') }, { kind: 'undone', restoreWanted: false }],
    ['sealed, not recorded', { release: 'new', step: 'seal' }, { version: 1, generation: 4, wanted: 'old', live: live('old') }, { kind: 'undone', restoreWanted: false }],
    ['recorded, not live', { release: 'new', step: 'record' }, { version: 1, generation: 4, wanted: 'new', live: live('old') }, { kind: 'undone', restoreWanted: true }],
    ['the first of all', { release: 'new', step: 'handover' }, { version: 1, generation: 1, wanted: 'new' }, { kind: 'undone', restoreWanted: true }],
    ['live', { release: 'new', step: 'handover' }, { version: 1, generation: 5, wanted: 'new', live: live('new') }, { kind: 'finished', as: 'live' }],
    ['live, in its last step', { release: 'new', step: 'prune' }, { version: 1, generation: 5, wanted: 'new', live: live('new') }, { kind: 'finished', as: 'live' }],
  ])('%s', (_, change, state, verdict) => {
    expect(judgeInterrupted(record(change), state)).toEqual(verdict)
  })
})

const request = (id = newDeployId()): DeployRequest => ({
  kind: 'deploy', id, app: 'shop', by: 'anna', what: 'x', source: { kind: 'directory', path: '/srv/shop' }, switches: { install: true, migrate: true, migrateOnly: false },
  env: {}, again: 'holdfast deploy shop', owner: ownIdentity(),
})

/** An app of which nothing runs. */
function makeApp(told: string[]): InstalledApp {
  const systemd = {
    scope: 'system', show: async (units: string[]) => units.map((unit) => unitState({ unit, active: 'inactive', load: 'not-found' })),
    list: async () => [], job: async () => undefined, run: async () => ({ ok: true, message: '' }),
  } as unknown as InstalledApp['systemd']
  return { paths, units: [], systemd, node: '/usr/bin/node', story: { tell: (event) => void told.push(event) }, config: { app: 'shop', start: { timeoutMs: 1, settleMs: 1 } } as InstalledApp['config'] }
}

function writeStateFile(state: State): void {
  writeFileSync(join(paths.state, 'state.json'), JSON.stringify(state))
}

function addRelease(id: string, { code = true } = {}): void {
  if (code) mkdirSync(join(paths.releases, id))
  writeFileSync(join(paths.releases, `${id}.json`), JSON.stringify({ id, createdAt: id, source: { kind: 'directory', path: '/srv/shop', snapshot: true }, fingerprint: id, outcome: 'untried' }))
}

describe('the next deploy', () => {
  it('undoes what is wanted and was never live, says so, and keeps the code that is complete', async () => {
    addRelease('old')
    addRelease('new')
    writeStateFile({ version: 1, generation: 4, wanted: 'new', live: live('old') })
    writeDeployRecord(paths, record({ release: 'new', step: 'record' }))
    const [told, said]: string[][] = [[], []]
    await recoverDeploy(makeApp(told as string[]), 'own', new AbortController().signal, (text) => void said?.push(text))
    expect(readState(paths)).toMatchObject({ wanted: 'old', live: { release: 'old' } })
    expect(readDeployRecord(paths)).toBeUndefined()
    expect(told).toEqual(['deploy-interrupted'])
    expect(said?.[0]).toContain('was cut off at step record: it changed nothing')
    expect(readHistory(paths)).toMatchObject([{ kind: 'deploy', by: 'anna', step: 'record', outcome: 'interrupted', release: 'new', from: 'old', generation: 5 }])
    expect(readdirSync(paths.releases).sort()).toEqual(['new', 'new.json', 'old', 'old.json'])
  })

  it('waits for the handover of one, however long it watches its new generation, and no longer than it is let', async () => {
    writeStateFile({ version: 1, generation: 5, wanted: 'new', live: live('old') })
    writeDeployRecord(paths, record({ release: 'new', step: 'handover' }))
    writeOrder(paths, { id: record().id, release: 'new', kind: 'deploy', since: record().since, afterDrain: false })
    const app = makeApp([])
    const stop = new AbortController()
    let asked = 0
    app.systemd.job = async () => {
      if ((asked += 1) === 3) stop.abort()
      return 'restart'
    }
    await expect(recoverDeploy(app, undefined, stop.signal, () => {})).rejects.toMatchObject({ name: 'AbortError' })
    expect([readState(paths).wanted, readDeployRecord(paths)?.id, readOrder(paths)?.id]).toEqual(['new', record().id, record().id])

    app.systemd.job = async () => {
      if ((asked += 1) < 6) return 'restart'
      writeStateFile({ version: 1, generation: 5, wanted: 'new', live: live('new') })
      return undefined
    }
    const said: string[] = []
    await recoverDeploy(app, undefined, new AbortController().signal, (text) => void said.push(text))
    expect(said.at(-1)).toContain('its release new is live')
  })

  it('leaves one that went live as it is', async () => {
    addRelease('new')
    writeStateFile({ version: 1, generation: 5, wanted: 'new', live: live('new') })
    writeDeployRecord(paths, record({ release: 'new', step: 'handover' }))
    const said: string[] = []
    await recoverDeploy(makeApp([]), undefined, new AbortController().signal, (text) => void said.push(text))
    expect(said[0]).toContain('its release new is live')
    expect(readHistory(paths)).toEqual([])
    expect(readState(paths).wanted).toBe('new')
    expect(readDeployRecord(paths)).toBeUndefined()
  })

  it('removes metadata whose code never came', async () => {
    addRelease('new', { code: false })
    writeDeployRecord(paths, record({ release: 'new', step: 'seal' }))
    await recoverDeploy(makeApp([]), undefined, new AbortController().signal, () => {})
    expect(readdirSync(paths.releases)).toEqual([])
  })

  it('removes staging folders but its own and those that a client still fills', async () => {
    const [own, filled, dead, torn] = [request(), request(), request(), newDeployId()]
    for (const one of [own, filled]) makeStaging(paths, one)
    makeStaging(paths, { ...dead, owner: { ...ownIdentity(), start: '1' } })
    mkdirSync(stagingFolder(paths, torn))
    mkdirSync(`${stagingFolder(paths, torn)}.${process.pid}.new`)
    mkdirSync(`${stagingFolder(paths, torn)}.4194304.new`)
    expect(listAbandoned(paths, own.id).sort()).toEqual([dead.id, torn, `${torn}.4194304.new`].sort())
    await recoverDeploy(makeApp([]), own.id, new AbortController().signal, () => {})
    expect(readdirSync(join(paths.state, 'staging')).sort()).toEqual([own.id, filled.id, `${torn}.${process.pid}.new`].sort())
    expect(readRequest(paths, own.id)).toMatchObject({ by: 'anna' })
    expect(() => readRequest(paths, '../x')).toThrow('cannot be read')
  })

  it('goes on with a record and a history that a power cut has torn', async () => {
    writeFileSync(join(paths.state, 'deploy.json'), '{"id":')
    appendFileSync(join(paths.state, 'history.jsonl'), '{"at"')
    await recoverDeploy(makeApp([]), undefined, new AbortController().signal, () => {})
    addRelease('new', { code: false })
    writeDeployRecord(paths, record({ release: 'new', step: 'seal' }))
    await recoverDeploy(makeApp([]), undefined, new AbortController().signal, () => {})
    expect(readHistory(paths)).toMatchObject([{ outcome: 'interrupted' }])
  })
})
